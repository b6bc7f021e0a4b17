"""The reviews that wait for the engine: bounded, each owning the future of its answer, run with others of its length.

A batch costs what its longest review costs, so reviews of like length run together.
"""

import asyncio
import heapq
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from service.errors import Expired, QueueFull

# Entries among which a batch is chosen: enough to find like lengths, few enough to look through for every batch.
WINDOW = 256


@dataclass(slots=True, eq=False)
class Entry:
    """One waiting review. Times are of `time.monotonic`, in seconds."""

    input_ids: Sequence[int]
    deadline: float | None
    future: asyncio.Future[float]  # of the positive probability; cancelled when its caller is gone
    enqueued: float = field(default_factory=time.monotonic)


class RequestQueue:
    """Used from one event loop."""

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
        """Wait for entries and remove the next batch: the oldest, and those of the nearest lengths to it.

        As many as keep within `max_size` reviews and, padded to the longest, `max_tokens` tokens; at least one. As the
        oldest always goes, a review with k before it waits for at most k batches. Entries whose deadline has passed
        get Expired and are left out.
        """
        while True:
            while not self._entries:
                self._arrival.clear()
                await self._arrival.wait()
            if waiting := self._waiting():
                return self._remove(_alike(waiting, max_size, max_tokens))

    def _waiting(self) -> list[Entry]:
        """The oldest entries, up to WINDOW of them; removes those that nobody waits for any more."""
        now, waiting = time.monotonic(), list[Entry]()
        for entry in list(islice(self._entries, WINDOW)):
            if entry.future.done():  # cancelled a moment ago
                del self._entries[entry]
            elif entry.deadline is not None and entry.deadline <= now:
                del self._entries[entry]
                entry.future.set_exception(Expired())
            else:
                waiting.append(entry)
        return waiting

    def _remove(self, batch: list[Entry]) -> list[Entry]:
        for entry in batch:
            del self._entries[entry]
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
