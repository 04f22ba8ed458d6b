"""Dynamic batching: pictures that wait at the same time are answered in one run of the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from convscout.services.model_server.limits import Batching
from convscout.trials.data.splits import Pixels
from convscout.trials.evaluation.metrics import Probabilities


class _Waiting(NamedTuple):
    """A picture (H, W, C), where its answer (K,) goes, and since when it waits, by the loop's clock."""

    pixels: Pixels
    answer: asyncio.Future[Probabilities]
    since_s: float


class Batcher:
    """Answers pictures while ``run`` runs. ``network`` maps (N, H, W, C) to (N, K) and is called in one thread.

    While the network is busy, pictures gather; when it is free, those that are there go together with those that are
    on their way and come soon. ``expected`` says how many are there or on their way, ``notify`` hears how many went.
    """

    def __init__(
        self,
        network: Callable[[Pixels], Probabilities],
        batching: Batching,
        *,
        expected: Callable[[], int],
        notify: Callable[[int], None],
    ) -> None:
        self._network = network
        self._batching = batching
        self._expected = expected
        self._notify = notify
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()

    async def answer(self, pixels: Pixels) -> Probabilities:
        """The probabilities (K,) of one picture (H, W, C)."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(pixels, loop.create_future(), loop.time())
        self._queue.put_nowait(waiting)
        return await waiting.answer

    async def run(self) -> None:
        """Answer what comes, until cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="network") as thread:
            while True:
                if not (batch := await self._gather()):
                    continue
                try:
                    pixels = np.stack([each.pixels for each in batch])  # (N, H, W, C)
                    answers = await loop.run_in_executor(thread, self._network, pixels)  # (N, K)
                except Exception as error:  # a runtime may fail in any way; who waits must hear of it
                    _fail(batch, error)
                else:
                    self._notify(len(batch))
                    _deliver(batch, answers)

    async def _gather(self) -> list[_Waiting]:
        """Those who wait now, and those who come while the first may still be kept waiting."""
        batch = [await self._queue.get()]
        with suppress(TimeoutError):
            async with asyncio.timeout_at(batch[0].since_s + self._batching.wait_s):
                # also when it is late: only an empty queue waits
                while len(batch) < min(self._batching.most, self._expected()):
                    batch.append(await self._queue.get())
        return [each for each in batch if not each.answer.done()]  # whoever gave up is not answered


def _deliver(batch: Sequence[_Waiting], answers: Probabilities) -> None:
    for each, answer in zip(batch, answers, strict=True):
        if not each.answer.done():
            each.answer.set_result(answer)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for each in batch:
        if not each.answer.done():
            each.answer.set_exception(error)
