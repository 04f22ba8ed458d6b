"""A trial's record tells what most want to know without building the configuration that it keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convscout.search_space.errors import UnknownNameError
from convscout.services.ledger.trial_record import TrialRecord
from tests.support.records import EPOCHS, record


def _changed(known: TrialRecord, **parts: object) -> TrialRecord:
    assert known.plan is not None
    return replace(known, plan={**known.plan, **parts})


def test_what_is_read_from_the_plain_plan_is_what_the_configuration_says() -> None:
    known = record(3, 0.5)
    assert known.config is not None
    assert known.config.to_dict() == known.plan
    assert known.settings == known.config.flat()
    assert known.family == known.config.architecture.name == "lenet"
    assert known.planned_epochs == known.config.recipe.epochs == EPOCHS


def test_a_trial_of_a_family_that_is_gone_can_be_read_but_not_built() -> None:
    orphan = _changed(record(3, 0.5), architecture={"name": "gone", "width": 8})
    assert orphan.family == "gone" and orphan.settings["gone.width"] == 8
    assert orphan.score == 0.5 and orphan.to_dict()["family"] == "gone"
    with pytest.raises(UnknownNameError, match="gone"):
        _ = orphan.config


def test_a_recipe_of_before_there_were_distortions_can_be_read() -> None:
    plan = record(3).plan
    assert plan is not None
    older = {part: value for part, value in plan["recipe"].items() if part != "distortion"}
    known = _changed(record(3), recipe=older)
    assert "recipe.distortion" not in known.settings
    assert known.config is not None and known.config.recipe.distortion.name == "none"


def test_a_proposal_that_was_never_committed_has_no_settings() -> None:
    proposal = replace(record(3), plan=None)
    assert (proposal.config, proposal.settings, proposal.planned_epochs) == (None, {}, 0)
    assert proposal.family == "?" and not proposal.trained
