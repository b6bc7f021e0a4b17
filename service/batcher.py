"""Which waiting reviews run together, and when.

No timer: a lone review runs at once. While the engine is busy others gather, and the next batch is made of what waits.
A batch costs what its longest review costs, so reviews of like length run together.
"""

import asyncio
import heapq
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from service.errors import InferenceError
from service.metrics import Metrics
from service.request_queue import Entry, RequestQueue
from service.tracing import Tracer

logger = logging.getLogger(__name__)

Sequences = Sequence[Sequence[int]]


class BatchEngine(Protocol):
    """What the batcher needs of an engine."""

    @property
    def pad_to(self) -> int | None:
        """The fixed length of a batch, or None for its longest review."""

    def run(self, sequences: Sequences, /) -> Sequence[float]:
        """One probability for each sequence."""


async def next_batch(queue: RequestQueue, max_size: int, max_tokens: int) -> list[Entry]:
    """Wait for entries and remove a batch: the oldest, and those of the nearest lengths to it.

    As many as keep within `max_size` reviews and, padded to the longest, `max_tokens` tokens; at least one. As the
    oldest always goes, a review with k before it waits for at most k batches.
    """
    batch = _alike(await queue.waiting(), max_size, max_tokens)
    queue.remove(batch)
    return batch


def _alike(waiting: list[Entry], max_size: int, max_tokens: int) -> list[Entry]:
    """The first entry and those nearest to it in length, as many as the limits allow."""
    wanted = len(waiting[0].input_ids)
    nearest = heapq.nsmallest(max_size, waiting, key=lambda entry: abs(len(entry.input_ids) - wanted))
    longest = 0
    for count, entry in enumerate(nearest):
        longest = max(longest, len(entry.input_ids))
        if count and longest * (count + 1) > max_tokens:
            return nearest[:count]
    return nearest


class Batcher:
    """Takes batches from a queue, runs them one after another on a thread of its own, and settles their futures."""

    def __init__(
        self,
        queue: RequestQueue,
        engine: BatchEngine,
        metrics: Metrics,
        max_batch_size: int,
        max_batch_tokens: int,
        tracer: Tracer | None = None,
    ) -> None:
        self._queue = queue
        self._engine = engine
        self._metrics = metrics
        self._tracer = tracer
        self._max_tokens = max_batch_tokens
        fitting = max_batch_tokens // engine.pad_to if engine.pad_to else max_batch_size
        self._max_size = max(1, min(max_batch_size, fitting))

    async def run(self) -> None:
        """Serve the queue until cancelled."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        try:
            while True:
                batch = await next_batch(self._queue, self._max_size, self._max_tokens)
                await self._run_batch(batch, executor)
        finally:
            executor.shutdown(wait=False)  # waiting would block the event loop

    async def _run_batch(self, batch: list[Entry], executor: ThreadPoolExecutor) -> None:
        started = time.monotonic()
        for entry in batch:
            self._metrics.queue.observe(started - entry.enqueued)
        sequences = [entry.input_ids for entry in batch]
        tokens = self._observe_batch(sequences)
        try:
            seconds, probabilities = await asyncio.get_running_loop().run_in_executor(executor, self._timed, sequences)
        except Exception:
            logger.exception("the engine failed on a batch of %d reviews", len(batch))
            _fail(batch)
            return
        self._metrics.inference.observe(seconds)
        if self._tracer:
            self._trace(self._tracer, batch, tokens, started, seconds)
        self._queue.seconds_per_review += 0.1 * (seconds / len(batch) - self._queue.seconds_per_review)
        for entry, probability in zip(batch, probabilities, strict=True):
            if not entry.future.done():  # its caller may have gone while it ran
                entry.future.set_result(probability)

    def _timed(self, sequences: Sequences) -> tuple[float, Sequence[float]]:
        started = time.monotonic()
        probabilities = self._engine.run(sequences)
        if len(probabilities) != len(sequences):
            raise RuntimeError(f"the engine gave {len(probabilities)} answers for {len(sequences)} reviews")
        return time.monotonic() - started, probabilities

    def _trace(self, tracer: Tracer, batch: list[Entry], tokens: int, started: float, seconds: float) -> None:
        requests = []
        for entry in batch:
            if entry.trace is not None:
                requests.append(entry.trace)
                tracer.stage("queue", entry.trace, entry.enqueued, started)
        tracer.batch(requests, tokens, started, started + seconds)

    def _observe_batch(self, sequences: Sequences) -> int:
        """Returns the tokens that the engine is given, padding included."""
        lengths = [len(ids) for ids in sequences]
        padded = len(lengths) * (self._engine.pad_to or max(lengths))
        self._metrics.batch_size.observe(len(lengths))
        self._metrics.batch_tokens.observe(padded)
        self._metrics.padding_ratio.observe(1 - sum(lengths) / padded)
        return padded


def _fail(batch: list[Entry]) -> None:
    for entry in batch:
        if not entry.future.done():
            entry.future.set_exception(InferenceError())
