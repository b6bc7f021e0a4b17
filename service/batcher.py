"""Which waiting reviews run together, and when.

The engine has a thread of its own, which takes the next batch from what waits as soon as it has done with the last.
No timer: a lone review runs at once; the busier the service, the more have gathered by then.
"""

import asyncio
import contextlib
import heapq
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Protocol

from bundle.padding import Sequences
from service.errors import Expired, InferenceError
from service.event_loop import give_way
from service.metrics import Metrics
from service.request_queue import Entry, RequestQueue
from service.tracing import Tracer

logger = logging.getLogger(__name__)


class BatchEngine(Protocol):
    """What the batcher needs of an engine."""

    @property
    def ragged(self) -> bool:
        """Whether reviews of any lengths run together without padding."""

    @property
    def pad_to(self) -> int | None:
        """The fixed length of a padded batch, or None for its longest review."""

    def run(self, sequences: Sequences, /) -> Sequence[float]:
        """One probability for each sequence."""


def in_turn(waiting: list[Entry], max_size: int, max_tokens: int) -> list[Entry]:
    """The first entries: as many as keep within `max_size` reviews and `max_tokens` tokens, at least one."""
    tokens = accumulate(entry.length for entry in waiting[:max_size])
    return waiting[: max(1, sum(so_far <= max_tokens for so_far in tokens))]


def alike(waiting: list[Entry], max_size: int, max_tokens: int) -> list[Entry]:
    """The first entry and those of the nearest lengths to it, for a batch that costs what its longest review costs.

    As many as keep within `max_size` reviews and, padded to the longest, `max_tokens` tokens; at least one. As the
    oldest always goes, a review with k before it waits for at most k batches.
    """
    wanted = waiting[0].length
    nearest = heapq.nsmallest(max_size, waiting, key=lambda entry: abs(entry.length - wanted))
    longest = 0
    for count, entry in enumerate(nearest):
        longest = max(longest, entry.length)
        if count and longest * (count + 1) > max_tokens:
            return nearest[:count]
    return nearest


class Batcher:
    """Takes batches from a queue, runs them one after another, and settles their futures."""

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
        """Serve the queue until cancelled. Raises what ends the thread, which nothing should."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        threading.Thread(target=self._work, args=(loop, ended), name="engine", daemon=True).start()
        try:
            await ended
        finally:
            self._queue.close()  # waiting for the thread would block the event loop

    def _work(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        give_way()
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            try:
                while taken := self._queue.take(self._choose):
                    batch, late = taken
                    if late:
                        loop.call_soon_threadsafe(_fail, late, Expired)
                    if batch:
                        loop.call_soon_threadsafe(self._run(batch))
            except Exception as error:
                loop.call_soon_threadsafe(ended.set_exception, error)

    def _choose(self, waiting: list[Entry]) -> list[Entry]:
        choose = in_turn if self._engine.ragged else alike
        return choose(waiting, self._max_size, self._max_tokens)

    def _run(self, batch: list[Entry]) -> Callable[[], None]:
        """What the event loop is to do when the batch has run."""
        started = time.monotonic()
        try:
            probabilities = self._engine.run([entry.encoding.input_ids for entry in batch])
            if len(probabilities) != len(batch):
                raise RuntimeError(f"the engine gave {len(probabilities)} answers for {len(batch)} reviews")
        except Exception:
            logger.exception("the engine failed on a batch of %d reviews", len(batch))
            return partial(_fail, batch, InferenceError)
        return partial(self._settle, batch, probabilities, started, time.monotonic() - started)

    def _settle(self, batch: list[Entry], probabilities: Sequence[float], started: float, seconds: float) -> None:
        for entry, probability in zip(batch, probabilities, strict=True):
            if not entry.future.done():  # its caller may have gone while it ran
                entry.future.set_result(probability)
        self._queue.seconds_per_review += 0.1 * (seconds / len(batch) - self._queue.seconds_per_review)
        tokens = self._observe(batch, probabilities, started, seconds)
        if self._tracer:
            self._trace(self._tracer, batch, tokens, started, seconds)

    def _observe(self, batch: list[Entry], probabilities: Sequence[float], started: float, seconds: float) -> int:
        """Returns the tokens that the engine was given, padding included."""
        metrics, lengths = self._metrics, [entry.length for entry in batch]
        padded = sum(lengths) if self._engine.ragged else len(lengths) * (self._engine.pad_to or max(lengths))
        metrics.batch_size.observe(len(lengths))
        metrics.batch_tokens.observe(padded)
        metrics.padding_ratio.observe(1 - sum(lengths) / padded)
        metrics.inference.observe(seconds)
        metrics.queue.observe(*(started - entry.enqueued for entry in batch))
        metrics.review_tokens.observe(*lengths)
        metrics.unknown_token_ratio.observe(*(entry.encoding.unknown_token_ratio for entry in batch))
        metrics.positive_probability.observe(*probabilities)
        metrics.truncated.inc(sum(entry.encoding.truncated for entry in batch))
        return padded

    def _trace(self, tracer: Tracer, batch: list[Entry], tokens: int, started: float, seconds: float) -> None:
        requests = []
        for entry in batch:
            if entry.trace is not None:
                requests.append(entry.trace)
                tracer.stage("queue", entry.trace, entry.enqueued, started)
        tracer.batch(requests, tokens, started, started + seconds)


def _fail(batch: list[Entry], error: type[Exception]) -> None:
    for entry in batch:
        if not entry.future.done():
            entry.future.set_exception(error())
