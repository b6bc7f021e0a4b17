"""Python's garbage collections, for a process whose metrics another one shows."""

import gc

from prometheus_client import Counter


class GarbageCollections:
    """The series of prometheus_client's GCCollector, which can only be asked in the process itself.

    They are brought up to date by hand: a hook of gc's may run wherever memory is asked for, within a counter's own
    lock as well.
    """

    def __init__(self) -> None:
        label = ["generation"]
        self._counters = {
            "collected": Counter("python_gc_objects_collected", "Objects collected during gc", label, registry=None),
            "uncollectable": Counter(
                "python_gc_objects_uncollectable", "Uncollectable objects found during GC", label, registry=None
            ),
            "collections": Counter(
                "python_gc_collections", "Number of times this generation was collected", label, registry=None
            ),
        }
        self._seen: list[dict[str, int]] = [dict.fromkeys(self._counters, 0) for _ in gc.get_stats()]

    def sample(self) -> None:
        """Add what has been collected since the last time."""
        for generation, (seen, now) in enumerate(zip(self._seen, gc.get_stats(), strict=True)):
            for name, counter in self._counters.items():
                counter.labels(str(generation)).inc(now[name] - seen[name])
            seen.update(now)
