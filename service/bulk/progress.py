"""How far a job is: a bar on standard error, and a line at its end."""

import sys
import time
from collections.abc import Sequence
from typing import Any, Self

from service.bulk.outcomes import Outcome
from service.bulk.parts import Part, Table


class Progress:
    """A context manager. Whether a bar is `shown`; None: if standard error is a terminal."""

    def __init__(self, table: Table, shown: bool | None) -> None:
        self.parts = self.rows = self.rows_before = self.unanswered = 0
        self._started = time.monotonic()
        self._bar = _bar(table, shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def skip(self, part: Part) -> None:
        """A part was there already; it says nothing of the rate."""
        self.parts += 1
        self.rows_before += len(part.cells)
        self._bar.initial = part.position
        self._bar.update(part.position - self._bar.n)

    def advance(self, part: Part, outcomes: Sequence[Outcome]) -> None:
        """A part is done."""
        self.parts += 1
        self.rows += len(outcomes)
        self.unanswered += sum(isinstance(outcome, str) for outcome in outcomes)
        self._bar.set_postfix_str(f"{self._rate():,.0f} rows/s", refresh=False)
        self._bar.update(part.position - self._bar.n)

    def summary(self) -> str:
        """What this run did."""
        before = f" (and {self.rows_before:,} rows by an earlier run)" if self.rows_before else ""
        seconds = time.monotonic() - self._started
        return (
            f"{self.rows:,} rows, {self.unanswered:,} without an answer{before}, "
            f"{seconds:,.1f} s, {self._rate():,.0f} rows a second"
        )

    def _rate(self) -> float:
        return self.rows / max(time.monotonic() - self._started, 1e-9)


def _bar(table: Table, shown: bool | None) -> Any:
    from tqdm import tqdm  # no server needs it

    return tqdm(
        total=table.total,
        unit=table.unit,
        unit_scale=True,
        unit_divisor=1024 if table.unit == "B" else 1000,
        smoothing=0.1,
        file=sys.stderr,
        disable=None if shown is None else not shown,
    )
