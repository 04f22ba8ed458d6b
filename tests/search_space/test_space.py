"""SearchSpace and TrainingRecipe: sampling, replaying, narrowing, and the candidates to try first."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from optuna.samplers import RandomSampler
from optuna.study import create_study
from optuna.trial import FixedTrial

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.augmentation import augmentations
from convscout.search_space.complexity_meter import measure
from convscout.search_space.errors import ConfigError, UnknownNameError
from convscout.search_space.knobs import Override
from convscout.search_space.optimizer import optimizers
from convscout.search_space.recipe import TrainingRecipe
from convscout.search_space.registry import Registry
from convscout.search_space.space import Candidate, SearchSpace

PHOTOS = ImageSpec(in_channels=3, image_size=32, num_classes=10, symmetries=("horizontal_flip",))
DIGITS = ImageSpec(in_channels=1, image_size=28, num_classes=10)


def sampled(space: SearchSpace, seed: int) -> tuple[Candidate, dict[str, Any]]:
    trial = create_study(sampler=RandomSampler(seed=seed)).ask()
    return space.suggest(trial), trial.params


@pytest.mark.parametrize("seed", range(20))
def test_parameters_are_what_was_sampled_and_replay_the_candidate(seed: int) -> None:
    space = SearchSpace(image=PHOTOS)
    candidate, params = sampled(space, seed)
    assert space.parameters(candidate) == params
    assert space.suggest(FixedTrial(params)) == candidate
    assert set(params) - {"family"} <= set(space.knobs())
    recipe = candidate[1]
    assert TrainingRecipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_a_seed_decides() -> None:
    space = SearchSpace(image=PHOTOS)
    assert sampled(space, 3)[0] == sampled(space, 3)[0]
    assert sampled(space, 3)[0] != sampled(space, 4)[0]


def test_all_families_optimizers_and_policies_are_sampled() -> None:
    candidates = [sampled(SearchSpace(image=PHOTOS), seed)[0] for seed in range(200)]

    def searched(registry: Registry[Any], part: str = "") -> set[str]:
        fitting = {name for name, entry in registry.items() if not part or part in entry.parts}
        return {name for name in fitting if registry.get(name).searched}

    assert {architecture.name for architecture, _ in candidates} == searched(families)
    assert {recipe.optimizer.name for _, recipe in candidates} == searched(optimizers)
    for part in ("augmentation", "distortion"):
        assert {getattr(recipe, part).name for _, recipe in candidates} == searched(augmentations, part)


def test_a_study_can_name_what_is_not_searched() -> None:
    overrides = {
        "recipe.optimizer": {"choices": ["adagrad", "rmsprop"]},
        "recipe.distortion": "cutmix",
        "recipe.loss": {"choices": ["cross_entropy", "focal"]},
        "recipe.averaging": "swa",
        "adagrad.learning_rate": 0.05,
    }
    space = SearchSpace(image=PHOTOS, families=("lenet",), overrides=overrides)
    drawn = [sampled(space, seed) for seed in range(20)]
    assert {candidate[1].optimizer.name for candidate, _ in drawn} == {"adagrad", "rmsprop"}
    for candidate, params in drawn:
        recipe = candidate[1]
        assert (recipe.distortion.name, recipe.averaging) == ("cutmix", "swa")
        assert ("recipe.focal_gamma" in params) is (recipe.loss == "focal")
        assert space.suggest(FixedTrial(params)) == candidate


def test_a_policy_has_its_place_in_the_recipe() -> None:
    with pytest.raises(ConfigError, match=r"recipe\.augmentation: must be one of crop, .* got 'mixup'"):
        SearchSpace(image=PHOTOS, overrides={"recipe.augmentation": "mixup"})


def test_digits_are_never_mirrored() -> None:
    space = SearchSpace(image=DIGITS)
    drawn = {sampled(space, seed)[0][1].augmentation.name for seed in range(30)}
    moves = {name: policy for name, policy in augmentations.items() if "augmentation" in policy.parts}
    assert drawn == {name for name, policy in moves.items() if not policy.needs}
    assert space.portfolio()[0][1].augmentation.name == "crop"
    with pytest.raises(ConfigError, match=r"recipe\.augmentation: must be one of .* got 'crop_flip'"):
        SearchSpace(image=DIGITS, overrides={"recipe.augmentation": "crop_flip"})


@pytest.mark.parametrize("image", [PHOTOS, DIGITS], ids=["photos", "digits"])
def test_the_portfolio_is_one_small_proven_candidate_a_family(image: ImageSpec) -> None:
    space = SearchSpace(image=image, epochs=7)
    portfolio = space.portfolio()
    assert [architecture.name for architecture, _ in portfolio] == list(space.families)
    for candidate in portfolio:
        architecture, recipe = candidate
        assert space.suggest(FixedTrial(space.parameters(candidate))) == candidate
        assert recipe.epochs == 7
        complexity = measure(architecture, recipe, image)
        assert 20_000 < complexity.params < 3_000_000
        assert complexity.flops < 120_000_000


@pytest.mark.parametrize("seed", range(5))
def test_overrides_narrow_what_is_sampled_and_what_is_tried_first(seed: int) -> None:
    overrides = {
        "resnet.width": {"high": 12},
        "resnet.block": "bottleneck",
        "recipe.optimizer": "sgd",
        "recipe.batch_size": {"choices": [32, 1024]},
        "recipe.label_smoothing": 0.0,
        "sgd.momentum": {"low": 0.5, "high": 0.6},
    }
    space = SearchSpace(image=PHOTOS, families=("resnet",), overrides=overrides)
    candidate, params = sampled(space, seed)
    assert not {"family", "resnet.block", "recipe.optimizer", "recipe.label_smoothing"} & set(params)
    assert space.parameters(candidate) == params
    for architecture, recipe in (candidate, space.portfolio()[0]):
        values = architecture.to_dict()
        assert 8 <= values["width"] <= 12
        assert values["block"] == "bottleneck"
        assert recipe.batch_size in (32, 1024)
        assert recipe.label_smoothing == 0
        assert 0.5 <= recipe.optimizer.to_dict()["momentum"] <= 0.6


def test_all_bad_overrides_are_told_at_once() -> None:
    overrides = {"resnet.width": 0, "sgd.momentum": {"low": 2}, "recipe.warmup": "long", "resnet.widht": 3}
    with pytest.raises(ConfigError) as caught:
        SearchSpace(image=PHOTOS, overrides=overrides)
    assert {problem.field for problem in caught.value.problems} == set(overrides)
    assert "resnet.widht" in caught.value.message
    assert "did you mean 'resnet.width'?" in caught.value.message


def test_families_must_be_known_and_different() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown family 'resnt'; choose from .*Did you mean 'resnet'"
    ):
        SearchSpace(image=PHOTOS, families=("resnt",))
    with pytest.raises(ConfigError, match="different from each other"):
        SearchSpace(image=PHOTOS, families=("vgg", "vgg"))


def test_bad_recipes_tell_all_their_faults() -> None:
    _, recipe = SearchSpace(image=PHOTOS).portfolio()[0]
    for faults in ({"batch_size": 3, "warmup": 1.0}, {"epochs": 0, "precision": "float8"}):
        with pytest.raises(ConfigError) as caught:
            replace(recipe, **faults)
        assert {problem.field for problem in caught.value.problems} == {f"recipe.{key}" for key in faults}


def test_a_family_is_first_tried_with_the_recipe_that_is_proven_for_it() -> None:
    def first(overrides: dict[str, Override], image: ImageSpec = PHOTOS) -> dict[str, TrainingRecipe]:
        space = SearchSpace(image=image, families=("resnet", "speednet"), overrides=overrides)
        return {architecture.name: recipe for architecture, recipe in space.portfolio()}

    own = first({})
    assert (own["resnet"].optimizer.name, own["resnet"].batch_size) == ("muon", 128)
    assert (own["speednet"].optimizer.name, own["speednet"].batch_size) == ("normalized_muon", 1024)
    assert (own["speednet"].augmentation.name, own["speednet"].label_smoothing) == ("crop_alternating", 0.2)
    narrowed = first({"recipe.batch_size": {"choices": [64, 128, 256]}, "recipe.optimizer": "sgd"})
    assert (narrowed["speednet"].optimizer.name, narrowed["speednet"].batch_size) == ("sgd", 256)
    assert first({}, DIGITS)["speednet"].augmentation.name == "crop", "a mirrored digit is none"
