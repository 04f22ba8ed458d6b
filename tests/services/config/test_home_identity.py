"""A home knows which one it is: whether it was moved or copied, and what paths of before are called now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from convscout.search_space.errors import UserError
from convscout.services.config.home import Home
from convscout.services.config.home_identity import IDENTITY_FILE, HomeIdentity, HomeStanding, standing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A home that has an identity."""
    root = tmp_path / "first"
    root.mkdir()
    HomeIdentity.new(root).save(root)
    return root


def test_a_home_stands_where_it_was_written(root: Path) -> None:
    assert standing(root) is HomeStanding.AT_HOME
    assert standing(root.parent) is HomeStanding.UNKNOWN


def test_a_home_that_is_not_where_it_was_has_moved(root: Path) -> None:
    assert standing(root.rename(root.with_name("second"))) is HomeStanding.MOVED


def test_a_home_beside_the_one_that_it_was_copied_from_is_a_copy(root: Path) -> None:
    copy = root.with_name("copy")
    shutil.copytree(root, copy)
    assert standing(copy) is HomeStanding.COPIED and standing(root) is HomeStanding.AT_HOME
    known = HomeIdentity.load(copy)
    assert known is not None
    known.copied_to(copy).save(copy)
    assert standing(copy) is HomeStanding.AT_HOME
    assert Home(copy).id not in ("", Home(root).id)


def test_a_home_whose_place_another_home_has_taken_has_moved(root: Path) -> None:
    second = root.rename(root.with_name("second"))
    root.mkdir()
    HomeIdentity.new(root).save(root)
    assert standing(second) is HomeStanding.MOVED


def test_a_link_to_a_home_leads_to_the_same_home(root: Path) -> None:
    link = root.with_name("link")
    link.symlink_to(root)
    assert standing(link) is HomeStanding.AT_HOME


def test_an_identity_that_cannot_be_read_is_named(root: Path) -> None:
    (root / IDENTITY_FILE).write_text("{}")
    with pytest.raises(UserError, match=rf"{IDENTITY_FILE}.* cannot be read .* restore it"):
        _ = Home(root).id


def test_paths_under_a_former_place_are_paths_under_the_present_one(root: Path) -> None:
    known = HomeIdentity.load(root)
    assert known is not None
    second = root.rename(root.with_name("second"))
    known.moved_to(second).save(second)
    home = Home(second)
    assert home.rebase(str(root / "datasets" / "cats")) == str(second / "datasets" / "cats")
    for elsewhere in ("digits", str(root.with_name("first-of-all") / "cats")):
        assert home.rebase(elsewhere) == elsewhere


def test_an_export_in_the_directory_of_the_study_is_stored_without_the_place_of_the_home(root: Path) -> None:
    ref = Home(root).study("tiny")
    for path, stored in ((ref.export, "export"), (Path("/elsewhere/export"), "/elsewhere/export")):
        assert ref.to_stored(path) == stored and ref.from_stored(stored) == path


@pytest.mark.parametrize("export", ["export", "distilled/export"])
def test_an_export_that_an_older_version_stored_with_its_whole_path_lies_in_this_home(
    root: Path, export: str
) -> None:
    ref = Home(root).study("tiny")
    assert ref.from_stored(f"/runs/studies/tiny/{export}") == ref.directory / export
