"""Fixtures of tests that ask the service."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support import service


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a service over an empty home answers."""
    with service.service_at(tmp_path_factory.mktemp("service") / "home") as address:
        yield address


@pytest.fixture
def stranger(address: str) -> Iterator[httpx.Client]:
    """A client that knows nothing."""
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture
def program(address: str) -> Iterator[httpx.Client]:
    """A client that sends the token."""
    with service.program(address) as client:
        yield client


@pytest.fixture
def browser_client(address: str) -> Iterator[httpx.Client]:
    """A client that signed in."""
    with service.signed_in(address) as client:
        yield client
