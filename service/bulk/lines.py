"""Text, CSV and JSON Lines as tables, read line by line."""

import csv
import json
from collections.abc import Iterator
from itertools import count, islice, zip_longest
from pathlib import Path
from typing import Any

from service.bulk.errors import TableError
from service.bulk.parts import PART_ROWS, Kind, Part, Record

_MOST_CHARACTERS = 16 * 2**20  # of one CSV cell: beyond that a quote was never closed, and the cell is the file's rest


def decode_line(source: object, number: int, line: bytes) -> str:
    """Line `number`, from 1, of a source in UTF-8. Raises TableError if it is not."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        reason = f"line {number} has bytes that are not UTF-8 (at byte {error.start + 1}); save it as UTF-8"
        raise TableError(source, reason) from error
    return text.removeprefix("\ufeff") if number == 1 else text


class Lines:
    """The lines of a file in UTF-8, with their ends; `position` is the number of bytes read so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0

    def __iter__(self) -> Iterator[str]:
        with self.path.open("rb") as file:  # as text, a lone carriage return would end a line, too
            for number, line in enumerate(file, start=1):
                self.position += len(line)
                yield decode_line(self.path, number, line)


class TextTable:
    """A review a line, in one column `text`; blank lines are rows, too."""

    unit = "B"

    def __init__(self, path: Path) -> None:
        """Raises OSError if the file is not there, TableError if it is not such a table."""
        self.path = path
        self.columns: dict[str, Kind] = self._read_columns(Lines(path))
        self.total = path.stat().st_size

    def parts(self, column: str, part_rows: int = PART_ROWS) -> Iterator[Part]:
        """Every part, in order. Raises TableError at a row that cannot be read."""
        lines = Lines(self.path)
        rows = self._rows(lines)
        for number in count():
            records = list(islice(rows, part_rows))
            if not records:
                return
            yield Part(number, records, [record.get(column) for record in records], lines.position)

    def _read_columns(self, lines: Lines) -> dict[str, Kind]:
        next(iter(lines), None)  # so that a missing file is noticed now
        return {"text": "string"}

    def _rows(self, lines: Lines) -> Iterator[Record]:
        for line in lines:
            yield {"text": line.removesuffix("\n").removesuffix("\r")}


class CsvTable(TextTable):
    """Comma-separated values with a header. A row that is too short ends in missing cells."""

    def _read_columns(self, lines: Lines) -> dict[str, Kind]:
        csv.field_size_limit(_MOST_CHARACTERS)
        names = next(self._cells(lines), None)
        if names is None:
            raise TableError(self.path, "is empty; the first row must name the columns")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise TableError(self.path, f"has two columns {twice[0]!r}; rename one")
        return dict.fromkeys(names, "string")

    def _rows(self, lines: Lines) -> Iterator[Record]:
        names = list(self.columns)
        rows = islice(self._cells(lines), 1, None)
        for number, cells in enumerate(rows, start=1):
            if len(cells) > len(names):
                reason = f"row {number} has {len(cells)} fields, the header {len(names)}; put quotes around commas"
                raise TableError(self.path, reason)
            yield dict(zip_longest(names, cells))

    def _cells(self, lines: Lines) -> Iterator[list[str]]:
        """The fields of each row, the header first; lines with nothing on them are no rows."""
        reader = csv.reader(lines, strict=True)
        read = 0
        try:
            for cells in reader:
                if cells:
                    read += 1
                    yield cells
        except csv.Error as error:
            which = f"row {read}" if read else "the header"
            reason = f"{which} cannot be read as CSV (up to line {reader.line_num}): {error}"
            raise TableError(self.path, reason) from error


class JsonlTable(TextTable):
    """A JSON object a line. It is read once beforehand: only that tells which columns there are."""

    def _read_columns(self, lines: Lines) -> dict[str, Kind]:
        types: dict[str, set[type]] = {}
        for record in self._rows(lines):
            for name, value in record.items():
                types.setdefault(name, set()).add(_type_of(value))
        if not lines.position:
            raise TableError(self.path, "is empty; each line must be a JSON object")
        return {name: _kind_of(found) for name, found in types.items()}

    def _rows(self, lines: Lines) -> Iterator[Record]:
        for number, line in enumerate(lines, start=1):
            if line.isspace():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise TableError(self.path, f"line {number} is not JSON: {error}") from error
            if not isinstance(record, dict):
                raise TableError(self.path, f'line {number} is no JSON object, such as {{"text": "..."}}')
            yield record


def _type_of(value: Any) -> type:
    return object if isinstance(value, int) and not -(2**63) <= value < 2**63 else type(value)


def _kind_of(types: set[type]) -> Kind:
    match types - {type(None)}:
        case found if found == {str}:
            return "string"
        case found if found == {int}:
            return "integer"
        case found if found and found <= {int, float}:
            return "number"
        case found if found == {bool}:
            return "boolean"
    return "mixed"
