"""Explaining: writes what an ensemble and its members look at as PNG files, whole or not at all."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from convscout.search_space.errors import DataError, UnknownNameError
from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.events.events import Listener, Loading
from convscout.services.explaining.drawing import Panel, explanation, filters_sheet, units_sheet
from convscout.services.explaining.layers import Excitations, excitations, first_filters
from convscout.services.explaining.method import Method
from convscout.services.explaining.networks import (
    CalibratedNetwork,
    ExplainedNetwork,
    networks,
    normalise,
    weightiest,
)
from convscout.services.export.json_file import read_json
from convscout.services.inference.images import InputPicture, Pictures, pictures_of
from convscout.services.plugins import methods
from convscout.services.system.directories import refuse_foreign, replacing
from convscout.trials.data.splits import DataSplits, Pixels

EXPLANATIONS_FILE = "explanations.json"
_DPI = 100
_TOP = 5  # classes
_MOST_FILTERS = 256
_MOST_IMAGES = 4096  # of the data, among which those are sought that excite a unit
_EXCITING = 10  # images a unit
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class ExplainConfig:
    """What is to be drawn.

    ``methods`` are names, none means all there are. ``class_name`` is the class that is explained, the ensemble's
    answer unless given. ``members`` says how many of them are explained beside the ensemble, None means all.
    ``filters`` of the first layer are drawn or not, and so many ``units`` of the last.
    """

    methods: Sequence[str] = ()
    class_name: str | None = None
    members: int | None = None
    filters: bool = False
    units: int = 0


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """An image, the class that was explained, how probable the classes are, and the pictures by network."""

    path: str
    class_name: str
    top: dict[str, float]
    files: dict[str, str]


@dataclass(kw_only=True)
class Written:
    """What was written: explanations, further ``files``, and what was left out, each with the reason."""

    explanations: list[Explanation] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def all_files(self) -> list[str]:
        """The names of all pictures."""
        return [name for each in self.explanations for name in each.files.values()] + self.files

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def explain(
    ensemble: TrainedEnsemble,
    images: Pictures,
    wanted: ExplainConfig,
    output: Path,
    listener: Listener,
    data: DataSplits | None = None,
) -> Written:
    """Explain the pictures that ``images`` stand for into ``output``; an earlier explanation there is replaced.

    ``data`` holds the images for ``wanted.units``. Raises ``UnknownNameError`` for a method or class that there is
    not, ``DataError`` when there is nothing to draw, ``UserError`` when ``output`` holds anything else.
    """
    chosen = [methods.get(name)() for name in wanted.methods or methods.names()]
    if wanted.class_name is not None and wanted.class_name not in ensemble.class_names:
        raise UnknownNameError.among("class", wanted.class_name, ensemble.class_names)
    output = output.absolute()
    refuse_foreign(output, _earlier_files(output), "an explanation")
    with replacing(output) as fresh:
        job = _Job(ensemble, wanted, chosen, fresh, listener)
        job.explain_all(pictures_of(images, ensemble.white))
        if wanted.filters:
            job.draw_filters()
        if wanted.units:
            assert data is not None, "units are sought among images"
            job.draw_units(data)
        if not job.written.all_files:
            said = "; ".join(
                f"{path} {why}" for path, why in (job.written.unreadable | job.written.skipped).items()
            )
            raise DataError(f"nothing could be explained: {said}")
        text = json.dumps(job.written.to_dict(), indent=2, ensure_ascii=True)
        (fresh / EXPLANATIONS_FILE).write_text(text + "\n", encoding="utf-8")
    return job.written


class _Job:
    """One call of ``explain``: draws into ``target`` and notes what it wrote."""

    def __init__(
        self,
        ensemble: TrainedEnsemble,
        wanted: ExplainConfig,
        chosen: Sequence[Method],
        target: Path,
        listener: Listener,
    ) -> None:
        self.written = Written()
        self._ensemble = ensemble
        self._wanted = wanted
        self._chosen = chosen
        self._target = target
        self._listener = listener
        self._networks = networks(ensemble, wanted.members)

    def explain_all(self, pictures: Sequence[InputPicture]) -> None:
        """A picture of every network for each of ``pictures`` that can be read."""
        image = self._ensemble.image
        for index, picture in enumerate(pictures):
            self._listener(Loading(description="explaining", done=index, total=len(pictures)))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="PIL")  # a damaged file is named in our own words
                try:
                    pixels = picture.read(image.image_size, image.in_channels)
                except DataError as error:
                    self.written.unreadable[picture.name] = error.message
                    continue
            self._explain_one(Path(picture.name), f"{index + 1:03d}-{_safe(Path(picture.name).stem)}", pixels)
        self._listener(Loading(description="explaining", done=len(pictures), total=len(pictures)))

    def _explain_one(self, file: Path, name: str, pixels: Pixels) -> None:
        image = normalise(pixels[np.newaxis], self._ensemble)  # (1, C, H, W)
        whole = self._networks[0].probabilities(image)[0]  # (K,)
        classes = self._ensemble.class_names
        target = int(whole.argmax())
        if self._wanted.class_name is not None:
            target = classes.index(self._wanted.class_name)
        drawn = {}
        for network in self._networks:
            said = network.probabilities(image)[0]  # (K,)
            top = {classes[i]: float(said[i]) for i in np.argsort(-said, kind="stable")[:_TOP]}
            title = f"{file.name}: what speaks for {classes[target]}, {network.title} ({said[target]:.1%})"
            figure = explanation(pixels, self._panels(network, image, target), top, title)
            drawn[network.name] = self._save(figure, f"{name}-{network.name}.png")
        best = {classes[i]: float(whole[i]) for i in np.argsort(-whole, kind="stable")[:_TOP]}
        self.written.explanations.append(
            Explanation(path=str(file), class_name=classes[target], top=best, files=drawn)
        )

    def _panels(self, network: ExplainedNetwork, image: Tensor, target: int) -> list[Panel]:
        panels = []
        for method in self._chosen:
            heat = method.heat(network, image, target)
            if isinstance(heat, str):
                self.written.skipped[f"{method.name} of {network.title}"] = heat
            else:
                panels.append(Panel(method.name, heat, signed=method.signed, coarse=method.coarse))
        return panels

    def draw_filters(self) -> None:
        """A sheet of the first layer of each member."""
        for member in weightiest(self._ensemble, self._wanted.members or None):
            part, title = CalibratedNetwork(member.build(self._ensemble.image), 1.0), f"trial {member.name}"
            filters = first_filters(part.network, self._blank)
            if filters is None:
                self.written.skipped[f"filters of {title}"] = "its first layer does not look at pixels"
                continue
            shown = f", the first {_MOST_FILTERS}" if len(filters) > _MOST_FILTERS else ""
            heading = (
                f"{title}, {member.architecture.family}: {len(filters)} filters of the first layer{shown}"
            )
            sheet = filters_sheet(filters[:_MOST_FILTERS], heading)
            self.written.files.append(self._save(sheet, f"filters-{member.stem}.png"))

    def draw_units(self, data: DataSplits) -> None:
        """A sheet of the last layer of each member: the validation images that excite its most choosy units."""
        images, labels = data.validation.images[:_MOST_IMAGES], data.validation.labels
        for member in weightiest(self._ensemble, self._wanted.members or None):
            network = CalibratedNetwork(member.build(self._ensemble.image), 1.0).network
            found = []
            for start in range(0, len(images), _BATCH):
                pixels = np.asarray(images[start : start + _BATCH])
                found.append(excitations(network, normalise(pixels, self._ensemble)))
                done = min(start + _BATCH, len(images))
                self._listener(
                    Loading(description=f"looking at trial {member.name}", done=done, total=len(images))
                )
            excited = np.concatenate(found)  # (N, F)
            rows = {}
            for unit in choosy(excited, self._wanted.units):
                best = np.argsort(-excited[:, unit], kind="stable")[:_EXCITING]
                rows[unit] = [
                    (np.asarray(images[i : i + 1])[0], data.class_names[labels[i]]) for i in best.tolist()
                ]
            heading = (
                f"trial {member.name}, {member.architecture.family}: what excites units of the last layer"
            )
            self.written.files.append(self._save(units_sheet(rows, heading), f"units-{member.stem}.png"))

    @property
    def _blank(self) -> Tensor:
        image = self._ensemble.image
        return torch.zeros(1, image.in_channels, image.image_size, image.image_size)

    def _save(self, figure: Figure, name: str) -> str:
        figure.savefig(self._target / name, dpi=_DPI)
        return name


def choosy(excited: Excitations, count: int) -> list[int]:
    """The ``count`` units whose strongest images stand out most, of (N, F) excitations.

    A unit that another was chosen for before, by its strongest image, comes after all others.
    """
    deviation = excited.std(axis=0)
    outstanding = (excited.max(axis=0) - excited.mean(axis=0)) / np.where(deviation > 0, deviation, np.inf)
    order = np.argsort(-outstanding, kind="stable")
    _, first = np.unique(excited.argmax(axis=0)[order], return_index=True)
    others = np.setdiff1d(np.arange(len(order)), first)
    return [int(unit) for unit in order[np.concatenate([np.sort(first), others])][:count]]


def _earlier_files(directory: Path) -> set[str]:
    """The files of an earlier explanation in ``directory``, as far as they can be told."""
    try:
        earlier = read_json(directory / EXPLANATIONS_FILE)
        named = [name for each in earlier["explanations"] for name in each["files"].values()]
        return {EXPLANATIONS_FILE, *named, *earlier["files"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {EXPLANATIONS_FILE}


def _safe(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem)[:40] or "image"
