"""Registry: names, near misses, and plug-ins of other packages, good and broken."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from convscout.search_space import registry as registry_module
from convscout.search_space.errors import UnknownNameError
from convscout.search_space.registry import Registry


def fresh() -> Registry[object]:
    return Registry("thing", package="convscout.search_space.families", group="convscout.tests")


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        [
            EntryPoint("fine", "fractions:Fraction", "convscout.tests"),
            EntryPoint("broken", "no_such_package_of_ours:thing", "convscout.tests"),
        ]
    )
    monkeypatch.setattr(registry_module, "entry_points", lambda group: points.select(group=group))


def test_names_are_sorted_and_classes_learn_theirs() -> None:
    registry = fresh()

    @registry.register("b")
    class B:
        pass

    registry.register("a")(len)
    assert registry.names() == ("a", "b")
    assert registry.get("b") is B
    assert vars(B)["name"] == "b"


def test_a_name_is_taken_once() -> None:
    registry = fresh()
    registry.register("a")(len)
    with pytest.raises(ValueError, match="thing 'a' is registered twice"):
        registry.register("a")(max)


def test_an_unknown_name_lists_the_valid_ones() -> None:
    registry = fresh()
    registry.register("cosine")(len)
    with pytest.raises(
        UnknownNameError, match=r"unknown thing 'cosin'; choose from cosine\. Did you mean 'cosine'\?"
    ):
        registry.get("cosin")


def test_an_error_lists_no_more_names_than_a_person_reads() -> None:
    names = [f"name-{number:03d}" for number in range(200)]
    error = UnknownNameError.among("class", "name", names)
    assert "name-000, " in error.message and "name-049 and 150 more." in error.message


@pytest.mark.usefixtures("plugins")
def test_a_broken_plug_in_is_told_and_skipped() -> None:
    registry = fresh()
    assert registry.names() == ("fine",)
    assert registry.broken == {"broken": "ModuleNotFoundError: No module named 'no_such_package_of_ours'"}
    with pytest.raises(UnknownNameError, match="broken failed to load: ModuleNotFoundError"):
        registry.get("broken")
