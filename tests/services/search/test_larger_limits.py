"""Where limits rejected every candidate, the next command lets a tenth of them in."""

from __future__ import annotations

from convscout.services.search.larger_limits import resume_with_larger_limits
from tests.support.studies import tiny_config


def test_the_limits_of_the_next_command_let_a_tenth_in() -> None:
    config = tiny_config(max_params=100)
    excesses = [{"max_params": share / 10} for share in range(40, 0, -2)]
    assert resume_with_larger_limits(config, excesses) == "convscout resume tiny --max-params 140"


def test_each_limit_that_they_exceed_is_named_as_it_is_typed() -> None:
    config = tiny_config(max_params=100, max_memory="2MB", max_latency="3ms")
    excess = {"max_latency": 1.0, "max_memory": 0.5, "max_params": 0.1}
    told = "convscout resume tiny --max-latency 7ms --max-memory 4MB --max-params 200"
    assert resume_with_larger_limits(config, [{}, excess]) == told


def test_candidates_that_no_limit_rejected_have_none() -> None:
    assert resume_with_larger_limits(tiny_config(), [{}, {}]) == ""
