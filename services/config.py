"""StudyConfig: everything a person can ask of a study; reads and writes TOML, reports all errors at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from search_space.knobs import Override


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """One study. Field order is the order of the TOML file; each comment is its help text.

    Durations are seconds, counts are plain numbers: ``"10m"`` and ``"1.5M"`` are the TOML and
    command-line spellings.
    """

    name: str
    data: str  # digits, mnist, fashion-mnist, cifar10, cifar100, svhn, folder:PATH or npz:FILE
    seed: int = 0
    # data
    data_dir: str | None = None  # where downloaded data lies or goes
    image_size: int | None = None  # side in pixels to resize to
    validation_share: float = 0.1
    max_bad_images: float = 0.01  # share of unreadable files that is skipped before giving up
    # search
    families: tuple[str, ...] = ()  # empty: all that take part by default
    sampler: str = "tpe"
    pruner: str = "asha"
    portfolio: bool = True  # try each family's proven configuration first
    # budget
    trials: int | None = None
    time_s: float | None = None  # of the whole command: search, ensemble and export
    epochs: int | None = None  # of a full trial; None: chosen by the number of images
    # limits
    max_params: int | None = None
    # resources
    executor: str = "ray"
    workers: int | None = None  # None: one a core (ray), one (in-process)
    threads: int | None = None  # of one worker; None: one (ray), all cores (in-process)
    device: str = "auto"  # auto, cpu, cuda
    precision: str = "auto"
    # ensemble
    ensemble_size: int = 5  # most distinct members
    # knobs narrowed or fixed, by full name
    space: Mapping[str, Override] = field(default_factory=dict)
