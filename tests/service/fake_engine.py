"""The one test double: an engine that answers what the ids say, when it is let."""

import threading
from collections.abc import Sequence


class FakeEngine:
    """Answers the first id over 100. Holds every batch while `gate` is clear; fails where an id is `poison`."""

    def __init__(self, pad_to: int | None = None, poison: int | None = None) -> None:
        self.pad_to = pad_to
        self.ragged = False
        self.poison = poison
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Event()
        self.batches: list[list[list[int]]] = []

    def run(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        """One probability for each sequence."""
        self.batches.append([list(ids) for ids in sequences])
        self.started.set()
        assert self.gate.wait(30)
        if any(self.poison in ids for ids in sequences):
            raise RuntimeError("poisoned")
        return [ids[0] / 100 for ids in sequences]
