"""ServingLimits: how much a client may ask of the server, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass

FORM_BYTES = 64 * 1024  # what names and boundaries of a multipart form may add to its pictures


@dataclass(frozen=True, kw_only=True)
class ServingLimits:
    """What is refused. Sizes are in bytes, times in seconds.

    ``queue`` is how many pictures may be in the house at once, those that are being uploaded included; a picture of
    more than ``MAX_PIXELS`` or ``MAX_BYTES`` of ``convscout.trials.data.image_files`` is refused before it is decoded.
    """

    picture_bytes: int = 20_000_000
    pictures: int = 32  # of one request
    request_bytes: int = 64_000_000
    queue: int = 256
    timeout_s: float = 30.0  # for sending a request, and again for the answer


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How pictures are put together: at most ``most`` in one run, and none waits over ``wait_s`` for others."""

    most: int = 32
    wait_s: float = 0.002
