"""What a study names that is no longer installed is found by its check, though reading it does not stumble over it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from convscout.services.config.home import Home
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.audits.ledger import read_records
from tests.support.sampled import factory, imagine, new_study, smooth, task_of


def test_a_trial_and_a_study_of_a_family_that_is_gone_are_read_and_told(tmp_path: Path) -> None:
    task = task_of("gp")
    ledger = new_study(tmp_path, task)
    imagine(ledger, task.space, factory(task, "random"), smooth)
    _rename(Home(tmp_path), "trial_user_attributes", "resnet")
    _rename(Home(tmp_path), "study_user_attributes", "lenet")
    orphan = Ledger.open(ledger.ref)
    assert [record.family for record in orphan.trials()] == ["gone"]
    records, found = read_records(orphan)
    assert not records
    assert [each.where for each in found] == ["settings", "trial 0"]
    assert all("gone" in each.what and "plug-in" in each.advice for each in found)


def _rename(home: Home, table: str, family: str) -> None:
    """Let the family be called otherwise in what a study keeps."""
    with sqlite3.connect(home.database) as database:
        known, gone = f'"{family}"', '"gone"'
        database.execute(f"UPDATE {table} SET value_json = replace(value_json, ?, ?)", (known, gone))
