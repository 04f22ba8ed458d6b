"""Last words: a process that is killed cannot say how to go on, so a shell beside it waits for its end and does.

``kill -9``, the kernel when memory runs out, and Ray, which ends its driver once its servers are gone, leave no time
to speak. The shell reads a pipe that the operating system closes with the process, however that ends.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

# A progress display may have hidden the cursor.
_SPEAKER = r"""
if read -r unsaid; then exit; fi
if [ -t 2 ]; then printf '\033[?25h\n' >&2; fi
printf 'error: %s\nnext: %s\n' "$1" "$2" >&2
"""


@contextmanager
def last_words(cause: str, next_command: str) -> Iterator[None]:
    """If this process is killed within, ``cause`` and ``next_command`` are told on standard error."""
    # in a session of its own, so that Ctrl-C and what kills a process group pass it by
    with subprocess.Popen(
        ["/bin/sh", "-c", _SPEAKER, "sh", cause, next_command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as speaker:
        try:
            yield
        finally:
            speaker.communicate(b"unsaid\n")
