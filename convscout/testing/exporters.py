"""Kit for export formats: what a format writes, and what it answers once it is read back."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from convscout.search_space.architecture import ImageSpec, families
from convscout.search_space.errors import ConvscoutError, ExportError
from convscout.services.ensembles.trained import TrainedEnsemble, TrainedMember
from convscout.services.export import checksums
from convscout.services.export.parity import Parity, questions
from convscout.services.export.reload import Reloaded, ask
from convscout.services.export.writer import PARITY_FILE, Examples, Exporter
from convscout.services.plugins import exporters
from convscout.trials.data.splits import Normalization
from convscout.trials.evaluation.metrics import Probabilities
from convscout.trials.evaluation.tta import VIEWS

_IMAGE = ImageSpec(in_channels=3, image_size=16, num_classes=4)
_NUM_EXAMPLES = 300


def check_exporter(exporter: type[Exporter]) -> None:
    """``exporter`` writes its own files alone, and what it wrote answers as the ensemble does, wherever it is moved.

    Formats that it needs are written before it. It is read back in a fresh process, so its ``reader`` must be a
    function that this can import. Weights that do not fit are written as they are, or refused by ``ConvscoutError``.
    """
    ensemble = _ensemble()
    before = {member.name: _digests(member) for member in ensemble.members}
    with TemporaryDirectory() as place:
        bench = _Bench(exporter(_examples(ensemble)), Path(place).resolve())
        bench.prepare(ensemble)
        first, again = (bench.write(ensemble, name) for name in ("first", "again"))
        assert first == again, f"it writes {sorted(first)}, and then {sorted(again)}"
        assert {member.name: _digests(member) for member in ensemble.members} == before, (
            "it changes the weights of the ensemble"
        )
        bench.check_files("first", first)
        moved = (bench.root / "first").rename(bench.root / "moved")
        if exporter.reader:
            _check_answers(exporter, ensemble, moved)
        bench.check_figures(moved)
        bench.check_refusal(ensemble)
        for file in sorted(first):
            assert str(bench.root).encode() not in (moved / file).read_bytes(), (
                f"{file} names the directory that it was written into; an export is moved"
            )


@dataclass(frozen=True, eq=False)
class _Bench:
    """Directories below ``root`` into which ``exporter`` writes."""

    exporter: Exporter
    root: Path

    def prepare(self, ensemble: TrainedEnsemble) -> None:
        """Write the formats that are needed, in the order in which they build on each other."""
        (self.root / "needed").mkdir()
        (self.root / "elsewhere").mkdir()
        for needed in _needed(type(self.exporter)).values():
            needed(self.exporter.examples).write(ensemble, self.root / "needed")

    def write(self, ensemble: TrainedEnsemble, name: str) -> set[str]:
        """Write into the directory ``name``; returns the files that are new there."""
        directory = shutil.copytree(self.root / "needed", self.root / name)
        before = _contents(self.root)
        with chdir(self.root / "elsewhere"):
            self.exporter.write(ensemble, directory)
        after = _contents(self.root)
        changed = [path for path in before if after.get(path) != before[path]]
        assert not changed, f"it changes {_named(changed, self.root)}, which another format wrote"
        fresh = after.keys() - before.keys()
        outside = [path for path in fresh if not path.is_relative_to(directory)]
        assert not outside, f"it writes {_named(outside, self.root)} outside of its directory"
        assert fresh, "it writes nothing"
        return {path.relative_to(directory).as_posix() for path in fresh}

    def check_files(self, name: str, files: set[str]) -> None:
        """The ``files`` written into the directory ``name`` are its own and can be listed."""
        directory = self.root / name
        for file in sorted(files):
            path = directory / file
            assert file not in (PARITY_FILE, checksums.FILE), f"{file} is a file of every export"
            assert not path.is_symlink(), f"{file} is a link, which may lead nowhere once the export is moved"
        checksums.write_checksums(directory)
        try:
            checksums.listed_files(directory)
        except ExportError as error:
            raise AssertionError(
                f"{checksums.FILE} cannot list names such as {sorted(files)}; letters, digits, _, - and . are plain"
            ) from error

    def check_figures(self, directory: Path) -> None:
        """What else it says of what it wrote fits into ``parity.json``."""
        for name, value in self.exporter.figures(directory).items():
            assert isinstance(value, int | float) and math.isfinite(value), f"its figure {name} is {value!r}"

    def check_refusal(self, ensemble: TrainedEnsemble) -> None:
        """Weights that do not fit the architecture are no reason to fail without words."""
        broken = replace(ensemble, members=tuple(replace(each, weights={}) for each in ensemble.members))
        try:
            self.write(broken, "broken")
        except ConvscoutError as error:
            assert error.message.strip(), "it refuses without a reason"
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(
                f"weights that do not fit end it with {type(error).__name__} instead of ConvscoutError: {error}"
            ) from error


def _check_answers(exporter: type[Exporter], ensemble: TrainedEnsemble, directory: Path) -> None:
    """What it answers twice, in one fresh process."""
    batches = questions(_examples(ensemble).images)
    expected = ask(ensemble.build_module().answer, batches)
    try:
        with Reloaded(exporter.reader, directory) as process:
            answers: Probabilities = process.answers([*batches, *batches])
        first, again = answers[: len(expected)], answers[len(expected) :]
        Parity.of(batches, first, expected, exporter.tolerance).require()
    except ConvscoutError as error:
        raise AssertionError(f"read back by {exporter.reader}, {error.message}") from error
    assert answers.dtype == np.float32, f"its answers are {answers.dtype}, not float32"
    assert np.array_equal(first, again), "it answers otherwise the second time"


def _needed(exporter: type[Exporter]) -> dict[str, type[Exporter]]:
    found: dict[str, type[Exporter]] = {}
    for name in exporter.needs:
        needed = exporters.get(name)
        found |= {**_needed(needed), name: needed}
    return found


def _contents(root: Path) -> Mapping[Path, str]:
    """Every file below ``root`` with a hash of its content, or where it leads to if it is a link."""
    links = {path: str(path.readlink()) for path in root.rglob("*") if path.is_symlink()}
    files = {path: _digest(path.read_bytes()) for path in root.rglob("*") if path.is_file()}
    return files | links


def _digests(member: TrainedMember) -> Mapping[str, str]:
    return {name: _digest(value.numpy().tobytes()) for name, value in member.weights.items()}


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _named(paths: list[Path], root: Path) -> str:
    return ", ".join(sorted(path.relative_to(root).as_posix() for path in paths))


def _examples(ensemble: TrainedEnsemble) -> Examples:
    """Noise of differing brightness, labelled as the ensemble answers."""
    rng = np.random.default_rng(0)
    side, channels = ensemble.image.image_size, ensemble.image.in_channels
    brightness = rng.uniform(0.2, 1, (_NUM_EXAMPLES, 1, 1, channels))
    images = (rng.integers(256, size=(_NUM_EXAMPLES, side, side, channels)) * brightness).astype(np.uint8)
    return Examples(images=images, labels=ensemble.build_module().answer(images).argmax(axis=1))


def _ensemble() -> TrainedEnsemble:
    """Two networks with views, temperatures, and biases of the classes: all that an answer may depend on."""
    return TrainedEnsemble(
        study="a study",
        data="folder:animals",
        fingerprint="5e" * 32,
        class_names=("cat", "dog | wolf", "<img onerror>", "Ünicorn"),
        image=_IMAGE,
        normalization=Normalization(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)),
        members=(_member(2, "lenet", 0.75, "mirrored"), _member(12, "mlp", 0.5, "shifted")),
        metrics={"test.accuracy": 0.9375},
        temperature=1.25,
        biases=(0.5, -0.5, 0.0, 0.25),
    )


def _member(number: int, family: str, weight: float, view: str) -> TrainedMember:
    """A network that saw a few batches, so that norm statistics are not those of a fresh network."""
    settings: dict[str, Any] = {"lenet": dict(width=8, depth=2), "mlp": dict(width=64)}[family]
    architecture = families.get(family)(**settings)
    with torch.random.fork_rng([]):
        torch.manual_seed(number)
        model = architecture.build(_IMAGE).train()
        with torch.no_grad():
            for _ in range(4):
                model(2 * torch.randn(16, _IMAGE.in_channels, _IMAGE.image_size, _IMAGE.image_size) + 0.5)
    return TrainedMember(
        number=number,
        weight=weight,
        temperature=0.5,
        architecture=architecture,
        weights=model.state_dict(),
        view=VIEWS[view].name,
    )
