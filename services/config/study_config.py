"""StudyConfig: everything a person can ask of a study; reads and writes TOML, reports all errors at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from convscout.search_space.architecture import families
from convscout.search_space.constraints import Limits
from convscout.search_space.errors import ConfigError, Problem
from convscout.search_space.knobs import Override
from convscout.search_space.recipe import PRECISIONS
from convscout.search_space.space import SearchSpace
from convscout.services.config.home import Home
from convscout.services.config.setting_types import (
    AUTO,
    Address,
    Bytes,
    DataName,
    Directory,
    Duration,
    Flag,
    GpuShare,
    Hours,
    KnobTable,
    ObjectiveNames,
    OneOf,
    SettingType,
    Share,
    SomeOf,
    StudyName,
    Whole,
    did_you_mean,
)
from convscout.services.plugins import exporters, pruners, samplers, selectors
from convscout.trials.evaluation.qualities import QUALITIES

if TYPE_CHECKING:
    from convscout.services.config.objectives import Objectives
    from convscout.trials.data.sources import Available, DataRequest, Extent

DEFAULT_TIME_S = 600.0  # of a search that is given no other budget which must end
ENDING = ("time_s", "trials", "epochs_total", "gpu_hours", "until_converged")
"""Budgets of which one is enough to end a search."""
EXECUTORS = ("ray", "in-process")
DEVICES = ("auto", "cpu", "cuda")
FAIRNESS = ("family", "none")
_YEAR_S = 365 * 86_400.0


def strategies() -> tuple[str, ...]:
    """Those by which an ensemble can be selected, and ``auto``, which compares them."""
    return (AUTO, *selectors.names())


def _objectives() -> tuple[str, ...]:
    from convscout.services.config.objectives import (
        objective_names,  # Optuna: `convscout --help` must not wait
    )

    return objective_names()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a field is checked and spelled: ``key`` in the TOML table ``section``, ``flag`` on the command line."""

    section: str
    key: str
    flag: str
    rule: SettingType
    help: str
    optional: bool  # whether it may be left open (None)

    @property
    def path(self) -> str:
        """What errors call it: ``budget.time``."""
        return f"{self.section}.{self.key}".rstrip(".")

    def spellings(self, name: str) -> tuple[str, ...]:
        """What a person may call the field ``name`` that this describes."""
        found = (name, self.path, self.flag, self.flag.replace("-", "_"))
        return tuple(dict.fromkeys(spelling for spelling in found if spelling))


_REQUIRED: Any = dataclasses.MISSING


def _setting(place: str, rule: SettingType, help: str, *, default: Any = None, flag: str = "") -> Any:
    """Declare a field with everything that files, flags and errors need to know of it.

    ``place`` is its section and key in a file; its flag is the key unless another is given.
    """
    section, _, key = place.partition(".")
    flag = flag or key.replace("_", "-")
    return field(
        default=default, metadata={"section": section, "key": key, "flag": flag, "rule": rule, "help": help}
    )


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """One study, checked when made. Field order is the order of the TOML file.

    Durations are seconds, counts are plain numbers: ``"10m"`` and ``"1.5M"`` are the TOML and
    command-line spellings, understood here too. Raises ``ConfigError`` with every problem there is.
    """

    name: str = _setting("study.name", StudyName(), "name of the study", default=_REQUIRED, flag="study")
    data: str = _setting("study.data", DataName(), "a dataset, folder:PATH or npz:FILE", default=_REQUIRED)
    seed: int = _setting("study.seed", Whole(0, 2**31 - 1), "seed of everything random", default=0)
    families: tuple[str, ...] = _setting(
        "study.families",
        SomeOf(families.names),
        "architecture families, as convscout families lists them",
        default=(),
    )
    objective: tuple[str, ...] = _setting(
        "study.objective",
        ObjectiveNames(_objectives, lambda: QUALITIES),
        "what is made best: accuracy, macro_f1, nll, …; or a front: accuracy,latency",
        default=("accuracy",),
    )
    sampler: str = _setting(
        "study.sampler",
        OneOf(samplers.names),
        "how candidates are proposed: auto, tpe, random, …",
        default=AUTO,
    )
    pruner: str = _setting(
        "study.pruner",
        OneOf(pruners.names),
        "which trials stop early: median, asha, hyperband, percentile, wilcoxon, patient, none",
        default="median",  # asha misses what begins slowly: docs/performance.md
    )
    fair: str = _setting(
        "study.fair",
        OneOf(lambda: FAIRNESS),
        "family: no family is stopped for starting slowly; none: all compete from the start",
        default="family",
    )
    portfolio: bool = _setting(
        "study.portfolio", Flag(), "try each family's proven network first", default=True
    )
    control: bool = _setting(
        "study.control",
        Flag(),
        "also train the control, the best known recipe, as it is, and say by how much the ensemble beats it",
        default=False,
    )
    repeats: int = _setting(
        "study.repeats",
        Whole(1, 100),
        "times that a configuration is trained, by seed, once it went to its end",
        default=1,
    )
    data_dir: str | None = _setting("data.data_dir", Directory(), "where downloaded data lies or goes")
    image_size: int | None = _setting("data.image_size", Whole(4, 1024), "side in pixels to resize to")
    share: float | None = _setting(
        "data.share",
        Share(1, zero=False, whole=True),
        "share of the images to read, class by class; unless given, as much as the time has room for",
        flag="data-share",
    )
    validation_share: float | None = _setting(
        "data.validation_share",
        Share(0.5, zero=False),
        "of the training images, held out; unless given 0.1, or some 1,000 images if there is time for one network",
    )
    max_bad_images: float = _setting(
        "data.max_bad_images", Share(1, zero=True), "share of unreadable files to skip at most", default=0.01
    )
    trials: int | None = _setting("budget.trials", Whole(1, 100_000), "trials in all")
    time_s: float | None = _setting(
        "budget.time",
        Duration(1, _YEAR_S),
        "of the whole command: 90s, 10m, 1h30m; 10m without another budget",
    )
    scouts: int | None = _setting(
        "budget.scouts",
        Whole(0, 100_000),
        "short trials, whose best are trained in full: so many at most; by the time unless given, 0 for none",
    )
    contenders: int | None = _setting(
        "budget.contenders",
        Whole(1, 100_000),
        "full trials at most; unless given, as many as there is time for",
    )
    epochs: int | None = _setting(
        "budget.epochs", Whole(1, 10_000), "of a full trial; by the data unless given"
    )
    epochs_total: int | None = _setting(
        "budget.epochs_total", Whole(1, 10**9), "epochs of all trials together"
    )
    gpu_hours: float | None = _setting(
        "budget.gpu_hours", Hours(), "of all trials together; two that share a GPU use half of it each"
    )
    disk: int | None = _setting(
        "budget.disk",
        Bytes(2**20, 2**60),
        "what checkpoints may take on disk: 500MB, 20GiB; MLflow then keeps no copies",
    )
    target_accuracy: float | None = _setting(
        "budget.target_accuracy", Share(1, zero=False), "validation accuracy that ends the search"
    )
    until_converged: bool = _setting(
        "budget.until_converged",
        Flag(),
        "end the search when more trials are expected to gain less than the noise of the validation images",
        default=False,
    )
    max_params: int | None = _setting("limits.max_params", Whole(1, 10**12), "largest network: 300k, 1.5M")
    max_flops: int | None = _setting(
        "limits.max_flops", Whole(1, 10**15), "most multiply-adds of one image: 40M, 1.5G"
    )
    max_memory: int | None = _setting(
        "limits.max_memory", Bytes(2**20, 2**50), "most memory of a training step: 500MB, 2GiB"
    )
    max_latency: float | None = _setting(
        "limits.max_latency", Duration(1e-5, 60), "longest that a network takes for one image: 5ms"
    )
    executor: str = _setting(
        "resources.executor",
        OneOf(lambda: EXECUTORS),
        "what runs the trials: ray or in-process",
        default="ray",
    )
    ray_address: str | None = _setting(
        "resources.ray_address",
        Address(),
        "existing Ray cluster that runs the trials; else this machine does",
    )
    workers: int | None = _setting(
        "resources.workers",
        Whole(1, 1024),
        "trials at a time; unless given, as many as fit on the GPUs, or a core each, or fewer in little time",
    )
    threads: int | None = _setting(
        "resources.threads", Whole(1, 1024), "of one worker; unless given, its cores"
    )
    gpus_per_trial: float | str = _setting(
        "resources.gpus_per_trial",
        GpuShare(),
        "share of a GPU that a trial gets, or auto: by the memory that it is predicted to take",
        default=AUTO,
    )
    device: str = _setting(
        "resources.device",
        OneOf(lambda: DEVICES),
        "where networks are trained: auto, cpu or cuda",
        default="auto",
    )
    precision: str = _setting(
        "resources.precision",
        OneOf(lambda: PRECISIONS),
        "number format: auto, float32, bfloat16 or, on a GPU, float16",
        default="auto",
    )
    deterministic: bool = _setting(
        "resources.deterministic",
        Flag(),
        "a trial of the same seed, machine and threads (1 unless given) ends in the same bits, killed or not",
        default=False,
    )
    ensemble_size: int = _setting(
        "ensemble.size", Whole(1, 100), "most distinct members", default=5, flag="ensemble-size"
    )
    ensemble_strategy: str = _setting(
        "ensemble.strategy",
        OneOf(strategies),
        "how members are selected: auto, greedy, bagged, weighted, diverse, stacking, top-k",
        default=AUTO,
        flag="ensemble-strategy",
    )
    ensemble_max_params: int | None = _setting(
        "ensemble.max_params",
        Whole(1, 10**12),
        "of all members together: 300k, 1.5M",
        flag="ensemble-max-params",
    )
    ensemble_max_bytes: int | None = _setting(
        "ensemble.max_bytes",
        Bytes(2**10, 2**50),
        "of all members' weights: 5MB",
        flag="ensemble-max-bytes",
    )
    ensemble_max_latency: float | None = _setting(
        "ensemble.max_latency",
        Duration(1e-5, 60),
        "of all members for one image: 5ms",
        flag="ensemble-max-latency",
    )
    refit: bool = _setting(
        "ensemble.refit",
        Flag(),
        "train the members once more on training and validation images, in time that is kept back for it",
        default=False,
    )
    refit_seeds: int = _setting(
        "ensemble.refit_seeds", Whole(1, 10), "networks that each member is refitted as", default=1
    )
    formats: tuple[str, ...] = _setting(
        "ensemble.formats",
        SomeOf(exporters.names),
        "what to export beside bundle, onnx and standalone",
        default=(),
    )
    space: Mapping[str, Override] = field(
        default_factory=dict,
        metadata={
            "section": "space",
            "key": "",
            "flag": "",
            "rule": KnobTable(),
            "help": "knobs by full name",
        },
    )

    def __post_init__(self) -> None:
        parsed, problems = _check(vars(self))
        if problems:
            raise ConfigError(problems)
        if not any(parsed[name] for name in ENDING):
            parsed["time_s"] = DEFAULT_TIME_S
        if parsed["deterministic"] and parsed["threads"] is None:
            parsed["threads"] = 1  # sums in another order differ in their last bits
        for name, value in parsed.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, by field name."""
        plain = {
            name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()
        }
        return {**plain, "space": dict(self.space)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``; names were checked when the study was made, and are not looked up again.

        So a study can be read without loading what it names, torch and every plug-in.
        """
        named = merge(values)
        parsed, problems = _check(named, restored=True)
        problems = [*_find_misnamed(named), *problems]
        if problems:
            raise ConfigError(problems)
        config = cls.__new__(cls)  # whose ``__post_init__`` would look names up
        for name in SETTINGS:
            object.__setattr__(config, name, parsed[name] if name in parsed else _DEFAULTS[name])
        return config

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """From settings spelled as a field, a flag (``time``) or a TOML path (``budget.time``); None says nothing."""
        named = merge(options)
        problems = [*_find_misnamed(named), *_check(named)[1]]
        if problems:
            raise ConfigError(problems)
        return cls(**named)

    @property
    def objectives(self) -> Objectives:
        """What the study makes large or small."""
        from convscout.services.config.objectives import Objectives  # Optuna, as above

        return Objectives(self.objective)

    @property
    def limits(self) -> Limits:
        """What a candidate may cost."""
        return Limits(**{limit.name: getattr(self, limit.name) for limit in dataclasses.fields(Limits)})

    def data_request(self, home: Home, choose: Callable[[Available], Extent] | None = None) -> DataRequest:
        """Which images the study wants, and how; ``choose`` decides what of their share and size it leaves open."""
        from convscout.trials.data.sources import DataRequest  # NumPy, as above

        return DataRequest(
            data=self.data,
            data_dir=Path(self.data_dir) if self.data_dir else None,
            image_size=self.image_size,
            share=self.share,
            choose=choose,
            validation_share=self.validation_share,
            max_bad_images=self.max_bad_images,
            seed=self.seed,
            cache=home.cache,
        )


def _settings() -> Iterator[tuple[str, Setting]]:
    for each in dataclasses.fields(StudyConfig):
        yield each.name, Setting(**each.metadata, optional=each.default is None)


SETTINGS: Mapping[str, Setting] = dict(_settings())
"""Every setting by field name."""

_REQUIRED_NAMES = ("name", "data")
_DEFAULTS: Mapping[str, Any] = {
    each.name: {} if each.default is dataclasses.MISSING else each.default
    for each in dataclasses.fields(StudyConfig)
    if each.name not in _REQUIRED_NAMES
}
_SPELLINGS: Mapping[str, str] = {
    spelling: name for name, each in SETTINGS.items() for spelling in each.spellings(name)
}


def _find_misnamed(named: Mapping[str, Any]) -> list[Problem]:
    """What is not a setting, and what must be given and is not."""
    problems = [
        Problem(field=name, value=value, rule=f"is not a setting{did_you_mean(name, _SPELLINGS)}")
        for name, value in named.items()
        if name not in SETTINGS
    ]
    return problems + [
        Problem(field=each.path, value=None, rule=f"must be given (--{each.flag}, or {each.path} in a file)")
        for name, each in SETTINGS.items()
        if name in _REQUIRED_NAMES and name not in named
    ]


def _check(values: Mapping[str, Any], *, restored: bool = False) -> tuple[dict[str, Any], list[Problem]]:
    """Values as a study keeps them, by field name, and what is wrong with the others; unknown names are left out.

    Of what was ``restored`` from what a study keeps, names are not looked up.
    """
    parsed: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in values.items():
        if (each := SETTINGS.get(name)) is None:
            continue
        read = each.rule.restore if restored else each.rule.parse
        try:
            parsed[name] = None if value is None and each.optional else read(value)
        except ValueError as error:
            problems.append(Problem(field=each.path, value=value, rule=str(error)))
    known_families = "families" in parsed or "families" not in values
    if parsed.get("space") and known_families and not restored:
        problems += _space_problems(parsed.get("families", ()), parsed["space"])
    return parsed, problems


def _space_problems(families: tuple[str, ...], overrides: Mapping[str, Override]) -> list[Problem]:
    """What a search space says of ``overrides``."""
    try:
        SearchSpace.for_any_image(families, overrides)
    except ConfigError as error:
        return [dataclasses.replace(problem, field=f"space.{problem.field}") for problem in error.problems]
    return []


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by field name; later layers win, and None says nothing. Unknown names are kept, for ``from_dict``."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if value is not None:
                merged[_SPELLINGS.get(name, name)] = value
    return merged
