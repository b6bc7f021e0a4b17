"""What is said of one row: an answer, or why there is none."""

from dataclasses import fields
from typing import Any

from service.classification import Classification
from service.errors import blank_text, text_too_long

# A string says why a row has no answer.
Outcome = Classification | str

_OF_ANSWER = tuple(field.name for field in fields(Classification))
COLUMNS = (*_OF_ANSWER, "error")

BLANK = str(blank_text("text"))  # in the server's words, as below


def to_row(outcome: Outcome) -> dict[str, Any]:
    """The values of COLUMNS; None for what does not apply."""
    if isinstance(outcome, str):
        return dict.fromkeys(_OF_ANSWER) | {"error": outcome}
    return {name: getattr(outcome, name) for name in _OF_ANSWER} | {"error": None}


def from_row(row: dict[str, Any]) -> Outcome:
    """What `to_row` was given."""
    error = row["error"]
    return Classification(**{name: row[name] for name in _OF_ANSWER}) if error is None else str(error)


def refuse(cell: object, max_text_bytes: int) -> str | None:
    """Why a cell is no text that can be classified, as far as can be seen without a tokenizer; None if it may be."""
    if cell is None:
        return "text is missing"
    if not isinstance(cell, str):
        return f"text is no string but {str(cell)[:40]}"
    if not cell or cell.isspace():
        return BLANK
    try:
        size = len(cell) if cell.isascii() else len(cell.encode())
    except UnicodeEncodeError:  # JSON can escape a half; UTF-8, and so the server, cannot have it
        return "text has half of a surrogate pair, which is no character"
    return str(text_too_long("text", size, max_text_bytes)) if size > max_text_bytes else None
