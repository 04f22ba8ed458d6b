"""A study's configuration: every problem is named at once, and what is written is read back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from convscout.search_space.errors import ConfigError, UserError
from convscout.search_space.space import SearchSpace
from convscout.services.config.home import Home
from convscout.services.config.study_config import DEFAULT_TIME_S, SETTINGS, StudyConfig, merge
from convscout.services.config.toml import load_toml, to_toml
from convscout.services.executors.placement import check_environment
from convscout.trials.data.extent import Available, Extent

FULL: dict[str, Any] = {
    "name": "full",
    "data": "cifar10",
    "seed": 7,
    "families": ("resnet", "vgg"),
    "objective": ("macro_f1", "params"),
    "sampler": "random",
    "pruner": "median",
    "fair": "none",
    "portfolio": False,
    "control": True,
    "repeats": 2,
    "data_dir": "/data",
    "image_size": 24,
    "share": 0.5,
    "validation_share": 0.2,
    "max_bad_images": 0.0,
    "trials": 50,
    "time_s": 5400.5,
    "scouts": 24,
    "contenders": 3,
    "epochs": 12,
    "epochs_total": 400,
    "gpu_hours": 2.5,
    "disk": 2**30,
    "target_accuracy": 0.95,
    "until_converged": True,
    "max_params": 1_500_000,
    "max_flops": 40_000_000,
    "max_memory": 2**31,
    "max_latency": 0.005,
    "executor": "in-process",
    "ray_address": "127.0.0.1:6379",
    "workers": 2,
    "threads": 1,
    "gpus_per_trial": 0.25,
    "device": "cpu",
    "precision": "float32",
    "deterministic": True,
    "ensemble_size": 3,
    "ensemble_strategy": "weighted",
    "ensemble_max_params": 1_500_000,
    "ensemble_max_bytes": 5_000_000,
    "ensemble_max_latency": 0.005,
    "refit": True,
    "refit_seeds": 2,
    "formats": ("pt2",),
    "space": {
        "resnet.width": {"low": 16, "high": 32},
        "recipe.optimizer": "sgd",
        "sgd.learning_rate": {"choices": [0.1, 0.05]},
    },
}


def problems_of(**options: Any) -> dict[str, str]:
    """What is wrong with a study of digits under ``options``, by field."""
    with pytest.raises(ConfigError) as raised:
        StudyConfig.from_options({"name": "s", "data": "digits", **options})
    return {problem.field: problem.rule for problem in raised.value.problems}


def test_the_full_example_sets_every_field() -> None:
    config = StudyConfig(**FULL)
    assert set(FULL) == set(SETTINGS)
    assert all(getattr(config, name) == value for name, value in FULL.items())


@pytest.mark.parametrize("options", [FULL, {"name": "s", "data": "digits"}, {**FULL, "time_s": None}])
def test_toml_and_json_are_read_back(options: dict[str, Any], tmp_path: Path) -> None:
    config = StudyConfig(**options)
    (tmp_path / "study.toml").write_text(to_toml(config), encoding="utf-8")
    assert StudyConfig.from_options(load_toml(tmp_path / "study.toml")) == config
    assert StudyConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_study_that_names_a_plug_in_that_is_gone_can_be_read_but_not_begun_again() -> None:
    kept = StudyConfig(name="s", data="digits", trials=3, families=("vgg",)).to_dict() | {
        "families": ["gone"],
        "sampler": "gone",
        "data": "gone",
        "space": {"gone.width": 3},
    }
    read = StudyConfig.from_dict(json.loads(json.dumps(kept)))
    assert (read.families, read.sampler, read.data) == (("gone",), "gone", "gone")
    assert read.to_dict() == kept
    with pytest.raises(ConfigError) as caught:
        StudyConfig.from_options(read.to_dict())
    assert {problem.field for problem in caught.value.problems} >= {
        "study.families",
        "study.sampler",
        "study.data",
    }


def test_what_was_kept_is_still_checked_for_what_no_plug_in_decides() -> None:
    kept = StudyConfig(name="s", data="digits", trials=3).to_dict() | {"trials": 0, "colour": "red"}
    del kept["name"]
    with pytest.raises(ConfigError) as caught:
        StudyConfig.from_dict(kept)
    assert {problem.field for problem in caught.value.problems} == {"budget.trials", "colour", "study.name"}


def test_toml_shows_units_and_leaves_what_is_open_as_a_comment() -> None:
    text = to_toml(StudyConfig(name="s", data="digits", time_s=5400))
    assert 'time = "1h30m"' in text
    assert "# image_size =" in text


def test_a_file_may_spell_durations_counts_and_knobs_freely(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(
        '[study]\nname = "s"\ndata = "digits"\n[budget]\ntime = "1h30m"\n[limits]\nmax_params = "1.5M"\n'
        "[space]\nresnet.width = {high = 32}\nrecipe.batch_size = 64\n",
        encoding="utf-8",
    )
    config = StudyConfig.from_options(load_toml(tmp_path / "study.toml"))
    assert (config.time_s, config.max_params) == (5400, 1_500_000)
    assert config.space == {"resnet.width": {"high": 32}, "recipe.batch_size": 64}


def test_flags_win_over_the_file_and_none_says_nothing() -> None:
    file = {"budget.time": "10m", "budget.trials": 5, "study.seed": 1}
    assert merge(file, {"time": "2m", "trials": None, "seed": 3}) == {"time_s": "2m", "trials": 5, "seed": 3}


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        StudyConfig.from_options(
            {"budget.tiem": "10m", "study.seed": -1, "families": "resnt", "trials": 10**9}
        )
    told = str(raised.value).splitlines()
    assert [line.partition(":")[0] for line in told] == [
        "budget.tiem",
        "study.name",
        "study.data",
        "study.seed",
        "study.families",
        "budget.trials",
    ]
    assert "did you mean 'budget.time'?" in told[0]
    assert "did you mean 'resnet'?" in told[4]
    assert told[5] == "budget.trials: must be a whole number from 1 to 100,000, but got 1000000000"


@pytest.mark.parametrize(
    ("option", "value", "field"),
    [
        ("name", "../x", "study.name"),
        ("name", "..", "study.name"),
        ("name", "a" * 65, "study.name"),
        ("name", "a b", "study.name"),
        ("name", "", "study.name"),
        ("name", 7, "study.name"),
        ("data", "digts", "study.data"),
        ("data", "folder:", "study.data"),
        ("data", "digits:x", "study.data"),
        ("data", 7, "study.data"),
        ("seed", 1.5, "study.seed"),
        ("families", "lenet,lenet", "study.families"),
        ("families", 3, "study.families"),
        ("families", [["lenet"]], "study.families"),
        ("sampler", "tpee", "study.sampler"),
        ("pruner", 3, "study.pruner"),
        ("fair", "famly", "study.fair"),
        ("portfolio", "yes", "study.portfolio"),
        ("image_size", 2, "data.image_size"),
        ("data_dir", 3, "data.data_dir"),
        ("share", 0, "data.share"),
        ("share", 2, "data.share"),
        ("data-share", "half", "data.share"),
        ("validation_share", 0, "data.validation_share"),
        ("validation_share", math.nan, "data.validation_share"),
        ("validation_share", "0.1", "data.validation_share"),
        ("max_bad_images", 1, "data.max_bad_images"),
        ("trials", 0, "budget.trials"),
        ("trials", True, "budget.trials"),
        ("time", "0s", "budget.time"),
        ("time", math.inf, "budget.time"),
        ("time", "366d", "budget.time"),
        ("epochs", "many", "budget.epochs"),
        ("max_params", math.nan, "limits.max_params"),
        ("max_flops", "many", "limits.max_flops"),
        ("max_memory", "2X", "limits.max_memory"),
        ("max_memory", "1k", "limits.max_memory"),
        ("max_latency", "5 parsecs", "limits.max_latency"),
        ("repeats", 0, "study.repeats"),
        ("executor", "slurm", "resources.executor"),
        ("workers", -2, "resources.workers"),
        ("gpus_per_trial", 0, "resources.gpus_per_trial"),
        ("gpus_per_trial", 1.5, "resources.gpus_per_trial"),
        ("gpus_per_trial", "1/0", "resources.gpus_per_trial"),
        ("gpus_per_trial", math.nan, "resources.gpus_per_trial"),
        ("gpus_per_trial", True, "resources.gpus_per_trial"),
        ("gpus_per_trial", "some", "resources.gpus_per_trial"),
        ("device", "tpu", "resources.device"),
        ("precision", "int8", "resources.precision"),
        ("ensemble_size", 0, "ensemble.size"),
        ("space", 3, "space"),
        ("space", {"resnet.width": {"low": 64, "high": 16}}, "space.resnet.width"),
        ("space", {"resnet.width": {"choices": []}}, "space.resnet.width"),
        ("space", {"resnet.width": {"choices": [16, 16]}}, "space.resnet.width"),
        ("space", {"sgd.learning_rate": 0}, "space.sgd.learning_rate"),
        ("space", {"sgd.learning_rate": math.nan}, "space.sgd.learning_rate"),
        ("space", {"recipe.optimizer": "sdg"}, "space.recipe.optimizer"),
        ("space", {"resnet.wdth": 3}, "space.resnet.wdth"),
        ("space", {"width": 3}, "space.width"),
    ],
)
def test_a_bad_value_is_named_with_its_rule(option: str, value: object, field: str) -> None:
    problems = problems_of(**{option: value})
    assert list(problems) == [field]
    assert len(problems[field]) > len("must be")


@pytest.mark.parametrize(("spelled", "kept"), [("auto", "auto"), ("1/4", 0.25), ("0.5", 0.5), (1, 1.0)])
def test_a_share_of_a_gpu_may_be_spelled_as_a_fraction(spelled: object, kept: object) -> None:
    assert (
        StudyConfig.from_options({"name": "s", "data": "digits", "gpus_per_trial": spelled}).gpus_per_trial
        == kept
    )


def test_a_knob_of_a_family_that_does_not_take_part_is_refused() -> None:
    assert list(problems_of(families="lenet", space={"resnet.width": 16})) == ["space.resnet.width"]


def test_locations_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = StudyConfig(name="s", data="folder:flowers", data_dir="downloads", trials=1)
    assert config.data == f"folder:{tmp_path}/flowers"
    request = config.data_request(Home(tmp_path))
    assert (request.data_dir, request.cache) == (tmp_path / "downloads", tmp_path / "cache")


def test_the_whole_is_a_share_and_nothing_is_not() -> None:
    assert StudyConfig(name="s", data="digits", share=1).share == 1
    assert problems_of(share=0) == {"data.share": "must be a share above 0 and at most 1"}


def test_what_the_study_leaves_open_of_its_images_is_chosen(tmp_path: Path) -> None:
    def choose(available: Available) -> Extent:
        return Extent(share=0.5)

    request = StudyConfig(name="s", data="digits", image_size=16).data_request(Home(tmp_path), choose)
    assert (request.share, request.image_size, request.choose) == (None, 16, choose)
    assert StudyConfig(name="s", data="digits", share=0.2).data_request(Home(tmp_path)).share == 0.2


def test_a_study_without_a_budget_gets_ten_minutes() -> None:
    assert StudyConfig(name="s", data="digits").time_s == DEFAULT_TIME_S == 600
    assert StudyConfig(name="s", data="digits", trials=3).time_s is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe[study]", "must be UTF-8"),
        (b"[study\nname = 1", "is not valid TOML"),
        (b"[study]\nname = 'a'\nname = 'b'", "is not valid TOML"),
    ],
)
def test_a_broken_file_is_named(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=told) as raised:
        load_toml(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml: cannot be read"):
        load_toml(tmp_path / "nowhere.toml")


def test_the_whole_space_holds_every_family_and_optimizer() -> None:
    prefixes = {name.partition(".")[0] for name in SearchSpace.for_any_image((), {}).knobs()}
    assert {"lenet", "resnet", "vgg", "recipe", "sgd", "adamw"} <= prefixes


def test_float16_is_for_gpus() -> None:
    config = StudyConfig(name="s", data="digits", device="cpu", precision="float16")
    with pytest.raises(
        ConfigError, match="precision: must be one of auto, float32, bfloat16 where trials train"
    ):
        check_environment(config)
