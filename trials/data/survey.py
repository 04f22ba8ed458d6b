"""Survey: what a tree of image files is like, told by a few of them before the others are read."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from convscout.trials.data.image_decoding import Decoding, DecodingPlan, Headers, decode, plan, read_headers
from convscout.trials.data.image_tree import ImageTree

_MOST_FILES, _FEWEST_FILES = 200, 8
_PATIENCE_S = 0.5  # after which no more files are looked at: the next ones would be as many again
_SEED = 6174


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The ``side`` in pixels that most images have, their ``channels``, and about how long reading one takes.

    ``read_s`` is in seconds, with as many threads as ``decode`` has; it means nothing unless it was timed.
    """

    side: int
    channels: int
    read_s: float


def survey(tree: ImageTree, decoding: Decoding, *, timed: bool) -> Survey:
    """Look at files from all over ``tree``; unless ``timed``, at their headers alone.

    The last of them tell how long reading takes, as the first ones load decoders.

    Raises ``DataError`` where the tree cannot be read at all.
    """
    order = np.random.default_rng(_SEED).permutation(len(tree.files))[:_MOST_FILES]
    start, stop, began_s = 0, _FEWEST_FILES, time.monotonic()
    seen, read_s = list[Headers](), 0.0
    while start < len(order) and (not seen or time.monotonic() - began_s < _PATIENCE_S):
        sample = tree.only(np.sort(order[start:stop]))
        headers, read_s = _look_at(sample, decoding, timed=timed)
        seen += [headers] if headers.sides.any() else []
        start, stop = stop, 2 * stop
    if not seen:
        seen = [plan(tree, decoding).headers]  # or what is wrong with the whole tree
    found = Headers.joined(seen)
    return Survey(side=found.common_side, channels=found.channels, read_s=read_s)


def _look_at(sample: ImageTree, decoding: Decoding, *, timed: bool) -> tuple[Headers, float]:
    """The headers of ``sample``, and how many seconds one of its files takes if its pixels are read too."""
    began_s = time.perf_counter()
    headers, bad = read_headers(sample, _silent)
    if timed and headers.sides.any():
        shape = headers.shape(decoding.image_size)
        planned = DecodingPlan(shape=shape, headers=headers, bad=bad, white=decoding.white)
        deque(decode(sample, planned, _silent), maxlen=0)
    return headers, (time.perf_counter() - began_s) / len(sample.files)


def _silent(description: str, done: int, total: int) -> None:
    pass
