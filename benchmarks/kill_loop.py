"""How many kills studies survive: SIGKILL at random moments until each ends, then everything is checked.

    python -m benchmarks.kill_loop --seeds 200

A seed is a study of five small networks on digits, in one process, killed at moments drawn uniformly from the time
that an undisturbed one takes, up to four times. It survives if ``convscout check`` finds nothing afterwards and its
trials and ensemble are those of the undisturbed study, bit for bit. Exits with 1 if one does not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from benchmarks.common import markdown, write
from convscout.services.system.resources import num_cores
from tests.support.random_kills import Survival, survive
from tests.support.studies import bundle_alone
from tests.support.victim import Victim

OPTIONS = {"trials": 5, "epochs": 3, "pruner": "asha", "ensemble_size": 2}
MOST = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--bundle-alone", action="store_true", help="export no more than the weights")
    parser.add_argument("--at-a-time", type=int, default=num_cores(), metavar="N")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as root,
        bundle_alone() if arguments.bundle_alone else nullcontext(),
    ):
        survivals = _run(Path(root), arguments.first, arguments.seeds, arguments.at_a_time)
    failed = [survival for survival in survivals if survival.complaints]
    kills = sum(survival.kills for survival in survivals)
    counts = sorted(Counter(survival.kills for survival in survivals).items())
    print(markdown(["kills of a study", "studies"], counts))
    print(f"\n{len(survivals) - len(failed)} of {len(survivals)} studies survived; {kills} kills in all")
    results = [vars(survival) for survival in survivals]
    write("kill_loop", results, kills=kills, studies=len(survivals), failed=len(failed))
    sys.exit(bool(failed))


def _run(root: Path, first: int, seeds: int, at_a_time: int) -> list[Survival]:
    """What becomes of ``seeds`` studies under ``root``, ``at_a_time`` of them side by side."""
    for name in ("warm-up", "undisturbed"):  # the first also waits for the imports
        began = time.monotonic()
        undisturbed = Victim(root / name, OPTIONS)
        assert undisturbed.live() == 0, undisturbed.log
        span_s = time.monotonic() - began

    def of(seed: int) -> Survival:
        with tempfile.TemporaryDirectory(dir=root) as home:
            victim = Victim(Path(home) / "home", OPTIONS)
            survival = survive(victim, undisturbed, seed=seed, span_s=span_s, most=MOST)
        for complaint in survival.complaints:
            print(f"seed {seed}: {complaint}", file=sys.stderr, flush=True)
        return survival

    survivals = []
    with ThreadPoolExecutor(at_a_time) as threads:
        for survival in threads.map(of, range(first, first + seeds)):
            survivals.append(survival)
            print(f"seed {survival.seed}: {survival.kills} kills", file=sys.stderr, flush=True)
    return survivals


if __name__ == "__main__":
    main()
