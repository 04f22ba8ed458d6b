"""convscout as a person runs it: one command, from image files to a verified export.

python -m benchmarks.league_sides.convscout_search --npz FILE --folders DIR --time 60
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.league_sides.contestant import Answer, Task, compete

STUDY = "league"


def contest(task: Task) -> Answer:
    home = ("--home", str(task.scratch))
    command = [sys.executable, "-m", "convscout"]
    search = ("search", "--data", f"folder:{task.tree}", "--study", STUDY, "--seed", str(task.seed))
    subprocess.run([*command, *search, "--time", f"{task.left_s:.1f}s", *home], check=True)
    shown = subprocess.run([*command, "show", STUDY, "--json", *home], check=True, stdout=subprocess.PIPE)
    study = json.loads(shown.stdout)
    (test,) = (
        row for row in study["outcome"]["report"] if (row["name"], row["split"]) == ("ensemble", "test")
    )
    trials = ", ".join(f"{count} {state}" for state, count in study["trials"].items() if count)
    return Answer(
        test_accuracy=test["accuracy"], setup=f"the defaults; {trials}; {test['params']:,} parameters"
    )


if __name__ == "__main__":
    compete(contest, "convscout", "torch")
