"""Every sampler goes on after an interruption as if there was none, and says at once what it cannot do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from convscout.search_space.errors import ConfigError, ExhaustedError
from convscout.search_space.space import SearchSpace
from convscout.services.cli import main
from convscout.services.config.home import Home
from convscout.services.config.study_config import StudyConfig
from convscout.services.config.toml import to_toml
from convscout.services.events.events import Event, Notice
from convscout.services.ledger.ledger import Ledger
from convscout.services.plugins import samplers
from convscout.services.samplers.auto import choose
from convscout.services.samplers.base import SamplingTask
from convscout.services.search.auto_config import with_sampler
from convscout.services.studies import run
from tests.support.sampled import (
    IMAGE,
    ONE_FAMILY,
    PARTS,
    WHOLE,
    factory,
    finite_space,
    imagine,
    new_study,
    smooth,
    task_of,
)
from tests.support.studies import bundle_alone, tiny_config

# Enough that what comes last was learned from what came before, for some in generations.
TRIALS = {"nsga2": 53, "grid": 6, "cmaes": 26, "tpe": 16}


def test_the_registry_has_the_samplers_that_the_settings_name() -> None:
    assert set(samplers.names()) == {
        *("auto", "cmaes", "gp", "grid", "local", "nsga2", "qmc", "random", "tpe")
    }
    assert StudyConfig(name="s", data="digits").sampler == "auto"


@pytest.mark.slow
@pytest.mark.parametrize("sampler", samplers.names())
def test_an_interrupted_study_proposes_what_an_uninterrupted_one_does(tmp_path: Path, sampler: str) -> None:
    task = task_of(sampler)
    straight, broken = new_study(tmp_path / "a", task), new_study(tmp_path / "b", task)
    kept = factory(task, sampler)
    proposed = []
    for _ in range(TRIALS.get(sampler, 13)):
        proposed.append(imagine(straight, task.space, kept, smooth))
        reopened = Ledger.open(broken.ref)
        assert imagine(reopened, task.space, factory(task, sampler), smooth) == proposed[-1]
    assert len(set(map(str, proposed))) == len(proposed)


@pytest.mark.parametrize("sampler", [name for name in samplers.names() if name not in ("nsga2", "grid")])
def test_another_seed_proposes_otherwise(tmp_path: Path, sampler: str) -> None:
    seen = []
    for seed in (0, 1):
        task = task_of(sampler, seed=seed)
        ledger = new_study(tmp_path / str(seed), task)
        ledger.set_note("config", {**ledger.config.to_dict(), "seed": seed})
        seen.append(imagine(ledger, task.space, factory(task, sampler), smooth))
    assert seen[0] != seen[1]


@pytest.mark.parametrize("sampler", samplers.names())
def test_the_portfolio_goes_first_and_a_sampler_learns_from_it(tmp_path: Path, sampler: str) -> None:
    task = task_of(sampler)
    ledger = new_study(tmp_path, task)
    queued = [task.space.parameters(candidate) for candidate in task.space.portfolio()[:2]]
    for parameters in queued:
        ledger.enqueue(parameters)
    fresh = factory(task, sampler)
    proposed = [imagine(ledger, task.space, fresh, smooth) for _ in range(len(queued) + 1)]
    assert proposed[:-1] == queued and proposed[-1] not in queued


def refusal(sampler: str, space: SearchSpace, **facts: Any) -> str:
    """What is said of a ``sampler`` that does not suit."""
    with pytest.raises(ConfigError) as raised:
        samplers.get(sampler)(SamplingTask(space=space, **facts))
    [problem] = raised.value.problems
    assert (problem.field, problem.value) == ("study.sampler", sampler)
    return problem.rule


@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_a_space_in_which_little_is_common_is_refused_by_who_needs_it(sampler: str) -> None:
    rule = refusal(sampler, WHOLE)
    assert "which knobs a candidate has depends on family and recipe.optimizer;" in rule
    assert "one family with --families" in rule and 'recipe.optimizer = "sgd" under [space]' in rule
    one_family = refusal(sampler, SearchSpace(image=IMAGE, families=("resnet",)))
    assert "depends on recipe.optimizer;" in one_family and "--families" not in one_family


def test_what_is_drawn_at_random_is_told() -> None:
    assert "gp draws some knobs at random: " in samplers.get("gp")(task_of("gp")).notice
    told = samplers.get("cmaes")(task_of("cmaes")).notice
    assert "resnet.activation" in told, "cmaes knows no names"
    assert samplers.get("gp")(SamplingTask(space=finite_space())).notice == ""


def test_cmaes_needs_numbers_and_a_single_objective() -> None:
    assert "two numeric knobs or more are in every candidate (here: none)" in refusal("cmaes", finite_space())
    assert "several objectives" in refusal("cmaes", ONE_FAMILY, num_objectives=2)


def test_nsga2_needs_several_objectives() -> None:
    assert "nsga2 needs a cost beside it, as in --objective accuracy,params" in refusal("nsga2", WHOLE)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "gp", "nsga2", "auto"])
def test_several_objectives_are_sampled_for(tmp_path: Path, sampler: str) -> None:
    task = task_of(sampler, num_objectives=2)
    ledger = new_study(tmp_path, task)
    fresh = factory(task, sampler)
    proposed = [imagine(ledger, task.space, fresh, smooth) for _ in range(13)]
    assert len(set(map(str, proposed))) == 13


def test_children_of_nsga2_inherit_knobs_that_not_every_candidate_has(tmp_path: Path) -> None:
    task = task_of("nsga2")
    ledger = new_study(tmp_path, task)
    fresh = factory(task, "nsga2")
    parents = [imagine(ledger, task.space, fresh, smooth) for _ in range(50)]
    children = [imagine(ledger, task.space, fresh, smooth) for _ in range(10)]
    conditional = {
        name for parent in parents for name in parent if not name.startswith(("recipe.", "family"))
    }
    pool = {(name, value) for parent in parents for name, value in parent.items()}
    genes = [gene for child in children for gene in child.items() if gene[0] in conditional]
    continuous = [gene for gene in genes if isinstance(gene[1], float)]
    assert len(continuous) > 10
    assert sum(gene in pool for gene in continuous) > 0.75 * len(continuous), "the others are mutations"


def test_a_grid_is_gone_through_once_and_then_ends(tmp_path: Path) -> None:
    task = task_of("grid")
    ledger = new_study(tmp_path, task)
    first = task.space.parameters(task.space.portfolio()[0])
    ledger.enqueue(first)
    fresh = factory(task, "grid")
    proposed = [imagine(ledger, task.space, fresh, smooth) for _ in range(6)]
    assert proposed[0] == first
    assert {(each["lenet.width"], each["recipe.batch_size"]) for each in proposed} == {
        (width, size) for width in (4, 6, 8) for size in (64, 128)
    }
    with pytest.raises(ExhaustedError, match="all 6 candidates of the grid were proposed"):
        ledger.propose(task.space, fresh)
    assert len(ledger.trials()) == 6, "a proposal that was not made leaves no trace"


def test_a_grid_that_is_not_finite_is_refused_with_its_size_and_the_knobs_to_narrow() -> None:
    rule = refusal("grid", ONE_FAMILY)
    assert "combinations times the values of" in rule
    assert "narrow each of those 10 under [space], as in resnet.dropout = {choices = [0.1]}" in rule


def wider_space() -> SearchSpace:
    """LeNets with more to choose, which all have the same knobs."""
    free = {
        "width": {"low": 4, "high": 32},
        "hidden": {"low": 32, "high": 256},
        "depth": {"low": 2, "high": 4},
    }
    named = {f"lenet.{name}": each for name, each in free.items()}
    return SearchSpace(image=IMAGE, families=("lenet",), overrides={**finite_space().overrides, **named})


def test_a_grid_beyond_the_budget_is_told() -> None:
    assert samplers.get("grid")(task_of("grid", trials=4)).notice == (
        "the grid has 6 candidates, of which 4 are tried"
    )
    wider = wider_space()
    assert "they are drawn from it at random" in samplers.get("grid")(SamplingTask(space=wider)).notice


@pytest.mark.parametrize(
    ("space", "facts", "name", "reason"),
    [
        (WHOLE, {}, "tpe", "which knobs a candidate has depends on family"),
        (WHOLE, {"trials": 50}, "tpe", "which knobs a candidate has depends on family"),
        (ONE_FAMILY, {"trials": 50}, "tpe", "depends on recipe.averaging, recipe.clipping, recipe.schedule"),
        (WHOLE, {"num_objectives": 2, "trials": 500}, "tpe", "2 objectives, and fewer than 1,000 trials"),
        (WHOLE, {"num_objectives": 2, "trials": 2_000}, "nsga2", "2 objectives, and 2,000 trials"),
        (finite_space(), {"trials": 6}, "grid", "all 6 candidates can be tried"),
        (finite_space(), {"trials": 5}, "local", "room for about 5 full trials"),
        (WHOLE, {"full_trials": 4.3}, "local", "room for about 4 full trials, too few to learn a model from"),
        (WHOLE, {"full_trials": 400.0}, "tpe", "which knobs a candidate has depends on family"),
        (WHOLE, {"num_objectives": 2, "full_trials": 4.0}, "tpe", "2 objectives"),
        (wider_space(), {"trials": 50}, "gp", "few trials, and every candidate has the same 4 knobs"),
        (finite_space(), {}, "tpe", "there may be more than 100 trials"),
    ],
)
def test_auto_chooses_by_budget_space_and_objectives_and_says_why(
    space: SearchSpace, facts: dict[str, Any], name: str, reason: str
) -> None:
    found = choose(SamplingTask(space=space, **facts))
    assert found[0] == name
    assert reason in found[1]


def test_the_choice_is_told_and_kept() -> None:
    config = tiny_config(sampler="auto", trials=6, objective="accuracy")
    decided, told = with_sampler(config, finite_space())
    assert decided.sampler == "grid"
    assert told == (
        "sampler: grid (all 6 candidates can be tried; another with --sampler); the grid has 6 candidates"
    )
    assert with_sampler(decided, finite_space()) == (decided, "the grid has 6 candidates")


def tiny_grid(**options: Any) -> StudyConfig:
    """A study of two configurations."""
    knobs = SearchSpace(image=IMAGE, families=("lenet",), overrides=PARTS).knobs()
    parts = {**PARTS, "recipe.augmentation": "none"}
    fixed = {name: knob.default for name, knob in knobs.items() if not name.startswith("crop")}
    space = {**fixed, **parts, "lenet.width": {"choices": [4, 5]}}
    return tiny_config(space=space, sampler="auto", epochs=1, **options)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 2])
@bundle_alone()
def test_a_search_over_a_grid_ends_when_all_of_it_was_trained(tmp_path: Path, repeats: int) -> None:
    told = []

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            told.append(event.text)

    outcome = run.search(tiny_grid(trials=9, repeats=repeats), Home(tmp_path), listen, time.time())
    assert outcome.state_counts == {"completed": 2 * repeats}
    assert any(text.startswith("sampler: grid (all 2 candidates can be tried") for text in told)
    assert told.count("all 2 candidates of the grid were proposed") == 1
    assert Ledger.open(Home(tmp_path).study("tiny")).config.sampler == "grid"


def test_a_study_whose_sampler_does_not_suit_it_is_not_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "study.toml"
    file.write_text(to_toml(tiny_config(sampler="gp", families=("lenet", "vgg"), space={})), encoding="utf-8")
    with pytest.raises(SystemExit) as raised:
        main(["search", "--config", str(file), "--home", str(tmp_path)])
    assert raised.value.code == 2
    told = capsys.readouterr().err
    assert "study.sampler: must be one for conditional spaces" in told and "Traceback" not in told
    assert "tiny" not in Ledger.names(Home(tmp_path))
