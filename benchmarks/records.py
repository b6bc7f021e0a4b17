"""All figures of one run, line by line in a file of JSON."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.figures import Conditions, EngineCell, Judged, Launched, Note, Parity, Scaled, Served, Start, UnderLoad

T = TypeVar("T")

FILE_NAME = "results.jsonl"

_KINDS = {
    kind.__name__: kind
    for kind in (Conditions, Launched, Served, UnderLoad, Start, Scaled, EngineCell, Parity, Judged, Note)
}


class Records:
    """All of one run."""

    def __init__(self, path: Path | None = None) -> None:
        """Lines are added to `path` as they come, so that a run that is stopped leaves what it has."""
        self._path = path
        self._all: list[Any] = []

    def add(self, record: Any) -> None:
        """Take one record."""
        self._all.append(record)
        if self._path:
            with self._path.open("a") as file:
                file.write(json.dumps({"record": type(record).__name__, **asdict(record)}) + "\n")

    def of(self, kind: type[T]) -> list[T]:
        """All of one kind, in order."""
        return [record for record in self._all if isinstance(record, kind)]

    def served(self, server: str, method: str, in_flight: int) -> Served | None:
        """The median of a case, if it was measured."""
        wanted = (server, method, in_flight, 0)
        found = (one for one in self.of(Served) if (one.server, one.method, one.in_flight, one.round) == wanted)
        return next(found, None)

    @classmethod
    def read(cls, path: Path) -> "Records":
        """Those of an earlier run."""
        records = cls()
        for line in path.read_text().splitlines():
            fields = json.loads(line)
            records.add(_KINDS[fields.pop("record")](**fields))
        return records
