"""Log lines: text for people or JSON for machines; never a review's text."""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Literal


class JsonFormatter(logging.Formatter):
    """One JSON object a line; it says which worker it is of, where there are several."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; a traceback becomes one of its fields."""
        line: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._worker is not None:
            line["worker"] = self._worker
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(form: Literal["text", "json"], level: str, worker: int | None = None) -> None:
    """Log to standard error; lines of one worker among several say its number."""
    handler = logging.StreamHandler(sys.stderr)
    whose = "" if worker is None else f"worker {worker} "
    text = logging.Formatter(f"%(asctime)s %(levelname)s {whose}%(name)s: %(message)s")
    handler.setFormatter(JsonFormatter(worker) if form == "json" else text)
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
