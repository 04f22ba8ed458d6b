"""What a disk that is full, or may not be written to, is called when somebody uploads to it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from convscout.search_space.errors import NoRoomError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO)


@contextmanager
def writing_to_disk() -> Iterator[None]:
    """Within, an error of a disk that takes nothing more becomes a ``NoRoomError``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        rule = (
            "could not be kept on the service's disk; make room there, or delete a dataset that is not needed"
        )
        raise NoRoomError.of("file", error.strerror, rule) from error
