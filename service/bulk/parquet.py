"""Parquet as a table, read and written. pyarrow is loaded when it is first needed: nothing else here wants it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.bulk.errors import JobError, TableError
from service.bulk.outcomes import COLUMNS, Outcome, to_row
from service.bulk.parts import PART_ROWS, Kind, Part, Record, Table
from service.bulk.values import encode, to_text

if TYPE_CHECKING:
    import pyarrow

_BUFFER = 2**20  # bytes of each column read at a time, however large the row groups are
_ROW_GROUP = 8 * PART_ROWS  # rows of one in the output: many take memory, few are slow to read
_OF_ANSWERS: dict[str, Kind] = dict(
    zip(COLUMNS, ("string", "number", "integer", "boolean", "number", "string"), strict=True)
)


class ParquetTable:
    """A Parquet file."""

    unit = " rows"

    def __init__(self, path: Path) -> None:
        """Raises OSError if the file is not there, TableError if it is not Parquet or pyarrow is missing."""
        self.path = path
        arrow = load_pyarrow(path)
        with path.open("rb") as file:
            try:
                opened = arrow.parquet.ParquetFile(file)
            except arrow.ArrowInvalid as error:
                raise TableError(path, f"is not Parquet: {error}") from error
            self.schema: pyarrow.Schema = opened.schema_arrow
            self.total: int = opened.metadata.num_rows
        if twice := sorted({name for name in self.schema.names if self.schema.names.count(name) > 1}):
            raise TableError(path, f"has two columns {twice[0]!r}; rename one")
        self.columns: dict[str, Kind] = {
            field.name: "string" if _holds_strings(field.type) else "mixed" for field in self.schema
        }

    def parts(self, column: str, part_rows: int = PART_ROWS) -> Iterator[Part]:
        """Every part, in order. Raises TableError at a row that cannot be read."""
        position = 0
        for number, rows in enumerate(self._cut(part_rows)):
            cells = self._cells(rows.column(column), position)
            position += rows.num_rows
            yield Part(number, rows, cells, position)

    def _cut(self, part_rows: int) -> Iterator["pyarrow.Table"]:
        """Exactly so many rows at a time: pyarrow makes batches shorter at will."""
        arrow = load_pyarrow(self.path)
        with self.path.open("rb") as file:
            rest = self.schema.empty_table()
            try:
                for batch in arrow.parquet.ParquetFile(file, buffer_size=_BUFFER).iter_batches(part_rows):
                    rest = arrow.concat_tables([rest, arrow.Table.from_batches([batch], self.schema)])
                    while rest.num_rows >= part_rows:
                        yield rest.slice(0, part_rows)
                        rest = rest.slice(part_rows)
            except (arrow.ArrowInvalid, OSError) as error:
                raise TableError(self.path, f"cannot be read on: {error}") from error
        if rest.num_rows:
            yield rest

    def _cells(self, column: "pyarrow.ChunkedArray", before: int) -> list[Any]:
        try:
            cells: list[Any] = column.to_pylist()
        except UnicodeDecodeError:
            for row in count(before + 1):
                try:
                    column[row - before - 1].as_py()
                except UnicodeDecodeError as error:
                    raise TableError(self.path, f"row {row} has bytes that are not UTF-8 in the text") from error
        return cells


class ParquetWriter:
    """Writes Parquet: the input's columns with their types, and the answers'."""

    def __init__(self, path: Path, table: Table) -> None:
        """Raises TableError if pyarrow is missing."""
        arrow = load_pyarrow(path)
        self._input = table.schema if isinstance(table, ParquetTable) else _schema(table.columns)
        self._schema = arrow.schema([*self._input, *_schema(_OF_ANSWERS)], self._input.metadata)

    def write(self, part: Part, outcomes: Sequence[Outcome], path: Path) -> None:
        """Write one part."""
        arrow = load_pyarrow(path)
        rows = _to_arrow(part.rows, self._input) if isinstance(part.rows, list) else part.rows
        answers = to_arrow(outcomes)
        table = arrow.Table.from_arrays([*rows.columns, *answers.columns], schema=self._schema)
        arrow.parquet.write_table(table, path)

    def join(self, paths: Sequence[Path], joined: Path) -> None:
        """Make one file of parts."""
        arrow = load_pyarrow(joined)
        with arrow.parquet.ParquetWriter(joined, self._schema) as writer:
            at_once = _ROW_GROUP // PART_ROWS
            for start in range(0, len(paths), at_once):
                together = paths[start : start + at_once]
                tables = [arrow.parquet.read_table(path, schema=self._schema) for path in together]
                writer.write_table(arrow.concat_tables(tables))


def load_pyarrow(path: Path) -> Any:
    """The package. Raises TableError if it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        reason = f"Parquet needs pyarrow ({error}): pip install '.[bulk]' in the repository's folder"
        raise TableError(path, reason) from error
    return pyarrow


def to_records(rows: "pyarrow.Table") -> list[Record]:
    """Rows as Python's values. Raises JobError if a column has some that cannot be."""
    columns = [_to_values(name, column) for name, column in zip(rows.column_names, rows.columns, strict=True)]
    return [dict(zip(rows.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def _to_values(name: str, column: "pyarrow.ChunkedArray") -> list[Any]:
    """As Python's values; times that Python has not, of nanoseconds or beyond the year 9999, as Arrow's text."""
    import pyarrow

    values: list[Any]
    try:
        with suppress(ValueError, OverflowError):
            values = column.to_pylist()
            return values
        values = column.cast(pyarrow.string()).to_pylist()
    except (ValueError, pyarrow.ArrowException) as error:
        reason = f"column {name!r} cannot be written as text ({error})"
        raise JobError(f"{reason}; write .parquet, or leave it out") from error
    return values


def to_arrow(outcomes: Sequence[Outcome]) -> "pyarrow.Table":
    """Outcomes as a table of outcomes.COLUMNS."""
    return _to_arrow([*map(to_row, outcomes)], _schema(_OF_ANSWERS))


def _schema(columns: dict[str, Kind]) -> "pyarrow.Schema":
    import pyarrow

    types = {"integer": pyarrow.int64(), "number": pyarrow.float64(), "boolean": pyarrow.bool_()}
    return pyarrow.schema([(name, types.get(kind, pyarrow.string())) for name, kind in columns.items()])


def _to_arrow(records: Sequence[Record], schema: "pyarrow.Schema") -> "pyarrow.Table":
    import pyarrow

    converters: dict[Any, Callable[[Any], Any]] = {pyarrow.string(): _to_string, pyarrow.float64(): float}
    columns = []
    for field in schema:
        values = [record.get(field.name) for record in records]
        convert = converters.get(field.type, lambda value: value)
        columns.append(pyarrow.array([None if v is None else convert(v) for v in values], field.type))
    return pyarrow.Table.from_arrays(columns, schema=schema)


def _to_string(value: Any) -> str:
    return encode(to_text(value)).decode()  # which a string with half a character would not survive


def _holds_strings(kind: "pyarrow.DataType") -> bool:
    import pyarrow.types as types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
