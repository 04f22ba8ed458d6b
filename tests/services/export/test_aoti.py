"""The compiled ensemble answers as the trained one does, by AOTInductor's own runtime."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convscout.services.export.verify import verify_export
from convscout.services.export.writer import export
from tests.support.trained_ensembles import random_images, trained_ensemble


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_answers_alike_to_images_of_any_size(tmp_path: Path) -> None:
    small = trained_ensemble("lenet", channels=1, image_size=8)
    found = export(small, tmp_path / "export", random_images(40, small), formats=["bundle", "aoti"])
    if "no C++ compiler" in found.left_out.get("aoti", ""):
        pytest.skip(found.left_out["aoti"])
    assert found.parities["aoti"].passed and len(found.parities["aoti"].shapes) == 3
    assert verify_export(tmp_path / "export")["aoti"].passed


def test_without_a_compiler_the_rest_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    small = trained_ensemble("lenet", channels=1, image_size=8)
    found = export(small, tmp_path / "export", random_images(4, small), formats=["bundle", "aoti"])
    assert "there is no C++ compiler (g++, clang++, c++); install one" in found.left_out["aoti"]
    assert list(found.parities) == ["bundle"] and not (tmp_path / "export" / "model.aoti.pt2").exists()
    told = json.loads((tmp_path / "export" / "parity.json").read_text())
    assert set(told) == {"bundle", "aoti"}
