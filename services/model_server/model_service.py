"""ModelService: from the bytes of a picture to its classes, within the limits of the queue."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from convscout.services.export.onnx_model import ExportedModel
from convscout.services.http.problems import busy
from convscout.services.inference.predict import best
from convscout.services.model_server.batcher import Batcher
from convscout.services.model_server.limits import Batching, ServingLimits
from convscout.services.model_server.metrics import Metrics
from convscout.services.model_server.uploads import decode


class ModelService:
    """Answers for ``model``. Pictures are decoded side by side and answered in batches."""

    def __init__(self, model: ExportedModel, limits: ServingLimits, batching: Batching) -> None:
        self.model = model
        self.limits = limits
        self.metrics = Metrics()
        self._inside = 0
        self._batcher = Batcher(
            model.probabilities,
            batching,
            expected=lambda: self._inside,
            notify=self.metrics.batches.observe,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within, pictures are answered."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # a damaged file is named in our own words
            task = asyncio.create_task(self._batcher.run())
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    @contextmanager
    def admit(self, pictures: int) -> Iterator[None]:
        """Within, so many more ``pictures`` count as inside. Raises ``HTTPProblem`` when that would be too many."""
        if self._inside + pictures > self.limits.queue:
            rule = f"holds {self.limits.queue} pictures at most; try again in a second"
            raise busy(rule, "queue", self._inside + pictures)
        self._count(pictures)
        try:
            yield
        finally:
            self._count(-pictures)

    async def top(self, content: bytes, count: int) -> dict[str, float]:
        """The ``count`` most probable classes of a picture's file, the best first. Raises ``HTTPProblem``."""
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                pixels = await asyncio.to_thread(decode, content, self.model, self.limits)
                answer = await self._batcher.answer(pixels)
        except TimeoutError:
            rule = f"took longer than {self.limits.timeout_s:g} s; try again in a second"
            raise busy(rule, "answer", "none") from None
        return {each.class_name: each.probability for each in best(self.model, answer, count)}

    def _count(self, pictures: int) -> None:
        self._inside += pictures
        self.metrics.queue.set(self._inside)
