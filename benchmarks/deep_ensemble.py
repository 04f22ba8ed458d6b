"""Is a search worth more than its best network trained again? Its ensemble beside an equally dear deep ensemble.

python -m benchmarks.deep_ensemble cifar --home runs

The deep ensemble (Lakshminarayanan et al., 2017) is the configuration of the best single trial, trained from scratch
with four seeds, each for as many epochs as make all of them together take as long as the study took. It is given the
configuration for nothing, which a person without a search would have to guess.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from typing import Any

from benchmarks.common import markdown, write
from convscout.services.cli.display import Display, display
from convscout.services.config.home import Home
from convscout.services.ensembles.combination import combine
from convscout.services.ensembles.trained import TrainedMember
from convscout.services.evaluation.scores import Evaluation
from convscout.services.executors.placement import place
from convscout.services.ledger.ledger import Ledger
from convscout.services.studies.extra_trainings import Training, train
from convscout.services.studies.finish import Finish, open_test
from convscout.services.studies.outcome import load_outcome
from convscout.services.studies.session import same_data
from convscout.trials.checkpoints.trial_directory import TrialDirectory
from convscout.trials.data.batches import TrainingData
from convscout.trials.evaluation.paired_test import paired_difference
from convscout.trials.evaluation.tta import best_view
from convscout.trials.evaluation.views import PLAIN

SEEDS = 4
_SEED_STEP = 15_485_863


def equal_epochs(spent_s: float, workers: int, epoch_s: float, seeds: int) -> int:
    """How many epochs each of ``seeds`` networks may have, ``workers`` at a time, to take ``spent_s`` seconds."""
    return max(1, round(spent_s * workers / (epoch_s * seeds)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", help="the name of a finished study")
    parser.add_argument("--home", default="runs", help="where it lies (default: runs)")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, help="of each network, instead of the study's time")
    arguments = parser.parse_args()
    with display() as tell:
        rows, facts = compare(parser, arguments, tell)
    path = write("deep_ensemble", rows, **facts)
    print(
        markdown(
            ["", "members", "test accuracy"],
            [[r["name"], r["members"], f"{r['accuracy']:.2%}"] for r in rows],
        )
    )
    print(path)


def compare(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, tell: Display
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of both ensembles, and what was done. Opens the test split."""
    home = Home.at(arguments.home)
    ledger = Ledger.open(home.study(arguments.study))
    outcome = load_outcome(ledger)
    if outcome is None:
        parser.error(f"study {arguments.study!r} has no ensemble yet")
    config = ledger.config
    splits = same_data(ledger, config, tell)
    data = TrainingData.of(splits)
    best = ledger.trial(outcome.best)
    assert best.config is not None
    placement = place(config, data)
    epoch_s = best.measurements[-1].elapsed_s / best.measurements[-1].epoch
    epochs = arguments.epochs or equal_epochs(ledger.spent_s, placement.workers, epoch_s, arguments.seeds)
    recipe = best.config.recipe.with_epochs(epochs)
    folder = home.study(config.name).directory / "deep-ensemble" / str(epochs)
    plan = [
        Training(
            name=f"seed {seed}",
            config=replace(best.config, recipe=recipe, seed=best.config.seed + seed * _SEED_STEP),
            directory=TrialDirectory(folder / str(seed)),
            epoch_s=epoch_s,
        )
        for seed in range(1, arguments.seeds + 1)
    ]
    began = time.monotonic()
    train(
        ledger,
        plan,
        data,
        placement=placement,
        cluster=None,
        description=f"trial {best.number}, {best.family}, {epochs} epochs with {arguments.seeds} seeds",
        left_s=lambda: math.inf,
        interrupted=lambda: False,
        listener=tell,
    )
    took_s = time.monotonic() - began
    test = open_test(ledger, splits, tell)
    whole = Finish(ledger, splits, tell).load_trained(outcome.ensemble)
    ours = whole.build_module().answer(test.images)
    rows: list[dict[str, Any]] = [
        {
            "name": "the study's ensemble",
            "members": len(outcome.ensemble.members),
            "accuracy": _accuracy(ours, test.labels),
        }
    ]
    for view in (PLAIN, best_view(splits.image.symmetries).name):
        answers = []
        for training in plan:
            kept = training.directory.load_best()
            assert kept is not None, "it was trained"
            member = TrainedMember(
                number=0, weight=1.0, architecture=best.config.architecture, weights=kept.weights, view=view
            )
            alone = replace(whole, members=(member,), temperature=1.0, biases=())
            answers.append(alone.build_module().answer(test.images))
        together = combine(answers, [1 / len(answers)] * len(answers))
        found = Evaluation.of(together, test.labels, splits.class_names)
        gain = paired_difference(ours, together, test.labels)
        rows.append(
            {
                "name": f"deep ensemble, {view}",
                "members": len(answers),
                "accuracy": found.accuracy,
                "low": found.low,
                "high": found.high,
                "nll": found.nll,
                "each": [_accuracy(each, test.labels) for each in answers],
                "study_gains": gain.difference,
                "study_gains_low": gain.low,
                "study_gains_high": gain.high,
            }
        )
    facts = {"study": config.name, "data": config.data, "family": best.family, "epochs": epochs}
    return rows, facts | {"took_s": round(took_s, 1), "study_s": round(ledger.spent_s, 1)}


def _accuracy(answers: Any, labels: Any) -> float:
    return float((answers.argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    main()
