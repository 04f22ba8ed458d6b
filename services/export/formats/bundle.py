"""The bundle: configuration as JSON and weights as safetensors, for use in PyTorch."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from convscout.search_space.architecture import ImageSpec, architecture_from_dict
from convscout.search_space.errors import ConvscoutError, ExportError
from convscout.search_space.meta_device import MetaDevice
from convscout.services.ensembles.trained import TrainedEnsemble, TrainedMember, member_stem
from convscout.services.export.checksums import verify
from convscout.services.export.json_file import read_json
from convscout.services.export.onnx_model import LARGEST_IMAGE
from convscout.services.export.reload import Predictor
from convscout.services.export.writer import Exporter
from convscout.services.plugins import exporters
from convscout.trials.data.splits import Normalization
from convscout.trials.data.white import FULL
from convscout.trials.evaluation.tta import VIEWS

CONFIG_FILE, LABELS_FILE = "config.json", "labels.json"
SCHEMA = 4  # of config.json; raise it when an older reader would misread a newer file
_WITHOUT_WHITE = 3  # the schema before it, which is read too: full range was the only one


@exporters.register("bundle")
class BundleExporter(Exporter):
    """``config.json``, ``labels.json`` and one ``member-NNNNN-NETWORK.safetensors`` a member."""

    reader = f"{__name__}:read_bundle"

    def write(self, ensemble: TrainedEnsemble, directory: Path) -> None:
        _write_json(directory / CONFIG_FILE, _describe(ensemble))
        _write_json(directory / LABELS_FILE, ensemble.class_names)
        for member in ensemble.members:
            tensors = {name: value.cpu().contiguous() for name, value in member.weights.items()}
            (directory / _weights_file(member.stem)).write_bytes(save_safetensors(tensors))


def read_bundle(directory: Path) -> Predictor:
    """The one in ``directory``, whose hashes are not looked at."""
    return _read(directory).build_module().answer


def load_bundle(directory: Path) -> TrainedEnsemble:
    """The ensemble that was exported into ``directory``; ``build_module`` makes it usable.

    Nothing is executed or unpickled. Raises ``ExportError`` naming the file that is missing, damaged
    or of a newer version.
    """
    verify(directory, required=CONFIG_FILE)
    return _read(directory)


def _describe(ensemble: TrainedEnsemble) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "study": ensemble.study,
        "data": ensemble.data,
        "fingerprint": ensemble.fingerprint,
        "class_names": ensemble.class_names,
        "image": asdict(ensemble.image),
        "normalization": asdict(ensemble.normalization),
        "white": ensemble.white,
        "members": [
            {
                "number": m.number,
                "weight": m.weight,
                "temperature": m.temperature,
                "network": m.network,
                "view": m.view,
                "architecture": m.architecture.to_dict(),
            }
            for m in ensemble.members
        ],
        "temperature": ensemble.temperature,
        "biases": ensemble.biases,
        "metrics": dict(ensemble.metrics),
    }


def _read(directory: Path) -> TrainedEnsemble:
    path = directory / CONFIG_FILE
    try:
        found = _ensemble(directory, read_json(path))
        _check_numbers(found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ExportError(
            f"{path} does not describe an ensemble ({type(error).__name__}: {error}); export it again"
        ) from error
    _check_labels(directory / LABELS_FILE, found)
    for member in found.members:
        _check_fit(member, found.image)
    return found


def _check_labels(path: Path, found: TrainedEnsemble) -> None:
    """Raise ``ExportError`` unless the file, by which other programs name answers, has the ensemble's classes."""
    try:
        if read_json(path) == list(found.class_names):
            return
        cause = f"it must hold the class names of {CONFIG_FILE}"
    except (OSError, ValueError) as error:
        cause = str(error)
    raise ExportError(f"{path} is damaged: {cause}; export it again")


def _check_numbers(found: TrainedEnsemble) -> None:
    """Raise ``ValueError`` for numbers with which no answer can be computed."""
    image, channels = found.image, found.image.in_channels
    if channels not in (1, 3) or not 1 <= image.image_size <= LARGEST_IMAGE:
        raise ValueError(f"images cannot have {channels} channels and {image.image_size} pixels a side")
    if image.num_classes != len(found.class_names) or len(found.biases) not in (0, image.num_classes):
        raise ValueError(
            f"there must be as many class_names, and biases if any, as classes: {image.num_classes}"
        )
    if {len(found.normalization.mean), len(found.normalization.std)} != {channels}:
        raise ValueError(f"normalization must have {channels} numbers each")
    if not 1 <= found.white <= FULL:
        raise ValueError(f"white must be a level in [1, {FULL}], but is {found.white}")
    if not found.members:
        raise ValueError("it has no members")
    divisors = {
        "temperature": [found.temperature, *(member.temperature for member in found.members)],
        "normalization.std": found.normalization.std,
    }
    for name, numbers in divisors.items():
        for number in numbers:
            if not 0 < number < math.inf:
                raise ValueError(f"{name} must be a number above 0, but is {number}")
    others = (*(member.weight for member in found.members), *found.biases, *found.normalization.mean)
    if not all(map(math.isfinite, others)):
        raise ValueError("weights, biases and normalization must be finite")


def _check_fit(member: TrainedMember, image: ImageSpec) -> None:
    """Raise ``ExportError`` unless its weights are those of its architecture, before that takes memory."""
    try:
        with MetaDevice():
            expected = {
                name: value.shape for name, value in member.architecture.build(image).state_dict().items()
            }
    except (RuntimeError, ConvscoutError) as error:
        raise ExportError(
            f"the network of trial {member.name} cannot be built: {error}; export it again"
        ) from error
    if expected != {name: value.shape for name, value in member.weights.items()}:
        raise ExportError(f"the weights of trial {member.name} do not fit its architecture; export it again")


def _ensemble(directory: Path, values: dict[str, Any]) -> TrainedEnsemble:
    if values.get("schema") not in (SCHEMA, _WITHOUT_WHITE):
        raise ExportError(
            f"{directory / CONFIG_FILE} has schema {values.get('schema')!r}, but this version of convscout reads "
            f"{SCHEMA}; install the version that wrote it, or export again"
        )
    image = values["image"]
    return TrainedEnsemble(
        study=values["study"],
        data=values["data"],
        fingerprint=values["fingerprint"],
        class_names=tuple(values["class_names"]),
        image=ImageSpec(**{**image, "symmetries": tuple(image["symmetries"])}),
        normalization=Normalization(
            **{name: tuple(numbers) for name, numbers in values["normalization"].items()}
        ),
        white=FULL if values["schema"] == _WITHOUT_WHITE else values["white"],
        members=tuple(_read_member(directory, member) for member in values["members"]),
        metrics=values["metrics"],
        temperature=values["temperature"],
        biases=tuple(values["biases"]),
    )


def _read_member(directory: Path, values: dict[str, Any]) -> TrainedMember:
    if not re.fullmatch(r"[a-z0-9-]+", values["network"]):  # it is part of a file's name
        raise ValueError(f"{values['network']!r} is not the name of a network")
    return TrainedMember(
        number=values["number"],
        weight=values["weight"],
        temperature=values["temperature"],
        network=values["network"],
        view=VIEWS[values["view"]].name,
        architecture=architecture_from_dict(values["architecture"]),
        weights=_read_weights(directory / _weights_file(member_stem(values["number"], values["network"]))),
    )


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_safetensors(path.read_bytes())
    except SafetensorError as error:
        raise ExportError(
            f"{path} holds no weights as safetensors ({error}); nothing else is read; export it again"
        ) from error


def _weights_file(stem: str) -> str:
    return f"{stem}.safetensors"


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
