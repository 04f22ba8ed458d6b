"""What new studies and datasets may be called: one rule that every part which meets a name takes."""

from __future__ import annotations

import pytest
from mlflow.utils.validation import (
    _validate_experiment_name,
    _validate_logged_model_name,
    _validate_model_name,
)

from convscout.search_space.errors import ConfigError
from convscout.services.cli.naming import name_fields
from convscout.services.config.names import find_name_problem, is_known_form, make_name, refuse_new_study_name
from convscout.services.config.study_config import StudyConfig
from convscout.services.control.datasets.uploads import is_name

REFUSED = (
    "run-1.2", ".", "..", ".hidden", "end.", "end ", "-x", "--help", "", "a/b", "a\\b", "a:b", "a%2Fb", "größe",
    "a" * 65, "CON", "con", "Nul", "com1", "LPT9", "Default", "a\n",
)  # fmt: skip
ALLOWED = ("quickstart", "run-1-2", "_x", "A", "console", "com", "a" * 64, "1", "x-")


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_some_part_would_refuse_is_refused_with_one_that_is_allowed(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^study\.name: must be .*, such as '[^']+'.*, but got ") as raised:
        refuse_new_study_name(name)
    (problem,) = raised.value.problems
    assert problem.value == name
    assert find_name_problem(make_name(name, "study")) == ""


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_is_allowed_by_mlflow_and_for_datasets_too(name: str) -> None:
    assert find_name_problem(name) == "" and make_name(name, "study") in (name, name.rstrip("-"))
    _validate_model_name(name)
    _validate_experiment_name(name)
    _validate_logged_model_name(name)
    assert is_known_form(name) and is_name(name)


@pytest.mark.parametrize("name", ["run-1.2", "-x", "CON", ".hidden"])
def test_a_study_that_an_earlier_version_named_so_can_still_be_read(name: str) -> None:
    config = StudyConfig(name=name, data="digits")
    assert StudyConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("data", "taken", "name"),
    [
        ("folder:/data/flowers.v2", [], "flowers"),
        ("folder:/data/con", [], "con-1"),
        ("folder:/data/größe", [], "gr-e"),
        ("digits", ["Digits"], "digits-2"),
    ],
)
def test_a_name_that_is_made_from_the_data_is_legal(data: str, taken: list[str], name: str) -> None:
    assert name_fields({"data": data}, lambda: taken)["name"] == name
    assert find_name_problem(name) == ""
