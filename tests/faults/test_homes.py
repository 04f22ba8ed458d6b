"""A home that is moved, or copied, is a home of its own: what it tells, and what it writes, lies in it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking.client import MlflowClient

from convscout.services.cli.local import studies
from convscout.services.config.home import Home
from convscout.services.control.jobs import Jobs
from convscout.services.events.events import Event, Notice
from convscout.services.export.formats.bundle import load_bundle
from convscout.services.ledger.fencing import Holder
from convscout.services.ledger.lease import lease
from convscout.services.ledger.ledger import Ledger
from convscout.services.schemas.jobs import JobKind
from convscout.services.studies import results, run
from convscout.services.studies.check import check
from convscout.services.studies.outcome import load_outcome
from convscout.services.studies.repair import repair
from convscout.services.tracking.relocation import settle
from convscout.services.tracking.store import TrackingStore
from tests.support.studies import bundle_alone, quiet, tiny_config

NAME = "tiny"
ODD = "a?b%20c#ä"


@pytest.fixture(scope="module", autouse=True)
def _bundle_alone() -> Iterator[None]:
    with bundle_alone():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a study that was searched to its end."""
    root = tmp_path_factory.mktemp("finished") / "home"
    run.search(tiny_config(NAME, trials=2), Home(root), quiet, time.time())
    return root


@pytest.fixture
def first(finished: Path, tmp_path: Path) -> Iterator[Home]:
    """A home like that, which knows where it lies."""
    home = Home(tmp_path / "first")
    shutil.copytree(finished, home.root)
    settle(home, lambda text: None)
    yield home


def moved(home: Home) -> Home:
    return Home(home.root.rename(home.root.with_name("moved")))


def moved_to_odd_characters(home: Home) -> Home:
    return Home(home.root.rename(home.root.with_name(ODD)))


def copied(home: Home) -> Home:
    return Home(Path(shutil.copytree(home.root, home.root.with_name("copy"))))


ARRIVALS = pytest.mark.parametrize("arrive", [moved, moved_to_odd_characters, copied])


def _files(root: Path) -> Mapping[Path, bytes]:
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _artifacts(home: Home) -> list[str]:
    """Where MLflow says that the artifacts of the runs and of the study lie."""
    client = TrackingStore.at(home).reader()
    assert isinstance(client, MlflowClient)
    [experiment] = client.search_experiments(filter_string=f"name = '{NAME}'")
    runs = client.search_runs([experiment.experiment_id])
    return [experiment.artifact_location, *(run.info.artifact_uri for run in runs)]


def _shown(home: Home, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    studies.show(home.study(NAME), json=True)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@ARRIVALS
def test_the_export_that_is_shown_lies_in_this_home_and_predicts(first, arrive, capsys):
    home = arrive(first)
    export = Path(_shown(home, capsys)["outcome"]["export"])
    assert export == home.study(NAME).export
    assert load_bundle(export).members


@ARRIVALS
def test_check_tells_of_it_until_a_repair_mends_it(first, arrive):
    home = arrive(first)
    ref, told = home.study(NAME), list[Event]()
    before = _files(home.root)
    assert {finding.where for finding in check(ref)} == {"home", "MLflow"}
    assert _files(home.root) == before  # which it only reads
    assert {finding.where for finding in repair(ref, told.append)} == {"home", "MLflow"}
    assert check(ref) == []
    notices = [event.text for event in told if isinstance(event, Notice) and "this home" in event.text]
    assert len(notices) == 1 and str(first.root) in notices[0]
    assert all(link.startswith(home.artifacts.as_uri()) for link in _artifacts(home))


def test_a_home_that_moved_stays_itself_and_a_copy_becomes_another(first):
    copy, before = copied(first), first.id
    settle(copy, lambda text: None)
    elsewhere = moved(first)
    settle(elsewhere, lambda text: None)
    assert elsewhere.id == before != copy.id
    client = TrackingStore.at(copy).reader()
    [experiment] = client.search_experiments(filter_string=f"name = '{NAME}'")
    assert experiment.tags["convscout.home"] == copy.id


def test_the_ledger_names_the_home_whose_study_it_holds(first: Home) -> None:
    """From when a study is held: a move changes nothing, and the study of a copy becomes the copy's."""
    copy = copied(first)
    settle(copy, lambda text: None)
    elsewhere = moved(first)
    for home in (copy, elsewhere):
        settle(home, lambda text: None)
        with lease(home.study(NAME)) as fence:
            assert Ledger.open(home.study(NAME), fence).note("home") == home.id
    assert elsewhere.id != copy.id


def test_an_identity_that_was_lost_is_what_the_ledger_knows(first: Home) -> None:
    with lease(first.study(NAME)):
        pass
    known, told = first.id, list[str]()
    (first.root / "identity.json").unlink()
    settle(first, told.append)
    assert first.id == known and check(first.study(NAME)) == []
    assert told == [f"the identity of this home was lost, and is again what its ledger knows: {known}"]


def test_a_copy_without_an_identity_finds_its_runs_and_its_own_artifacts_too(first):
    (first.root / "identity.json").unlink()
    copy, told = copied(first), list[str]()
    assert [finding.where for finding in check(copy.study(NAME))] == ["MLflow"]
    settle(copy, told.append)
    assert check(copy.study(NAME)) == []
    assert len(told) == 1 and first.artifacts.as_uri() in told[0]


def test_artifacts_that_went_elsewhere_are_made_again(first):
    lost = next(
        path for path in first.artifacts.iterdir() if (path / "artifacts" / "learning_curve.png").exists()
    )
    shutil.rmtree(lost)
    ref = first.study(NAME)
    assert [finding.where for finding in check(ref)] == ["MLflow"]
    assert results.sync(ref, quiet) == 1
    assert check(ref) == []
    assert (lost / "artifacts" / "learning_curve.png").exists()


@pytest.mark.slow
@ARRIVALS
def test_a_resume_writes_into_this_home_alone(first, arrive):
    home = arrive(first)
    before = _files(first.root) if first.root.exists() else None
    outcome = run.resume(home.study(NAME), quiet, time.time(), changes={"trials": "+1"})
    results.sync(home.study(NAME), quiet)
    assert outcome.export == home.study(NAME).export
    assert check(home.study(NAME)) == []
    assert all(link.startswith(home.artifacts.as_uri()) for link in _artifacts(home))
    assert (_files(first.root) if first.root.exists() else None) == before
    assert set(home.root.parent.iterdir()) == {home.root, *([first.root] if before else [])}


def test_a_process_that_died_in_a_home_does_not_hold_its_study_elsewhere(first):
    ref = first.study(NAME)
    with lease(ref) as fence:
        holder = fence.known.holder
    assert isinstance(holder, Holder)
    home = moved(first)
    assert holder.is_dead(home)
    with lease(home.study(NAME)):
        pass


def test_a_process_that_runs_the_original_does_not_hold_the_copy(first):
    with lease(first.study(NAME)):
        copy = copied(first)
        assert Ledger.open(copy.study(NAME)).holder is None
        assert Ledger.open(first.study(NAME)).holder is not None
        with lease(copy.study(NAME)):
            pass


@ARRIVALS
def test_commands_that_wait_in_the_service_are_for_this_home(first, arrive):
    words = ["resume", NAME, "--home", str(first.root), "--config", "{job}/study.toml"]
    Jobs(first).add(JobKind.SEARCH, NAME, words)
    home = arrive(first)
    [job] = Jobs(home)
    assert job.arguments == ("resume", NAME, "--home", str(home.root), "--config", f"{job.path}/study.toml")
    assert job.path.is_relative_to(home.root)


def test_what_a_study_came_to_is_kept_without_the_place_of_its_home(first):
    ledger = Ledger.open(first.study(NAME))
    assert ledger.note("outcome")["export"] == "export"
    outcome = load_outcome(ledger)
    assert outcome is not None and outcome.export == first.study(NAME).export
