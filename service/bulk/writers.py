"""CSV and JSON Lines, written part by part."""

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

from service.bulk.outcomes import COLUMNS, Outcome, to_row
from service.bulk.parquet import to_records
from service.bulk.parts import Part, Record, Table
from service.bulk.values import encode, to_json, to_text


class JsonlWriter:
    """A JSON object a row: the input's, and the answer's fields."""

    def __init__(self, path: Path, table: Table) -> None:
        pass  # each row names its own columns

    def write(self, part: Part, outcomes: Sequence[Outcome], path: Path) -> None:
        """Write one part."""
        rows = zip(_records(part), outcomes, strict=True)
        path.write_bytes(encode("".join(f"{to_json(row | to_row(outcome))}\n" for row, outcome in rows)))

    def join(self, paths: Sequence[Path], joined: Path) -> None:
        """Make one file of parts."""
        _concatenate(b"", paths, joined)


class CsvWriter:
    """Comma-separated values; the parts have no header, so that they can be put together as they are."""

    def __init__(self, path: Path, table: Table) -> None:
        self._names = [*table.columns, *COLUMNS]

    def write(self, part: Part, outcomes: Sequence[Outcome], path: Path) -> None:
        """Write one part."""
        rows = (row | to_row(outcome) for row, outcome in zip(_records(part), outcomes, strict=True))
        path.write_bytes(_to_csv([[to_text(row.get(name)) for name in self._names] for row in rows]))

    def join(self, paths: Sequence[Path], joined: Path) -> None:
        """Make one file of parts, under a header."""
        _concatenate(_to_csv([self._names]), paths, joined)


def _records(part: Part) -> list[Record]:
    return part.rows if isinstance(part.rows, list) else to_records(part.rows)


def _to_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)  # with RFC 4180's line ends: then cells with either half of one are quoted
    return encode(text.getvalue())


def _concatenate(start: bytes, paths: Sequence[Path], joined: Path) -> None:
    with joined.open("wb") as target:
        target.write(start)
        for path in paths:
            with path.open("rb") as source:
                shutil.copyfileobj(source, target)
