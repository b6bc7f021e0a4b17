"""The reviews that wait for the engine: bounded, in order of arrival, each owning the future of its answer.

The event loop puts and discards; the engine's thread takes.
"""

import asyncio
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from bundle.tokenizer import Encoding
from service.errors import QueueFull

if TYPE_CHECKING:
    from opentelemetry.context import Context

# Entries that a batch may be chosen among: enough to find like lengths, few enough to look through for every batch.
WINDOW = 256


@dataclass(slots=True, eq=False)
class Entry:
    """One waiting review. Times are of `time.monotonic`, in seconds."""

    encoding: Encoding
    deadline: float | None
    future: asyncio.Future[float]  # of the positive probability; cancelled when its caller is gone
    trace: "Context | None" = None  # of its request, where there is tracing
    enqueued: float = field(default_factory=time.monotonic)

    @property
    def length(self) -> int:
        """Its tokens."""
        return len(self.encoding.input_ids)

    def is_late(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and self.deadline <= now


Choice = Callable[[list[Entry]], list[Entry]]


class RequestQueue:
    """`put` and `discard` are for the event loop, `take` for one other thread."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.seconds_per_review = 0.001  # a first guess; the batcher keeps it at what it measures
        # In the order of arrival; a mapping, because callers who leave do so from anywhere in it.
        self._entries: OrderedDict[Entry, None] = OrderedDict()
        self._lock = threading.Lock()
        self._bell = queue.SimpleQueue[None]()  # rung for a taker who may be waiting; cheaper than a condition
        self._closed = False

    def __len__(self) -> int:
        """Reviews that somebody still waits for."""
        return len(self._entries)

    def check_room(self, count: int) -> None:
        """Raises QueueFull if so many more would not fit now."""
        waiting = len(self)
        if waiting + count > self.capacity:
            raise QueueFull(waiting, self.capacity, retry_after=waiting * self.seconds_per_review)

    def put(self, entries: Sequence[Entry]) -> None:
        """Add all entries or none. Raises QueueFull, at once, when they do not fit."""
        with self._lock:
            waiting = len(self)
            self.check_room(len(entries))
            self._entries.update(dict.fromkeys(entries))
        if not waiting:
            self._bell.put(None)

    def discard(self, entries: Iterable[Entry]) -> None:
        """Give up entries whose caller has gone; their places are free at once. Answered ones are left alone."""
        with self._lock:
            for entry in entries:
                entry.future.cancel()
                self._entries.pop(entry, None)

    def take(self, choose: Choice) -> tuple[list[Entry], list[Entry]] | None:
        """Wait for entries, and take out a batch and those whose deadline has passed; None once it is closed.

        `choose` picks the batch, at least one, from the oldest entries in time, up to WINDOW of them. Either list may
        be empty, not both.
        """
        while not self._closed:
            with self._lock:
                living, late = self._sort_out()
                batch = choose(living) if living else []
                for entry in batch:
                    del self._entries[entry]
            if batch or late:
                return batch, late
            if not self._entries:  # else only those at the front were given up
                self._bell.get()
        return None

    def close(self) -> None:
        """End the taking: what waits is left."""
        self._closed = True
        self._bell.put(None)

    def _sort_out(self) -> tuple[list[Entry], list[Entry]]:
        """The oldest entries in time, which stay, and the late ones, which leave as do those whose caller has gone."""
        now, living, late = time.monotonic(), list[Entry](), list[Entry]()
        for entry in list(islice(self._entries, WINDOW)):
            if not entry.future.done() and not entry.is_late(now):
                living.append(entry)
                continue
            del self._entries[entry]
            if not entry.future.done():
                late.append(entry)
        return living, late
