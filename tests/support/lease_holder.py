"""A controller that holds a study and writes whenever it is told to: ``HOME NAME HOST CLOCK_OFFSET_S``.

It takes this machine for the one called HOST, and its clock is wrong by so many seconds.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

from convscout.search_space.errors import ConvscoutError
from convscout.services.config.home import Home
from convscout.services.ledger import lease as leases
from convscout.services.ledger.database import open_storage
from convscout.services.ledger.tables import StudyMemory, StudyTables

BEAT_S = 0.3


def main() -> None:
    home, name, host, offset_s = sys.argv[1:]
    true_time = time.time
    socket.gethostname = lambda: host
    time.time = lambda: true_time() + float(offset_s)
    leases.BEAT_S = BEAT_S
    at = Home(Path(home))
    with leases.lease(at.study(name)) as fence:
        tables = StudyTables(open_storage(at), name, fence)
        print("held", flush=True)
        for line in sys.stdin:
            tables.memory.set_study_user_attr(StudyMemory.STUDY, "word", line.strip())
            tables.save()
            print("saved", flush=True)


if __name__ == "__main__":
    try:
        main()
    except ConvscoutError as error:
        print(error.message, flush=True)
        sys.exit(error.exit_code)
