"""A deleted study is seen no more, comes back whole while it can, and is gone without a trace afterwards."""

from __future__ import annotations

import datetime
import time

import pytest

from convscout.search_space.errors import StudyExistsError, StudyNotFoundError, StudyStateError
from convscout.services.config.home import Home
from convscout.services.ledger.lease import lease
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies import deletion, run
from convscout.services.studies.audits.finding import Finding
from convscout.services.studies.check import check
from convscout.services.tracking.store import TrackingStore
from tests.support.studies import bundle_alone, essences, quiet, tiny_config


def _wrong(home: Home, name: str) -> list[Finding]:
    """What is wrong with a study beside its export, which has no ONNX."""
    return [finding for finding in check(home.study(name)) if finding.where != "export"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("kept"))
    with bundle_alone():
        run.search(tiny_config("stays"), home, quiet, time.time())
        run.search(tiny_config(), home, quiet, time.time())
    return home


def test_what_was_deleted_comes_back_whole(kept: Home) -> None:
    before = essences(kept.root, "tiny")
    until = deletion.delete(kept.study("tiny"), undo_s=3600)
    assert 3500 < (until - datetime.datetime.now(datetime.UTC)).total_seconds() <= 3600
    assert Ledger.names(kept) == ["stays"]
    assert deletion.deleted(kept) == {"tiny": until}
    with pytest.raises(StudyNotFoundError):
        Ledger.open(kept.study("tiny"))
    with pytest.raises(StudyExistsError, match="restored"):
        run.search(tiny_config(), kept, quiet, time.time())
    assert deletion.purge(kept) == []
    deletion.restore(kept.study("tiny"))
    assert Ledger.names(kept) == ["stays", "tiny"]
    assert essences(kept.root, "tiny") == before
    with pytest.raises(StudyNotFoundError, match="deleted lately"):
        deletion.restore(kept.study("tiny"))


def test_a_running_study_is_not_deleted(kept: Home) -> None:
    with lease(kept.study("tiny")), pytest.raises(StudyStateError, match="stop it first"):
        deletion.delete(kept.study("tiny"))
    assert "tiny" in Ledger.names(kept)


def test_what_is_purged_leaves_no_trace_and_frees_its_name(kept: Home) -> None:
    others = essences(kept.root, "stays")
    deletion.delete(kept.study("tiny"), undo_s=0)
    assert deletion.purge(kept) == ["tiny"]
    assert not kept.study("tiny").directory.exists()
    assert deletion.deleted(kept) == {}
    assert essences(kept.root, "stays") == others
    assert _wrong(kept, "stays") == []
    with bundle_alone():
        run.search(tiny_config(), kept, quiet, time.time())
    assert len(Ledger.open(kept.study("tiny")).trials()) == 3
    assert _wrong(kept, "tiny") == []
    client = TrackingStore.at(kept).client()
    assert client.get_experiment_by_name("tiny") is not None
