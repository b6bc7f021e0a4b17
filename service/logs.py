"""Log lines: text for people or JSON for machines; never a review's text."""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Literal


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; a traceback becomes one of its fields."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(form: Literal["text", "json"], level: str) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class RefusalLog:
    """One line a class of refusal, then at most one in `interval` seconds with the number since: floods stay short."""

    def __init__(self, logger: logging.Logger, interval: float = 10.0) -> None:
        self._logger = logger
        self._interval = interval
        self._next_line: dict[tuple[str, str], float] = {}
        self._unlogged: dict[tuple[str, str], int] = {}

    def add(self, method: str, reason: str) -> None:
        """Count a refusal, and log it if its class was quiet."""
        kind, now = (method, reason), time.monotonic()
        self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
        if now >= self._next_line.get(kind, 0.0):
            self._logger.warning("refused %s: %s (x%d)", method, reason, self._unlogged.pop(kind))
            self._next_line[kind] = now + self._interval
