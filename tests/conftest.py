"""What every test process begins with: one thread to compute with, as a trial on a CPU has.

Two processes of one thread each beat one of two, and threads of several processes on the same cores wait for each
other up to ten times as long as they compute. Sums also come out in the same order wherever the tests run. A test
that is about threads asks for them itself.
"""

from __future__ import annotations

import os

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch is imported here, and for the processes that tests start
