"""Files that nobody vouches for: settings and exports that would take gigabytes, minutes, or the whole process."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from convscout.services.export.checksums import write_checksums
from convscout.services.export.formats.bundle import CONFIG_FILE

SETTINGS: dict[str, tuple[str, str]] = {
    "a key of many parts": (".".join("a" * 30_000) + " = 1", "a key must have at most 16 parts"),
    "a long file": ("# nothing\n" * 10_000_000, "must have at most 64 KiB"),
    "brackets in brackets": ("study.families = " + "[" * 20_000, "must lie at most 16 deep"),
    "tables in tables": ("a = " + "{a = " * 10_000, "must lie at most 16 deep"),
    "a table of a long name": ("[" + ".".join('"a"' for _ in range(9_000)) + "]", "at most 16 parts"),
    "many settings": (
        "".join(f"a{number} = 1\n" for number in range(5_000)),
        "at most 1,000 settings, but holds 5,000",
    ),
}
"""TOML by what is wrong with it, each with what is said of it."""

Change = Callable[[dict[str, Any]], object]


def _of_image(name: str, value: object) -> Change:
    return lambda config: config["image"].update({name: value})


def _of_member(name: str, value: object) -> Change:
    return lambda config: config["members"][0].update({name: value})


def _of_architecture(name: str, value: object) -> Change:
    return lambda config: config["members"][0]["architecture"].update({name: value})


BUNDLES: dict[str, tuple[Change, str]] = {
    "a width of a billion": (_of_architecture("width", 10**9), "do not fit its architecture|cannot be built"),
    "another width": (_of_architecture("width", 9), "weights of trial .* do not fit its architecture"),
    "a temperature of 0": (
        lambda config: config.update(temperature=0),
        "temperature must be a number above 0",
    ),
    "a member's temperature of 0": (
        _of_member("temperature", 0.0),
        "temperature must be a number above 0, but is 0",
    ),
    "a temperature of NaN": (_of_member("temperature", float("nan")), "temperature must be a number above 0"),
    "a temperature of text": (_of_member("temperature", "hot"), "does not describe an ensemble"),
    "an infinite weight": (_of_member("weight", float("inf")), "must be finite"),
    "a deviation of 0": (
        lambda config: config["normalization"].update(std=[0, 0, 0]),
        "normalization.std must be",
    ),
    "a billion channels": (_of_image("in_channels", 10**9), "images cannot have"),
    "a billion pixels a side": (_of_image("image_size", 10**9), "images cannot have"),
    "a billion classes": (_of_image("num_classes", 10**9), "as many class_names"),
    "no members": (lambda config: config.update(members=[]), "it has no members"),
    "members that are none": (lambda config: config.update(members=7), "does not describe an ensemble"),
    "a list": (lambda config: config.update(image=[]), "does not describe an ensemble"),
}
"""Changes of a bundle's configuration, each with what is said of it."""


def _written(pattern: str, content: bytes) -> Callable[[Path], object]:
    def write(directory: Path) -> None:
        next(directory.glob(pattern)).write_bytes(content)
        rehash(directory)

    return write


def _replaced_by(name: str, put: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(directory: Path) -> None:
        (directory / name).unlink()
        put(directory / name)

    return replace


def _listed(content: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / "SHA256SUMS").write_bytes(content)


def _answering(
    *values: object, shape: Sequence[int] = (1, 4), kind: int = TensorProto.FLOAT
) -> Callable[[Path], object]:
    """Let the ONNX file, whose metadata stay, answer ``values`` to whatever it is asked."""

    def write(directory: Path) -> None:
        path = directory / "model.onnx"
        before = onnx.load(path)
        told = helper.make_tensor("told", kind, shape, values)
        given = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])
        answer = helper.make_tensor_value_info("probabilities", kind, None)
        node = helper.make_node("Constant", [], ["probabilities"], value=told)
        model = helper.make_model(
            helper.make_graph([node], "hostile", [given], [answer]),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=9,
        )
        helper.set_model_props(model, {each.key: each.value for each in before.metadata_props})
        _written("model.onnx", model.SerializeToString())(directory)

    return write


def _told(key: str, value: str) -> Callable[[Path], object]:
    """Let the metadata of the ONNX file say ``value``."""

    def write(directory: Path) -> None:
        model = onnx.load(directory / "model.onnx")
        props = {each.key: each.value for each in model.metadata_props} | {key: value}
        helper.set_model_props(model, props)
        _written("model.onnx", model.SerializeToString())(directory)

    return write


def _header_of_weights(header: bytes) -> Callable[[Path], object]:
    return _written("*.safetensors", struct.pack("<Q", len(header)) + header + bytes(16))


EVERYWHERE = frozenset({"verify", "evaluate", "predict", "explain", "serve-model"})
OF_ONNX = frozenset({"verify", "evaluate", "predict", "serve-model"})
OF_THE_BUNDLE = frozenset({"verify", "explain"})
ANSWERING = frozenset({"verify", "evaluate", "predict"})
EXPORTS: dict[str, tuple[Callable[[Path], object], frozenset[str], str]] = {
    "a configuration of brackets": (
        _written(CONFIG_FILE, b"[" * 100_000), OF_THE_BUNDLE, "nested too deeply|maximum recursion"
    ),
    "a configuration of other bytes": (
        _written(CONFIG_FILE, "{}".encode("utf-16")), OF_THE_BUNDLE, "does not describe an ensemble"
    ),
    "a configuration that is a pipe": (
        _replaced_by(CONFIG_FILE, os.mkfifo), EVERYWHERE, "config.json is missing from the export"
    ),
    "a configuration that is a directory": (
        _replaced_by(CONFIG_FILE, Path.mkdir), EVERYWHERE, "config.json is missing from the export"
    ),
    "other labels": (_written("labels.json", b'["a"]'), OF_THE_BUNDLE, "must hold the class names"),
    "labels of brackets": (_written("labels.json", b"[" * 100_000), OF_THE_BUNDLE, "nested too deeply"),
    "a parity of brackets": (_written("parity.json", b"[" * 100_000), frozenset({"verify"}), "is damaged"),
    "a parity that is a list": (_written("parity.json", b"[1]"), frozenset({"verify"}), "is damaged"),
    "a parity of nothing": (_written("parity.json", b"{}"), frozenset({"verify"}), "holds no format"),
    "an ONNX file of noise": (_written("model.onnx", b"\xff" * 1000), OF_ONNX, "is no exported ensemble"),
    "an empty ONNX file": (_written("model.onnx", b""), OF_ONNX, "is no exported ensemble"),
    "an ONNX file that never ends": (
        _replaced_by("model.onnx", lambda path: path.symlink_to("/dev/zero")), EVERYWHERE, "is missing from the export"
    ),
    "weights whose header lies": (
        _written("*.safetensors", struct.pack("<Q", 2**60) + b"{}"), OF_THE_BUNDLE, "holds no weights as safetensors"
    ),
    "empty weights": (_written("*.safetensors", b""), OF_THE_BUNDLE, "holds no weights as safetensors"),
    "answers that are no numbers": (
        _answering(*[float("nan")] * 4), ANSWERING, "does not classify images"
    ),
    "one answer for all": (_answering(1.0, shape=()), ANSWERING, r"answers float32 \(\) instead of"),
    "answers in words": (
        _answering(*[b"cat"] * 4, kind=TensorProto.STRING), ANSWERING, r"answers object .* instead of float32"
    ),
    "answers of other classes": (
        _told("class_names", '["a", "b"]'), frozenset({"predict"}), r"instead of float32 \(\d+, 2\)"
    ),
    "grey pictures for a network of colours": (
        _told("in_channels", "1"), frozenset({"predict"}), "does not classify images .*invalid dimensions"
    ),
    "weights that overlap": (
        _header_of_weights(
            b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},'
            b'"b": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'
        ),
        OF_THE_BUNDLE,
        "holds no weights as safetensors",
    ),
    "weights larger than the file": (
        _header_of_weights(b'{"a": {"dtype": "F32", "shape": [1099511627776, 4], "data_offsets": [0, 16]}}'),
        OF_THE_BUNDLE,
        "holds no weights as safetensors",
    ),
    "hashes of files outside": (
        _listed(b"0" * 64 + b"  ../../../../etc/passwd\n"), EVERYWHERE, "one hash and one name a line"
    ),
    "hashes that are none": (_listed(b"hello\n"), EVERYWHERE, "one hash and one name a line"),
    "no hashes": (_listed(b""), EVERYWHERE, "one hash and one name a line"),
    "hashes that are no text": (_listed(b"\xff\xfe\0"), EVERYWHERE, "it is not text"),
    "megabytes of hashes": (_listed(b"0" * 2_000_000), EVERYWHERE, "has more than 1 MB"),
    "hashes that are a pipe": (_replaced_by("SHA256SUMS", os.mkfifo), EVERYWHERE, "has no SHA256SUMS"),
}  # fmt: skip
"""What somebody did to an export, each with the commands that must refuse it, and what they say."""


def rehash(directory: Path) -> None:
    """Let the hashes be those of the files that are there now."""
    (directory / "SHA256SUMS").unlink()
    write_checksums(directory)


def change_bundle(directory: Path, change: Change) -> None:
    """Change the configuration of the bundle in ``directory``, whose hashes then match it again."""
    path = directory / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    replace_config(directory, json.dumps(config))


def replace_config(directory: Path, text: str) -> None:
    """Let the configuration of the bundle in ``directory`` be ``text``."""
    _written(CONFIG_FILE, text.encode())(directory)
