"""Our export formats pass their kit, and it names what is wrong with others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from convscout.services.ensembles.trained import TrainedEnsemble
from convscout.services.export.formats.bundle import BundleExporter
from convscout.services.export.writer import Exporter
from convscout.services.plugins import exporters
from convscout.testing import check_exporter

OURS = [  # but ``web``, whose runtime npm fetches, and ``aoti``, which takes minutes to compile
    pytest.param("bundle"),
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("docker", "int8", "mlflow", "onnx", "pt2", "standalone")
    ),
]


@pytest.mark.parametrize("name", OURS)
def test_formats_conform(name: str) -> None:
    check_exporter(exporters.get(name))


class Note(Exporter):
    """A line of text, and nothing that computes."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        (directory / "note.txt").write_text(f"{ensemble.study}\n", encoding="utf-8")


class Empty(Note):
    """No file."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        """Leave the directory as it is."""


class Astray(Note):
    """A file in the current directory."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        Path("note.txt").write_text("astray\n", encoding="utf-8")


class Beside(Note):
    """A file beside the directory."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        directory.with_suffix(".log").write_text("beside\n", encoding="utf-8")


class Meddling(Note):
    """Adds to a file of the format that it needs."""

    needs = ("bundle",)

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        super().write(ensemble, directory)
        with (directory / "labels.json").open("a", encoding="utf-8") as file:
            file.write("\n")


class Reserved(Note):
    """A file that the export writes itself."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        (directory / "parity.json").write_text("{}", encoding="utf-8")


class Spaced(Note):
    """A name that the list of hashes cannot hold."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        (directory / f"{ensemble.study} (1).txt").write_text("spaced\n", encoding="utf-8")


class Unstable(Note):
    """A file of another name each time."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        (directory / f"{uuid4()}.txt").write_text("unstable\n", encoding="utf-8")


class Rooted(Note):
    """The place of the export in one of its files."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        (directory / "where.txt").write_text(f"{directory}\n", encoding="utf-8")


class Linked(Note):
    """A link to a file elsewhere."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        (directory / "linked.py").symlink_to(__file__)


class Rounding(Note):
    """Rounds the weights that it is given."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        super().write(ensemble, directory)
        for member in ensemble.members:
            for value in member.weights.values():
                if value.is_floating_point():
                    value.round_(decimals=1)


class Constant(Note):
    """The same answer to every image."""

    reader = "tests.conformance.faulty_readers:read_constant"

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        count = len(ensemble.class_names)
        np.save(directory / "shares.npy", np.full(count, 1 / count))


class Unbiased(BundleExporter):
    """Forgets the biases of the classes."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        super().write(replace(ensemble, biases=()), directory)


class Unreadable(BundleExporter):
    """A reader that is not there."""

    reader = "tests.conformance.faulty_readers:read_nothing"


class Unbounded(Note):
    """A figure that JSON does not know."""

    def figures(self, directory: Path) -> dict[str, float]:
        return {"size_ratio": float("nan")}


class Abrupt(Note):
    """Weights that lack one end it without words."""

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        super().write(ensemble, directory)
        for member in ensemble.members:
            next(iter(member.weights.values()))


def test_a_faultless_format_conforms() -> None:
    check_exporter(Note)


@pytest.mark.parametrize(
    ("exporter", "message"),
    [
        (Empty, "writes nothing"),
        (Astray, r"writes elsewhere/note\.txt outside of its directory"),
        (Beside, r"writes first\.log outside of its directory"),
        (Meddling, r"changes first/labels\.json, which another format wrote"),
        (Reserved, r"parity\.json is a file of every export"),
        (Spaced, r"SHA256SUMS cannot list names such as \['a study \(1\)\.txt'\]"),
        (Unstable, r"writes \['.*'\], and then"),
        (Rooted, r"where\.txt names the directory that it was written into"),
        (Linked, r"linked\.py is a link"),
        (Rounding, "changes the weights of the ensemble"),
        (Constant, "read_constant, it answers differently: probabilities differ by up to 0"),
        pytest.param(
            Unbiased,
            "read_bundle, it answers differently: probabilities differ by up to 0",
            marks=pytest.mark.slow,
        ),
        (Unreadable, "read_nothing, it cannot be read back: AttributeError"),
        (Unbounded, "its figure size_ratio is nan"),
        (Abrupt, "end it with StopIteration instead of ConvscoutError"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_fault_of_a_format_is_named(exporter: type[Exporter], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_exporter(exporter)
