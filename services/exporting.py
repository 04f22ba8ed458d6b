"""Export: write a trained ensemble in every format, prove that each answers alike, and put it in place whole."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from search_space.errors import ConfigError, ConvscoutError, ExportError, Problem
from search_space.registry import Registry
from services import checksums
from services.checksums import write_checksums
from services.directories import replacing
from services.ensembles.trained import TrainedEnsemble
from services.parity import NUM_IMAGES, Parity, Predictor
from trials.mapped_images import Images

PARITY_FILE = "parity.json"


class Exporter(ABC):
    """Writes one format. An exporter is a subclass, registered with ``@exporters.register(NAME)``.

    ``needs`` names the formats whose files it builds on. One that is not ``default`` is written only when named.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    default: ClassVar[bool] = True

    @abstractmethod
    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        """Write this format's files, which no other format writes, into ``directory``."""

    def predictor(self, directory: Path) -> Predictor | None:
        """What was written, read back, for the parity check; None for a format that computes nothing itself."""
        return None


exporters: Registry[type[Exporter]] = Registry(
    "export format", package="services.exporters", group="convscout.exporters"
)


def export(
    ensemble: TrainedEnsemble, directory: Path, images: Images, *, formats: Sequence[str] = ()
) -> Mapping[str, Parity]:
    """Write ``ensemble`` into ``directory``, replacing an older export there only when all is well.

    ``images`` (N, H, W, C) are validation images to compare the written models with the trained one on;
    the first 256 are used. ``formats`` are names of exporters; none means the default ones. The answer maps each
    format that computes to its parity, which is also in ``parity.json``; ``SHA256SUMS`` covers every
    file. Raises ``ExportError`` when ``directory`` holds something else, ``ConvscoutError`` when a
    written model answers differently.
    """
    chosen = [exporters.get(name)() for name in _complete(formats)]
    directory = directory.resolve()
    _check_replaceable(directory)
    images = images[:NUM_IMAGES]
    expected = ensemble.build_module().answer(images)  # (N, K)
    with replacing(directory) as temporary:
        for exporter in chosen:
            exporter.write(ensemble, temporary)
        predictors = {exporter.name: exporter.predictor(temporary) for exporter in chosen}
        parities = {
            name: Parity.measure(predictor, images, expected)
            for name, predictor in predictors.items()
            if predictor
        }
        _check_parities(parities)
        values = {name: parity.to_dict() for name, parity in parities.items()}
        (temporary / PARITY_FILE).write_text(json.dumps(values, indent=2) + "\n")
        write_checksums(temporary)
    return parities


def default_formats() -> tuple[str, ...]:
    """Those that every study is exported in: what predicting, tracking and checking need."""
    return tuple(name for name, exporter in exporters.items() if exporter.default)


def _complete(formats: Sequence[str]) -> tuple[str, ...]:
    """``formats``, or the default ones; raises ``ConfigError`` when one lacks another that it needs."""
    names = tuple(dict.fromkeys(formats)) or default_formats()
    problems = [
        Problem(field="formats", value=", ".join(names), rule=f"{name} needs {needed} to be exported too")
        for name in names
        for needed in exporters.get(name).needs
        if needed not in names
    ]
    if problems:
        raise ConfigError(problems)
    return names


def _check_replaceable(directory: Path) -> None:
    """Replacing a directory deletes it, so it must be empty or hold nothing but an older export."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    try:
        known = {checksums.FILE, *checksums.listed_files(directory)}
    except ExportError as error:
        raise ExportError(f"{directory} is in the way ({error.message}); choose another directory") from error
    foreign = sorted({path.name for path in directory.iterdir()} - known)
    if foreign:
        raise ExportError(
            f"{directory} holds {foreign[0]!r}, which is not part of the export that would be replaced; "
            "move it away or choose another directory"
        )


def _check_parities(parities: Mapping[str, Parity]) -> None:
    for name, parity in parities.items():
        if not parity.passed:
            raise ConvscoutError(
                f"the {name} export was discarded because it does not answer as the trained ensemble does: "
                f"probabilities differ by up to {parity.max_difference:.2g} (allowed {parity.tolerance:g}) and "
                f"{parity.num_changed} of {parity.num_images} answers changed; export again without {name}, "
                "and please report the architecture"
            )
