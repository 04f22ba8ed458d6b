"""Looking at the design space from the command line: families, families show, space, and other packages' families."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from convscout.search_space.space import SearchSpace
from convscout.services.cli import main
from tests.support.places import ROOT

Captured = pytest.CaptureFixture[str]
COSTS = json.loads((ROOT / "tests/search_space/golden_complexity.json").read_text())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVSCOUT_HOME", str(tmp_path / "runs"))


def run(*arguments: str) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert isinstance(raised.value.code, int)
    return raised.value.code


def shown(capsys: Captured, *arguments: str) -> Any:
    """What the command prints as JSON."""
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_family_is_shown_with_its_paper_diagram_knobs_and_variants(capsys: Captured) -> None:
    assert run("families", "show", "lenet", "--variant", "lenet5", "--channels", "1") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("LeNet: ")
    assert "LeCun, Bottou, Bengio & Haffner (1998)" in lines[1]
    assert "lenet5, for 10 classes:" in lines
    diagram = lines[lines.index("image 1 × 32 × 32") :]
    assert diagram[1:3] == [
        "stage 1 ConvNormAct, AvgPool2d 6 × 14 × 14 156 118k 28%",
        "stage 2 ConvNormAct, AvgPool2d 16 × 5 × 5 2.42k 240k 58%",
    ]
    assert "in all 61.7k 417k" in diagram
    assert any(line.startswith("lenet.width 32 8 … 64 (log) [1 and more] filters") for line in lines)
    assert any(line.endswith("(if dropout_kind = element, spatial, block)") for line in lines)
    assert any(line.startswith("lenet5 62k / 652k") for line in lines)


def test_variants_cost_what_is_recorded(capsys: Captured) -> None:
    family = shown(capsys, "families", "show", "mlp", "--variant", "lenet_300_100", "--image-size", "28")
    assert family["config"]["width"] == 300
    assert sum(row["params"] for row in family["diagram"]) == 3 * 784 * 300 + 300 + 300 * 100 + 100 + 1010
    assert len(family["variants"]) == 3
    for variant in family["variants"]:
        for home, cost in variant["cost"].items():
            recorded = COSTS[f"mlp/{variant['name']}"][home]
            assert cost == {"params": recorded["params"], "flops": recorded["flops"]}


def test_knobs_can_be_set_for_the_diagram(capsys: Captured) -> None:
    settings = {
        "lenet.width": ("8", 8),
        "lenet.growth": ("1", 1),
        "lenet.head_dropout": ("0.5", 0.5),
        "lenet.pool": ("avg", "avg"),
        "lenet.kernel_size": ("3", 3),
    }
    given = [word for name, (text, _) in settings.items() for word in ("--set", f"{name}={text}")]
    config = shown(capsys, "families", "show", "lenet", *given)["config"]
    assert {name: config[name.removeprefix("lenet.")] for name in settings} == {
        name: value for name, (_, value) in settings.items()
    }
    flag = shown(capsys, "families", "show", "googlenet", "--set", "googlenet.auxiliary=true")
    assert flag["config"]["auxiliary"] is True
    assert flag["diagram"][-1]["output"] is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["resnt"], "unknown family 'resnt'; choose from .* Did you mean 'resnet'?"),
        (
            ["resnet", "--variant", "resnet19"],
            "unknown variant of resnet 'resnet19'; .* Did you mean 'resnet1",
        ),
        (["lenet", "--set", "lenet.wdth=3"], "unknown knob 'lenet.wdth'; .* Did you mean 'lenet.width'?"),
        (["lenet", "--set", "lenet.width"], "must be KNOB=VALUE, such as lenet."),
        (["lenet", "--set", "lenet.width=0"], "lenet.width: must be a whole number in .* but got 0"),
        (["lenet", "--set", "lenet.width=wide"], "lenet.width: must be a whole number in .* but got 'wide'"),
        (["lenet", "--set", "lenet.pool=none"], "lenet.pool: must be one of max, avg, .* but got 'none'"),
        (["lenet", "--image-size", "4"], "at least 8 × 8 pixels, but these are 4 × 4"),
        (["lenet", "--image-size", "x"], "'--image-size'"),
        (["pretrained"], "pretrained needs the weights of .* fetch https://"),
    ],
)
def test_what_cannot_be_shown_is_told(
    arguments: list[str], told: str, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert run("families", "show", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    first, _, rest = told.partition(".*")
    assert first.strip() in captured.err
    assert rest.strip() in captured.err
    assert "Traceback" not in captured.err


def test_the_space_says_how_large_it_is(capsys: Captured) -> None:
    found = shown(capsys, "space", "lenet", "resnet")
    space: SearchSpace = SearchSpace.for_any_image(("lenet", "resnet"), {})
    assert [knob["name"] for knob in found["knobs"]] == list(space.knobs())
    (dropout,) = (knob for knob in found["knobs"] if knob["name"] == "lenet.dropout")
    assert dropout["when"] == {"dropout_kind": ["element", "spatial", "block"]}
    assert all(knob["range"] and knob["scale"] and knob["about"] for knob in found["knobs"])
    size = found["size"]
    either = sum(size["families"][name]["discrete"] for name in ("lenet", "resnet"))
    assert size["candidates"]["discrete"] == either * size["recipes"]["discrete"] == space.size().discrete
    assert run("space", "lenet", "resnet") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1].startswith(f"candidates {size['candidates']['discrete']:.1e}".replace("e+", "e"))
    assert lines[-1].endswith(f" {size['candidates']['continuous']}")


def test_every_knob_of_the_whole_space_is_explained(capsys: Captured) -> None:
    for knob in shown(capsys, "space")["knobs"]:
        assert knob["range"] and knob["scale"] and knob["about"], knob["name"]
        assert knob["default"] is not None, knob["name"]


PLUGIN = '''
"""Blot: one convolution and its mean, a family of another package."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from convscout.search_space.architecture import ArchitectureConfig
from convscout.search_space.classifier import Classifier
from convscout.search_space.knobs import integer


@dataclass(frozen=True, kw_only=True)
class BlotConfig(ArchitectureConfig):
    width: int = integer(8, low=4, high=16, help="filters")
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"wide_blot": {"width": 16}}

    def build(self, image):
        return Blot(self, image)


class Blot(Classifier):
    def __init__(self, config, image):
        super().__init__()
        self.conv = nn.Conv2d(image.in_channels, config.width, 3, padding=1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(config.width, image.num_classes))

    def forward_features(self, images):
        return self.conv(images).relu()

    def forward_head(self, features):
        return self.head(features)
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder like site-packages, in which another package offers a family, and one that is broken."""
    folder = tmp_path / "site"
    info = folder / "blot-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "blot.py").write_text(PLUGIN, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blot\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[convscout.families]\nblot = blot:BlotConfig\nsmudge = blot:Smudge\n", encoding="utf-8"
    )
    return folder


# one process for all command lines, as each would import torch anew
CONVSCOUT = """
import contextlib, io, json, sys
from convscout.services.cli import main

for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(json.loads(line))
        except SystemExit as left:
            code = left.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


@pytest.mark.slow
def test_a_family_of_another_package_takes_part(package: Path, tmp_path: Path) -> None:
    study = '[study]\ndata = "digits"\nfamilies = ["blot"]\n[space]\n"blot.width" = {low = %d, high = 6}\n'
    (tmp_path / "narrow.toml").write_text(study % 4, encoding="utf-8")
    (tmp_path / "wrong.toml").write_text(study % 0, encoding="utf-8")
    commands = [
        ["families", "--json"],
        ["families", "show", "blot", "--set", "blot.width=4", "--json"],
        ["space", "blot", "--json"],
        ["config", "--config", str(tmp_path / "narrow.toml"), "--json"],
        ["config", "--config", str(tmp_path / "wrong.toml")],
    ]
    done = subprocess.run(
        [sys.executable, "-c", CONVSCOUT],
        input="\n".join(map(json.dumps, commands)),
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=True,
    )
    *answers, (refused, _, complaint) = map(json.loads, done.stdout.splitlines())
    assert [code for code, _, _ in answers] == [0] * 4, answers
    listed, family, space, config = (json.loads(out) for _, out, _ in answers)

    (blot,) = (each for each in listed["families"] if each["name"] == "blot")
    assert blot["about"] == "one convolution and its mean, a family of another package."
    assert (blot["knobs"], blot["variants"]) == (["width"], ["wide_blot"])
    (broken,) = listed["broken"]
    assert broken["name"] == "smudge"
    assert "AttributeError" in broken["error"]

    assert [(row["name"], row["output"], row["params"]) for row in family["diagram"]] == [
        ("conv", [4, 32, 32], 4 * 3 * 9 + 4),
        ("head", [10], 4 * 10 + 10),
    ]
    assert family["variants"][0]["cost"]["32 × 32, 10 classes"]["params"] == 16 * 27 + 16 + 16 * 10 + 10

    assert "blot.width" in [knob["name"] for knob in space["knobs"]]
    assert space["size"]["families"] == {"blot": {"discrete": 13, "continuous": 0}}

    assert config["families"] == ["blot"]
    assert config["space"] == {"blot.width": {"low": 4, "high": 6}}
    assert refused == 2
    assert "space.blot.width: must be a whole number in [1, 2.14748e+09]" in complaint
