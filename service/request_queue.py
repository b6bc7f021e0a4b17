"""The reviews that wait for the engine: bounded, in order of arrival, each owning the future of its answer."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from service.errors import Expired, QueueFull

if TYPE_CHECKING:
    from opentelemetry.context import Context

# Entries that a batch may be chosen among: enough to find like lengths, few enough to look through for every batch.
WINDOW = 256


@dataclass(slots=True, eq=False)
class Entry:
    """One waiting review. Times are of `time.monotonic`, in seconds."""

    input_ids: Sequence[int]
    deadline: float | None
    future: asyncio.Future[float]  # of the positive probability; cancelled when its caller is gone
    trace: "Context | None" = None  # of its request, where there is tracing
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

    async def waiting(self) -> list[Entry]:
        """The oldest entries, at least one and up to WINDOW of them, which stay in the queue; waits for the first.

        Entries whose deadline has passed get Expired and leave, as do those whose caller has gone.
        """
        while True:
            while not self._entries:
                self._arrival.clear()
                await self._arrival.wait()
            if living := self._living():
                return living

    def remove(self, entries: Iterable[Entry]) -> None:
        """Take entries out, to run them."""
        for entry in entries:
            del self._entries[entry]

    def _living(self) -> list[Entry]:
        now, living = time.monotonic(), list[Entry]()
        for entry in list(islice(self._entries, WINDOW)):
            if entry.future.done():  # cancelled a moment ago
                del self._entries[entry]
            elif entry.deadline is not None and entry.deadline <= now:
                del self._entries[entry]
                entry.future.set_exception(Expired())
            else:
                living.append(entry)
        return living
