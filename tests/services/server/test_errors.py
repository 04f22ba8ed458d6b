"""What a part without HTTP raises becomes an answer in one place."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from convscout.search_space.errors import (
    BusyError,
    DatasetConflictError,
    DatasetError,
    DatasetNotFoundError,
    LedgerAwayError,
    NoRoomError,
    UploadTooLargeError,
)
from convscout.services.server.errors import refusal_of


@pytest.mark.parametrize(
    ("kind", "status", "again_s"),
    [
        (DatasetError, HTTPStatus.UNPROCESSABLE_ENTITY, None),
        (DatasetNotFoundError, HTTPStatus.NOT_FOUND, None),
        (DatasetConflictError, HTTPStatus.CONFLICT, None),
        (UploadTooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, None),
        (NoRoomError, HTTPStatus.INSUFFICIENT_STORAGE, None),
        (BusyError, HTTPStatus.SERVICE_UNAVAILABLE, "1"),
    ],
)
def test_an_error_about_a_dataset_keeps_its_field(
    kind: type[DatasetError], status: HTTPStatus, again_s: str | None
) -> None:
    found = refusal_of(kind.of("name", "mine", "is taken; choose another"))
    assert (found.status, found.headers.get("Retry-After")) == (status, again_s)
    told = found.to_dict()
    assert told["detail"] == "name: is taken; choose another"
    assert told["errors"] == [{"field": "name", "value": "mine", "rule": "is taken; choose another"}]


def test_a_database_that_is_away_is_asked_again_later() -> None:
    found = refusal_of(LedgerAwayError("the ledger does not answer"))
    assert (found.status, found.headers["Retry-After"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "5")
