"""How long commands that only read a ledger take, how much memory, and how many modules they import.

python -m benchmarks.light_commands [--trials 200] [--repeats 5] [--home HOME] (a home that holds such a study already)

Each command runs in fresh processes on a study of so many imagined trials. Told are its fastest run, the time that the
processor took for it, the most memory it ever held, and the packages among ``HEAVY`` that it imported.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import markdown, write
from benchmarks.large_study import write_large_study
from convscout.services.config.home import Home
from tests.support.imported import HEAVY

STUDY = "large"
COMMANDS = (("--help",), ("studies",), ("show", STUDY), ("trials", STUDY), ("stop", STUDY))
LIMIT_S, LIMIT_MB = 1.0, 200.0
# the peak is read within: what the kernel tells a parent counts what the process held before it became another
_INSIDE = """
import json, os, sys
from convscout.services.cli import main
try:
    main(json.loads(sys.argv[1]))
finally:
    sys.stdout.flush()
    with open("/proc/self/status") as file:
        peak_kb = next(line.split()[1] for line in file if line.startswith("VmHWM"))
    os.write(int(sys.argv[2]), f"{peak_kb} {' '.join(sys.modules)}".encode())
"""


def measure(command: Sequence[str], home: Path, repeats: int) -> dict[str, object]:
    """The fastest of ``repeats`` runs of ``command``."""
    located = [*command, *([] if command[0] == "--help" else ["--home", str(home)])]
    runs = [_run([sys.executable, "-m", "convscout", *located]) for _ in range(repeats)]
    wall_s, processor_s = min(runs)
    peak_mb, modules = _look_inside(located)
    return {
        "command": " ".join(command),
        "wall_s": round(wall_s, 2),
        "cpu_s": round(processor_s, 2),
        "peak_MB": round(peak_mb),
        "modules": len(modules),
        "heavy": ", ".join(sorted(HEAVY & modules)) or "none",
    }


def _run(command: Sequence[str]) -> tuple[float, float]:
    """Seconds of the clock, and of the processor, that one process took."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def _look_inside(command: Sequence[str]) -> tuple[float, set[str]]:
    """MB of memory at most, and what has been imported, once ``command`` has ended."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", _INSIDE, json.dumps(command), str(writing)],
        stdout=subprocess.DEVNULL,
        pass_fds=[writing],
    )
    os.close(writing)
    with os.fdopen(reading) as file:
        peak_kb, *modules = file.read().split()
    process.wait()
    return int(peak_kb) / 1000, set(modules)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write ``light_commands.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--home", type=Path)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        home = chosen.home or Path(directory) / "home"
        if not chosen.home:
            write_large_study(Home(home), STUDY, chosen.trials)
        results = [measure(command, home, chosen.repeats) for command in COMMANDS]
    columns = ("command", "wall_s", "cpu_s", "peak_MB", "modules", "heavy")
    print(markdown(columns, [[row[column] for column in columns] for row in results]))
    write("light_commands", results, trials=chosen.trials, limit_s=LIMIT_S, limit_MB=LIMIT_MB)


if __name__ == "__main__":
    main()
