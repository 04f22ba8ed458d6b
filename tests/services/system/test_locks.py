"""A file that this user may not write is named, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from convscout.search_space.errors import ConvscoutError
from convscout.services.system.locks import lock_file


def test_a_lock_that_may_not_be_written_is_named_with_a_remedy() -> None:
    path = Path("/sys/kernel/controller.lock")  # where nobody may make a file, not even root
    with pytest.raises(ConvscoutError, match=rf"{path} cannot be written .* another --home"), lock_file(path):
        pass
