"""Whatever schemathesis makes of the OpenAPI: no check of it fails. ``make fuzz`` asks ten thousand times."""

from __future__ import annotations

import pytest

from tests.support.fuzzing import FEWEST, fuzz
from tests.support.soaking import repetitions


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_whatever_is_asked_the_answer_is_one_that_was_declared() -> None:
    outcome = fuzz(1500, most_s=repetitions(20, 300))
    assert not outcome.failures, "\n".join(outcome.failures)
    assert outcome.cases > FEWEST
