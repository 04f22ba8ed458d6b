"""Row 31 of the faults: homes that share one real MLflow server over HTTP, each with a study of the same name."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking.client import MlflowClient

from convscout.services.config.home import Home
from convscout.services.studies import results, run
from convscout.services.studies.check import check
from convscout.services.studies.repair import repair
from convscout.services.tracking.store import TrackingStore
from convscout.services.tracking.tags import HOME_TAG, TRIAL_TAG
from convscout.services.tracking.ui import UiServer
from tests.faults.test_homes import copied, moved, moved_to_odd_characters
from tests.faults.test_tracking_server import free_port
from tests.support.http_proxy import HOST
from tests.support.studies import quiet, tiny_config

NAME = "same"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real tracking server, which every home here is told of."""
    port = free_port()
    with (
        UiServer(Home(tmp_path_factory.mktemp("server")), port=port),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{port}")
        yield


@pytest.fixture(scope="module")
def searched(server: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Home]:
    """Two homes that each searched a study of that name, on other images."""
    homes = tuple(Home(tmp_path_factory.mktemp(name) / "home") for name in ("one", "other"))
    for seed, home in enumerate(homes):
        run.search(tiny_config(NAME, trials=2, epochs=1, seed=seed), home, quiet, time.time())
    one, other = homes
    return one, other


def runs_of(home: Home) -> dict[str, set[str]]:
    """The ids of the runs on the server that are tagged with ``home``, by the trial they are of."""
    client = TrackingStore.at(home).reader()
    assert isinstance(client, MlflowClient)
    mine: dict[str, set[str]] = {}
    experiments = [each.experiment_id for each in client.search_experiments()]
    for found in client.search_runs(experiments, f"tags.`{HOME_TAG}` = '{home.id}'"):
        mine.setdefault(found.data.tags.get(TRIAL_TAG, "study"), set()).add(found.info.run_id)
    return mine


def require_clean(home: Home) -> None:
    """What the server has of the study is that of ``home``, once a trial, and nothing is missing."""
    assert results.sync(home.study(NAME), quiet) == 0
    assert check(home.study(NAME)) == []
    assert {trial: len(ids) for trial, ids in runs_of(home).items()} == {"study": 1, "0": 1, "1": 1}


def test_each_home_has_an_experiment_runs_and_a_champion_of_its_own(
    searched: tuple[Home, Home], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = searched
    client = TrackingStore.at(one).reader()
    assert isinstance(client, MlflowClient)
    names = {each.name: each.tags[HOME_TAG] for each in client.search_experiments() if HOME_TAG in each.tags}
    assert names == {NAME: one.id, f"{NAME}-{other.id[:8]}": other.id}
    for home in searched:
        require_clean(home)
    assert capsys.readouterr().out == ""  # where MLflow would print links, in the midst of what `--json` says
    assert set.union(*runs_of(one).values()).isdisjoint(set.union(*runs_of(other).values()))
    for home, name in ((one, NAME), (other, f"{NAME}-{other.id[:8]}")):
        version = client.get_model_version_by_alias(name, "champion")
        assert {version.run_id} == runs_of(home)["study"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("arrive", [moved, moved_to_odd_characters, copied])
def test_a_home_that_was_moved_or_copied_mixes_nothing(
    arrive: Callable[[Home], Home], searched: tuple[Home, Home], tmp_path: Path
) -> None:
    """A copy brings runs of its own to the server, a home that moved keeps its."""
    one, other = searched
    first = Home(tmp_path / "first")
    shutil.copytree(one.root, first.root)
    repair(first.study(NAME), quiet)
    before = {home: runs_of(home) for home in (one, other, first)}
    home = arrive(first)
    repair(home.study(NAME), quiet)
    for each in (home, one, other):
        require_clean(each)
    assert before[one] == runs_of(one) and before[other] == runs_of(other)
    if arrive is copied:
        assert home.id != first.id and runs_of(first) == before[first]
    else:
        assert runs_of(home) == before[first]


def test_the_champion_that_the_server_names_loads_as_the_logged_model(searched: tuple[Home, Home]) -> None:
    """MLflow's databases keep no ``model_id`` of a version; the model that its alias loads has it."""
    one, _ = searched
    client = TrackingStore.at(one).reader()
    assert isinstance(client, MlflowClient)
    version = client.get_model_version_by_alias(NAME, "champion")
    logged = client.get_logged_model(version.tags["convscout.model_id"])
    mlflow.set_tracking_uri(TrackingStore.at(one).uri)
    try:
        assert mlflow.models.get_model_info(f"models:/{NAME}@champion").model_id == logged.model_id
    finally:
        mlflow.set_tracking_uri(None)
    assert logged.source_run_id == version.run_id
    assert {metric.key for metric in logged.metrics} >= {"ensemble.test_accuracy"}
    assert logged.params["study.data" if "study.data" in logged.params else "data"] == "digits"
