"""Parts of a table: what is read, classified and written at a time."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from service.bulk.errors import changed
from service.bulk.outcomes import Outcome, refuse

PART_ROWS = 4096

# What a column holds: its type in Parquet, and whether it may be the reviews. What is "mixed" becomes text there.
Kind = Literal["string", "integer", "number", "boolean", "mixed"]
Record = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Consecutive rows."""

    number: int  # from 0
    rows: Any  # list[Record], or a pyarrow.Table where they come from Parquet
    cells: list[Any]  # what the column of reviews holds, strings if all is well
    position: int  # how much of the table is read with this part, in the table's unit


class Table(Protocol):
    """A file that is read part by part."""

    columns: dict[str, Kind]
    total: int  # size in `unit`
    unit: str  # of progress: bytes, or rows where the file tells how many there are

    def parts(self, column: str, part_rows: int = PART_ROWS) -> Iterator[Part]:
        """Every part, in order. Raises TableError at a row that cannot be read."""


# Turns the texts of each part into their outcomes, part by part and in order; it may read some parts ahead.
# The texts are neither blank nor too long.
Classify = Callable[[Iterator[list[str]]], Generator[list[Outcome]]]


def classified(
    ahead: Iterator[Part], parts: Iterator[Part], classify: Classify, max_text_bytes: int
) -> Generator[tuple[Part, list[Outcome]]]:
    """Every part with the outcomes of its rows, in order.

    `ahead` and `parts` read the same parts: the texts as far ahead as `classify` likes, the rows when their outcomes
    are there. So no row takes memory while its text is with a model. Raises JobError if they turn out not to be the
    same.
    """
    with closing(classify(_texts(part, max_text_bytes) for part in ahead)) as answered:
        for part in parts:
            refusals = [refuse(cell, max_text_bytes) for cell in part.cells]
            outcomes = next(answered, None)
            if outcomes is None or len(outcomes) != refusals.count(None):
                raise changed("the input")
            answers = iter(outcomes)
            yield part, [refusal or next(answers) for refusal in refusals]
        if next(answered, None) is not None:
            raise changed("the input")


def _texts(part: Part, max_text_bytes: int) -> list[str]:
    return [cell for cell in part.cells if refuse(cell, max_text_bytes) is None]
