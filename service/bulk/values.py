"""Values of cells, where a format has no such type."""

import json
import math
from typing import Any


def to_json(record: Any) -> str:
    """JSON, without the numbers that JSON lacks: those become null."""
    try:
        return json.dumps(record, ensure_ascii=False, default=_plain, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(record), ensure_ascii=False, default=_plain)


def to_text(value: Any) -> str:
    """Text for a cell: strings as they are, nothing for None, JSON for lists, objects and truth values."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    return to_json(value) if isinstance(value, bool | int | list | dict) else _plain(value)


def encode(text: str) -> bytes:
    """UTF-8; halves of surrogate pairs, which JSON can escape, as such escapes."""
    return text.encode(errors="backslashreplace")


def _plain(value: Any) -> str:
    """What Parquet has beside JSON's types: dates and times, decimals, bytes."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
