"""The reviews that wait for the engine: bounded, in order of arrival, each owning the future of its answer."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from service.errors import Expired, QueueFull


@dataclass(slots=True, eq=False)
class Entry:
    """One waiting review. Times are of `time.monotonic`, in seconds."""

    input_ids: Sequence[int]
    deadline: float | None
    future: asyncio.Future[float]  # of the positive probability; cancelled when its caller is gone
    enqueued: float = field(default_factory=time.monotonic)


class RequestQueue:
    """First in, first out. Used from one event loop."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.seconds_per_review = 0.001  # a first guess; the batcher keeps it at what it measures
        # In the order of arrival; a mapping, because callers who leave do so from anywhere in it.
        self._entries: OrderedDict[Entry, None] = OrderedDict()
        self._arrival = asyncio.Event()

    def __len__(self) -> int:
        """Reviews that somebody still waits for."""
        return len(self._entries)

    def put(self, entries: Sequence[Entry]) -> None:
        """Add all entries or none. Raises QueueFull, at once, when they do not fit."""
        waiting = len(self)
        if waiting + len(entries) > self.capacity:
            raise QueueFull(waiting, self.capacity, retry_after=waiting * self.seconds_per_review)
        self._entries.update(dict.fromkeys(entries))
        self._arrival.set()

    def discard(self, entries: Iterable[Entry]) -> None:
        """Give up entries whose caller has gone; their places are free at once. Answered ones are left alone."""
        for entry in entries:
            entry.future.cancel()
            self._entries.pop(entry, None)

    async def take(self, max_size: int, max_tokens: int) -> list[Entry]:
        """Wait for entries and remove the next batch: the longest-waiting ones, at least one.

        As many as keep within `max_size` reviews and, padded to the longest, `max_tokens` tokens. Entries whose
        deadline has passed get Expired and are left out.
        """
        while True:
            while not self._entries:
                self._arrival.clear()
                await self._arrival.wait()
            if batch := self._next_batch(max_size, max_tokens):
                return batch

    def _next_batch(self, max_size: int, max_tokens: int) -> list[Entry]:
        now, batch, longest = time.monotonic(), list[Entry](), 0
        while self._entries and len(batch) < max_size:
            entry = next(iter(self._entries))
            longest = max(longest, len(entry.input_ids))
            if batch and longest * (len(batch) + 1) > max_tokens:
                break
            del self._entries[entry]
            if entry.future.done():
                continue  # cancelled a moment ago
            if entry.deadline is not None and entry.deadline <= now:
                entry.future.set_exception(Expired())
            else:
                batch.append(entry)
        return batch
