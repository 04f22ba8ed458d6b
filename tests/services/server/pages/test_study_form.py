"""The form that starts a study: every setting has a field, and what a field is sent with means what a person meant."""

from __future__ import annotations

import pytest

from convscout.search_space.errors import ConfigError
from convscout.services.config.study_config import SETTINGS, StudyConfig
from convscout.services.control.plane import RESERVED
from convscout.services.server.pages import study_form as start_form
from convscout.services.server.pages.form_data import SentForm


def sent(**fields: str | list[str]) -> SentForm:
    """A form that was filled in like this."""
    return SentForm({name: value if isinstance(value, list) else [value] for name, value in fields.items()})


def test_every_setting_that_may_be_chosen_has_a_field_in_one_place() -> None:
    grouped = [field.name for _, members in start_form.groups() for field in members]
    shown = [*start_form.BASICS, *grouped]
    assert sorted(shown) == sorted(set(SETTINGS) - set(RESERVED))


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in RESERVED])
def test_a_field_says_what_it_is_for(name: str) -> None:
    field = start_form.fields()[name]
    assert field.label and field.help
    assert not field.choices or all(choice.value for choice in field.choices)


def test_choices_of_a_registry_are_explained() -> None:
    for name in ("families", "sampler", "pruner", "formats", "ensemble_strategy"):
        assert all(choice.about for choice in start_form.fields()[name].choices), name


def test_what_was_sent_is_a_study() -> None:
    form = sent(
        name="first",
        data="digits",
        time_s=" 1h30m ",
        families=["lenet", "resnet"],
        objective=["macro_f1", "params"],
        validation_share="0.2",
        max_params="1.5M",
        deterministic="yes",
        space='"resnet.width" = {low = 16, high = 32}\nrecipe.batch_size = 128',
        seed="",
    )
    config = StudyConfig.from_options(start_form.settings_of(form))
    assert (config.time_s, config.families, config.objective) == (
        5400,
        ("lenet", "resnet"),
        ("macro_f1", "params"),
    )
    assert (config.validation_share, config.max_params, config.seed) == (0.2, 1_500_000, 0)
    assert config.deterministic and not config.portfolio  # a box that is not ticked says no
    assert config.space == {"resnet.width": {"low": 16, "high": 32}, "recipe.batch_size": 128}


def test_a_study_fills_in_the_form_that_would_start_it_again() -> None:
    config = StudyConfig.from_options(
        {
            "name": "first",
            "data": "digits",
            "time": "90s",
            "max_memory": "2GiB",
            "families": ["lenet"],
            "objective": ["accuracy", "latency"],
            "space": {"lenet.width": 4},
            "portfolio": False,
        }
    )
    shown = start_form.shown_config(config)
    form = SentForm({name: value if isinstance(value, list) else [value] for name, value in shown.items()})
    assert StudyConfig.from_options(start_form.settings_of(form)) == config


def test_problems_are_told_at_their_fields() -> None:
    form = sent(name="a b", data="digits", time_s="soon", validation_share="half", space="a = b")
    with pytest.raises(ConfigError) as caught:
        StudyConfig.from_options(start_form.settings_of(form))
    found = start_form.by_field(caught.value.problems)
    assert set(found) == {"name", "time_s", "validation_share", "space"}
    assert "such as" in found["space"][0]


def test_a_knob_that_does_not_exist_is_told_at_the_knobs() -> None:
    with pytest.raises(ConfigError) as caught:
        StudyConfig.from_options(
            start_form.settings_of(sent(name="a", data="digits", space="resnet.depht = 3"))
        )
    (rule,) = start_form.by_field(caught.value.problems)["space"]
    assert rule.startswith("resnet.depht")
