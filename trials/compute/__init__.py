"""What a trial computes on: number format, threads, seeds, memory."""

from __future__ import annotations

import os

# oneDNN keeps compiled kernels by their shapes, of which each network has its own, and torch those of its linear layers
# once more. By default each keeps a thousand, of some hundred kilobytes: a process that had trained 200 networks held
# almost another gigabyte. A training step of the deepest network that is sampled takes some 220 kernels, and what torch
# no longer has, oneDNN still knows. Read at the first operation. What a person has set is left as it is.
_KERNELS = dict(ONEDNN_PRIMITIVE_CACHE_CAPACITY="512", LRU_CACHE_CAPACITY="64")
os.environ.update({name: count for name, count in _KERNELS.items() if name not in os.environ})
