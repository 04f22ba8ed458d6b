"""How long ensemble selection takes, by strategy, and what each is worth on images that it has not seen.

python -m benchmarks.ensemble_selection
python -m benchmarks.ensemble_selection --trials 1000 --images 10000 --classes 10

Trials are made up: of differing skill, with partly the same mistakes. The library is made from all of them; a study
reads only those from disk that its ledger ranks best.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from benchmarks.common import markdown, write
from convscout.services.config.study_config import strategies
from convscout.services.ensembles.combination import combine
from convscout.services.ensembles.library import EnsembleLimits, Library, Member
from convscout.services.ensembles.selection import select
from convscout.services.ensembles.temperature import temper
from convscout.trials.data.splits import Labels
from convscout.trials.evaluation.metrics import Probabilities, accuracy, calibration_error, nll

FAMILIES = 8


def candidates(num_trials: int, num_images: int, num_classes: int) -> tuple[list[Member], Labels]:
    """Made-up trials; those of a family share part of their mistakes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(num_classes, size=num_images)
    shape = (num_images, num_classes)
    hard = rng.standard_normal(shape, dtype=np.float32)  # images differ in difficulty
    kinds = [rng.standard_normal(shape, dtype=np.float32) for _ in range(FAMILIES)]
    members = []
    for number in range(num_trials):
        logits = hard + 0.7 * kinds[number % FAMILIES] + rng.standard_normal(shape, dtype=np.float32)
        logits[np.arange(num_images), labels] += rng.uniform(1.5, 4.0)
        odds = np.exp(rng.uniform(0.5, 2.0) * logits)  # and in how sure they are
        answers = odds / odds.sum(axis=1, keepdims=True)
        members.append(Member(number=number, probabilities=answers, family=f"family {number % FAMILIES}"))
    return members, labels


def halves(member: Member, half: slice) -> Member:
    """The member on half of the images."""
    return Member(number=member.number, probabilities=member.probabilities[half], family=member.family)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--size", type=int, default=5, help="most members of the ensemble")
    parser.add_argument("--quick", action="store_true", help="few trials and images: does it run?")
    asked = parser.parse_args()
    if asked.quick:
        asked.trials, asked.images, asked.turns = 20, 200, 1
    members, labels = candidates(asked.trials, 2 * asked.images, asked.classes)
    seen, unseen = slice(asked.images), slice(asked.images, None)
    limits = EnsembleLimits(size=asked.size)
    took: dict[str, list[float]] = {name: [] for name in ("library", *strategies())}
    found = {}
    for _ in range(asked.turns):
        began = time.perf_counter()
        library = Library.of([halves(member, seen) for member in members], labels[seen], limits)
        took["library"].append(time.perf_counter() - began)
        for name in strategies():
            began = time.perf_counter()
            found[name] = select(library, name)
            took[name].append(time.perf_counter() - began)
    results = [{"step": "library", "seconds": round(statistics.median(took["library"]), 3)}]
    for name, ensemble in found.items():
        answers: list[Probabilities] = [
            temper(members[each.number].probabilities[unseen], each.temperature) for each in ensemble.members
        ]
        together = combine(answers, [each.weight for each in ensemble.members], ensemble.biases)
        answer = temper(together, ensemble.temperature)
        results.append(
            {
                "step": name,
                "seconds": round(statistics.median(took[name]), 3),
                "chosen": ensemble.strategy,
                "members": len(ensemble.members),
                "unseen_accuracy": round(accuracy(answer, labels[unseen]), 4),
                "unseen_nll": round(nll(answer, labels[unseen]), 4),
                "unseen_calibration_error": round(calibration_error(answer, labels[unseen]), 4),
            }
        )
    single = members[library.candidates[0].number].probabilities[unseen]
    facts = {"trials": asked.trials, "images": asked.images, "classes": asked.classes, "turns": asked.turns}
    path = write(
        "ensemble_selection", results, **facts, single_unseen_accuracy=accuracy(single, labels[unseen])
    )
    columns = list(results[-1])
    print(
        markdown(columns, [[each.get(column, "") for column in columns] for each in results]),
        "",
        path,
        sep="\n",
    )
    print(f"the best single one: {accuracy(single, labels[unseen]):.4f}")


if __name__ == "__main__":
    main()
