"""The plots of a study: drawn from few and from many trials, in MLflow while a study grows, by ``convscout plot``."""

from __future__ import annotations

import csv
import datetime
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from convscout.search_space.errors import UnknownNameError
from convscout.services.cli import main
from convscout.services.config.home import Home
from convscout.services.ledger.trial_record import TrialRecord
from convscout.services.plotting.columns import PARAMS, TRAINING_TIME, front_of, score_of
from convscout.services.plotting.knobs import importances, observed_knobs
from convscout.services.plotting.search_time import SearchTime
from convscout.services.plotting.study_plots.timeline import assign_rows
from convscout.services.plotting.view import StudyView
from convscout.services.plotting.writing import TABLE, write_plots, write_table
from convscout.services.plugins import study_plots
from convscout.services.studies import run as study_run
from convscout.services.tracking import mirror as mirror_module
from convscout.services.tracking.audit import differences
from convscout.services.tracking.mirror import Mirror
from convscout.services.tracking.projector import Projector, sync
from convscout.services.tracking.runs import StudyRuns
from convscout.services.tracking.store import TrackingStore
from convscout.trials.config import TrialState
from convscout.trials.evaluation.qualities import QUALITIES
from tests.support.recorded_study import BEGAN, recorded_study
from tests.support.records import record
from tests.support.sampled_trials import sampled_trials
from tests.support.studies import quiet, tiny_config

ALWAYS = {"families", "learning-curves", "optimization-history", "pareto-front", "timeline"}


def sizes(paths: Sequence[Path]) -> dict[str, tuple[int, int]]:
    found = {}
    for path in paths:
        with Image.open(path) as image:
            image.load()
            found[path.stem] = image.size
    return found


class TestWritePlots:
    @pytest.mark.parametrize("objective", ["accuracy", "nll"])
    @pytest.mark.parametrize("count", [5, 40])
    def test_every_plot_there_are_enough_trials_for(self, tmp_path, count, objective):
        found = sizes(write_plots("demo", sampled_trials(count, objective=objective), tmp_path))
        assert set(found) == (ALWAYS if count == 5 else set(study_plots.names()))
        assert all(width >= 800 and height >= 200 for width, height in found.values())

    @pytest.mark.parametrize(
        "records",
        [
            [],
            [record(0, state=TrialState.REJECTED)],
            [record(0)],
            [record(0, 0.5, state=TrialState.FAILED)],
            [record(0, 0.5)],
            [record(0, 0.5, state=TrialState.COMPLETED)],
            [record(n, 0.5, state=TrialState.COMPLETED) for n in range(12)],
        ],
        ids=["none", "rejected", "no epoch", "failed", "running", "one", "all alike"],
    )
    def test_whatever_the_trials_are(self, tmp_path, records):
        assert set(sizes(write_plots("demo", records, tmp_path))) <= ALWAYS

    def test_an_unknown_kind_is_refused_before_anything_is_written(self, tmp_path):
        with pytest.raises(UnknownNameError, match=r"unknown plot 'timline'.*Did you mean 'timeline'"):
            write_plots("demo", sampled_trials(5), tmp_path / "plots", ["families", "timline"])
        assert not (tmp_path / "plots").exists()

    def test_costs_of_the_study_have_a_front_each(self):
        records = [replace(each, costs={"latency": 0.001, "flops": 5.0}) for each in sampled_trials(8)]
        figure = study_plots.get("pareto-front")(StudyView(records))
        assert figure is not None
        assert [axes.get_xlabel() for axes in figure.axes] == ["latency", "flops", "training time (s)"]


class TestTable:
    def test_a_row_a_trial_and_a_column_a_knob(self, tmp_path):
        records = [*sampled_trials(6), record(6, state=TrialState.REJECTED)]
        with write_table(records, tmp_path).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["number"]) for row in rows] == list(range(6))
        for row, each in zip(rows, records, strict=False):
            assert each.config is not None
            settings = {name: str(value) for name, value in each.config.flat().items() if value is not None}
            assert settings.items() <= row.items()
            assert row["state"] == each.state and float(row["score"]) == each.score


class TestFront:
    def test_only_what_none_surpasses(self):
        points = [(1.0, 0.2), (2.0, 0.5), (2.0, 0.4), (3.0, 0.5), (4.0, 0.9), (4.0, 0.9)]
        assert front_of(points, PARAMS, score_of(QUALITIES["accuracy"])) == [
            (1.0, 0.2),
            (2.0, 0.5),
            (4.0, 0.9),
        ]

    def test_a_score_that_is_made_small(self):
        points = [(1.0, 0.5), (2.0, 0.6), (3.0, 0.1)]
        assert front_of(points, TRAINING_TIME, score_of(QUALITIES["nll"])) == [(1.0, 0.5), (3.0, 0.1)]


class TestImportances:
    def test_finds_the_knob_that_decides(self):
        view = StudyView(sampled_trials(60))
        shares = view.importances
        assert next(iter(shares)) == "recipe.batch_size"
        assert sum(shares.values()) == pytest.approx(1)

    def test_too_few_trials_tell_nothing(self):
        judged = [each for each in sampled_trials(12) if each.state.scored]
        assert len(judged) < 10
        assert importances(judged, observed_knobs(judged)) == {}

    def test_a_knob_that_did_not_matter_to_a_trial_has_no_value_there(self):
        records = sampled_trials(40)
        knobs = observed_knobs(records)
        warmed = {r.number for r in records if r.config and r.config.recipe.schedule in ("cosine", "linear")}
        assert set(knobs["recipe.warmup"].values) == warmed
        assert "recipe.focal_gamma" not in knobs


class TestTimeline:
    def test_rows_are_as_many_as_trials_ran_at_a_time(self):
        spans = {0: (0.0, 5.0), 1: (0.0, 2.0), 2: (2.0, 4.0), 3: (4.0, 6.0), 4: (5.0, 7.0)}
        assert assign_rows(spans) == {0: 1, 1: 0, 2: 0, 3: 0, 4: 1}

    def test_a_night_between_two_runs_is_left_out(self):
        def trial(number: int, after_s: float) -> TrialRecord:
            began = BEGAN + datetime.timedelta(seconds=after_s)
            ended = began + datetime.timedelta(seconds=60)
            return replace(
                record(number, 0.5, state=TrialState.COMPLETED), started_at=began, finished_at=ended
            )

        records = [trial(0, 0), trial(1, 300), trial(2, 40_000)]
        time_ = SearchTime(records)
        assert time_.unit == "min"
        assert [time_.span(each) for each in records] == [(0, 1), (5, 6), (6, 7)]


class TestMirrored:
    @pytest.fixture
    def study(self, tmp_path):
        return recorded_study(tmp_path)

    @pytest.fixture
    def store(self, study):
        return TrackingStore(uri=study.home.tracking_uri, artifacts=study.home.artifacts)

    @staticmethod
    def artifacts(study, store):
        client = store.client()
        run = client.search_runs(
            [StudyRuns(study, store, None).experiment_id], f"tags.mlflow.runName = '{study.name}'"
        )[0]
        return Path(study.home.artifacts / run.info.run_id / "artifacts")

    def test_plots_and_table_are_artifacts_of_the_study(self, study, store):
        for number in range(3):
            study.train(number, state=TrialState.COMPLETED)
        sync(study, store)
        kept = self.artifacts(study, store)
        assert {path.stem for path in (kept / "plots").iterdir()} == ALWAYS
        assert len((kept / TABLE).read_text().splitlines()) == 4

    def test_they_are_drawn_anew_when_something_changed_and_only_then(self, study, store):
        study.train(0, state=TrialState.COMPLETED)
        sync(study, store)
        table = self.artifacts(study, store) / TABLE
        first = table.stat().st_mtime_ns
        sync(study, store)
        assert table.stat().st_mtime_ns == first
        study.train(1, epochs=1)
        assert any("convscout.plots" in line for line in differences(study, store))
        sync(study, store)
        assert len(table.read_text().splitlines()) == 3
        assert differences(study, store) == []

    @pytest.mark.slow
    def test_they_are_refreshed_while_the_study_grows(self, study, store, monkeypatch):
        monkeypatch.setattr(mirror_module, "_PLOTS_PACE_S", 0.0)
        monkeypatch.setattr(mirror_module, "_PLOTS_SHARE", 1.0)
        study.train(0, epochs=1)
        growing = Mirror(lambda: Projector(study, store))
        growing.start()
        growing.touch(0)
        seen = self.wait_for_rows(study, store, 2)
        study.train(0, state=TrialState.COMPLETED)
        study.train(1, epochs=1)
        growing.touch(0)
        growing.touch(1)
        assert (seen, self.wait_for_rows(study, store, 3)) == (2, 3)
        assert growing.close(60) == 0

    @pytest.mark.slow
    def test_they_wait_for_their_turn_and_are_drawn_at_the_end(self, study, store, monkeypatch):
        monkeypatch.setattr(mirror_module, "_PLOTS_PACE_S", 3600.0)
        study.train(0, state=TrialState.COMPLETED)
        growing = Mirror(lambda: Projector(study, store))
        growing.start()
        growing.touch(0)
        deadline = time.monotonic() + 60
        while growing.pending and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not (self.artifacts(study, store) / TABLE).exists()
        assert growing.close(60) == 0
        assert (self.artifacts(study, store) / TABLE).exists()

    def test_they_can_be_asked_for_before_their_turn(self, study, store, monkeypatch):
        monkeypatch.setattr(mirror_module, "_PLOTS_PACE_S", 3600.0)
        study.train(0, state=TrialState.COMPLETED)
        growing = Mirror(lambda: Projector(study, store))
        growing.start()
        growing.touch(0)
        growing.touch_plots()
        assert self.wait_for_rows(study, store, 2) == 2
        growing.close(60)

    def wait_for_rows(self, study, store, rows: int) -> int:
        deadline, found = time.monotonic() + 60, 0
        while found != rows and time.monotonic() < deadline:
            time.sleep(0.1)
            try:
                found = len((self.artifacts(study, store) / TABLE).read_text().splitlines())
            except (FileNotFoundError, IndexError):
                continue
        return found


class TestRevivedTrial:
    @pytest.mark.slow
    def test_goes_on_in_its_run_and_ends_there_again(self, tmp_path):
        study = recorded_study(tmp_path)
        store = TrackingStore(uri=study.home.tracking_uri, artifacts=study.home.artifacts)
        study.train(0, epochs=2, state=TrialState.STOPPED)
        sync(study, store)
        assert differences(study, store) == []
        for epochs, state in ((3, TrialState.RUNNING), (4, TrialState.STOPPED)):
            study.train(0, epochs=epochs, state=state)
            study.records[0] = replace(study.records[0], reopened=1)
            assert differences(study, store) != []
            assert sync(study, store) == 1
            assert differences(study, store) == []

    def test_is_found_if_all_of_it_happened_while_the_server_was_away(self, tmp_path):
        study = recorded_study(tmp_path)
        store = TrackingStore(uri=study.home.tracking_uri, artifacts=study.home.artifacts)
        study.train(0, epochs=2, state=TrialState.STOPPED)
        sync(study, store)
        study.train(0, epochs=4, state=TrialState.STOPPED)
        study.records[0] = replace(study.records[0], reopened=1)
        assert sync(study, store) == 1
        assert differences(study, store) == []


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("home"))
    study_run.search(tiny_config("demo", trials=2, epochs=1), home, quiet, time.time())
    return home


class TestCommand:
    def run(self, capsys, *arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    def test_lists_what_it_wrote(self, home, capsys):
        code, out, _ = self.run(capsys, "plot", "demo", "--home", str(home.root), "--json")
        files = [Path(each) for each in json.loads(out)["files"]]
        assert code == 0
        assert {path.name for path in files} == {*(f"{kind}.png" for kind in ALWAYS), TABLE}
        assert all(
            path.parent == home.study("demo").directory / "plots" and path.stat().st_size for path in files
        )

    def test_draws_one_kind_somewhere_else(self, home, tmp_path, capsys):
        target = tmp_path / "here"
        code, out, _ = self.run(
            capsys, "plot", "demo", "--kind", "timeline", "--output", str(target), "--home", str(home.root)
        )
        assert (code, out.split()) == (0, [str(target / "timeline.png")])
        assert [path.name for path in target.iterdir()] == ["timeline.png"]

    def test_says_what_is_wrong(self, home, tmp_path, capsys):
        code, _, error = self.run(capsys, "plot", "demo", "--kind", "pareto", "--home", str(home.root))
        assert code == 2 and "unknown plot 'pareto'; choose from families" in error
        taken = tmp_path / "file"
        taken.touch()
        code, _, error = self.run(capsys, "plot", "demo", "--output", str(taken), "--home", str(home.root))
        assert code == 2 and f"--output: {taken} cannot be written" in error
