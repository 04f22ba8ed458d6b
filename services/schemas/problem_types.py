"""Problem types: what the service calls each kind of error, so that its client need not read sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from convscout.search_space.errors import ConvscoutError

UNTYPED = "about:blank"  # RFC 9457, section 4.2.1: the status says it all


def type_of(kind: type[ConvscoutError]) -> str:
    """The URI of ``kind``: ``urn:convscout:problem:study-not-found`` of ``StudyNotFoundError``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__.removesuffix("Error")).lower()
    return f"urn:convscout:problem:{words}"


def _all(kind: type[ConvscoutError]) -> Iterator[type[ConvscoutError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _all(each)


KINDS: Mapping[str, type[ConvscoutError]] = {type_of(kind): kind for kind in _all(ConvscoutError)}
"""Every kind of error, by its URI."""
