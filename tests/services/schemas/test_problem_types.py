"""Each kind of error has an address of its own, which leads back to it."""

from __future__ import annotations

from convscout.search_space.errors import ConvscoutError, DatasetNotFoundError, StudyNotFoundError, UserError
from convscout.services.schemas.problem_types import KINDS, type_of


def test_a_type_leads_back_to_its_kind() -> None:
    assert type_of(StudyNotFoundError) == "urn:convscout:problem:study-not-found"
    assert all(KINDS[type_of(kind)] is kind for kind in (ConvscoutError, UserError, DatasetNotFoundError))


def test_no_two_kinds_share_a_type() -> None:
    found, waiting = set[type[ConvscoutError]](), [ConvscoutError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting += kind.__subclasses__()
    ours = {kind for kind in found if kind.__module__ == ConvscoutError.__module__}
    assert {type_of(kind) for kind in ours} <= KINDS.keys() and len({type_of(kind) for kind in ours}) == len(
        ours
    )
