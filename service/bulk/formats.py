"""Which file is what: by its suffix."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from service.bulk.errors import TableError
from service.bulk.lines import CsvTable, JsonlTable, TextTable
from service.bulk.outcomes import COLUMNS, Outcome
from service.bulk.parquet import ParquetTable, ParquetWriter
from service.bulk.parts import Part, Table
from service.bulk.writers import CsvWriter, JsonlWriter


class Writer(Protocol):
    """Writes parts, and one file of all of them."""

    def write(self, part: Part, outcomes: Sequence[Outcome], path: Path) -> None:
        """Write one part and the outcomes of its rows."""

    def join(self, paths: Sequence[Path], joined: Path) -> None:
        """Make one file of parts, reading no more than a few at a time."""


TABLES: dict[str, Callable[[Path], Table]] = {
    ".txt": TextTable,
    ".csv": CsvTable,
    ".jsonl": JsonlTable,
    ".parquet": ParquetTable,
}
WRITERS: dict[str, Callable[[Path, Table], Writer]] = {
    ".csv": CsvWriter,
    ".jsonl": JsonlWriter,
    ".parquet": ParquetWriter,
}


def format_of(path: Path, among: Sequence[str]) -> str:
    """The suffix of a file. Raises TableError if it is not among those that are known."""
    suffix = path.suffix.lower()
    if suffix not in among:
        raise TableError(path, f"has a suffix of no known kind ({suffix or 'none'}); it must be {' or '.join(among)}")
    return suffix


def open_table(path: Path) -> Table:
    """Begin to read a file. Raises TableError if it is no table, OSError if it is not there."""
    return TABLES[format_of(path, [*TABLES])](path)


def open_writer(path: Path, table: Table) -> Writer:
    """Begin to write what a table gives. Raises TableError if a column has the name of an answer's."""
    if taken := [name for name in COLUMNS if name in table.columns]:
        raise TableError(path, f"would have two columns {taken[0]!r}; rename the input's")
    return WRITERS[format_of(path, [*WRITERS])](path, table)


def choose_column(path: Path, table: Table, wanted: str | None) -> str:
    """The column of reviews: the one that is wanted, or `text`, `review`, or the only one that holds strings.

    Raises TableError if it is not there, or not clear.
    """
    there = ", ".join(map(repr, table.columns)) or "none"
    if wanted is not None:
        if wanted not in table.columns:
            raise TableError(path, f"has no column {wanted!r}; it has {there}")
        return wanted
    strings = [name for name, kind in table.columns.items() if kind == "string"]
    only = strings if len(strings) == 1 else []
    for name in ["text", "review", *only]:
        if name in table.columns:
            return name
    raise TableError(path, f"does not tell which column has the reviews; give --column, one of {there}")
