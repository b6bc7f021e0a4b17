"""The folder `<OUTPUT>.parts` of a job under way: what is in it is whole, and belongs to this job."""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from service.bulk.errors import JobError

_OURS = re.compile(r"\.?(\d{6,}|joined)\.(csv|jsonl|parquet)|\.?job\.json")


class Folder:
    """A context manager: while it is open, no other run may use the folder.

    `identity` is what makes a run the same as an earlier one, so that it may go on with its parts.
    """

    def __init__(self, output: Path, identity: dict[str, Any]) -> None:
        self.output = output.resolve()  # of a link: what it points to, so that it stays one
        self.path = self.output.with_name(self.output.name + ".parts")
        self._identity = identity
        self._job = self.path / "job.json"

    def __enter__(self) -> Self:
        """Raises JobError if another run is using it."""
        self.path.mkdir(exist_ok=True)
        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise JobError(f"another run is writing {self.output}; wait for its end") from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def begin(self, restart: bool) -> None:
        """Take it for this run. Raises JobError if it belongs to another one and is not to be started over."""
        there = None if restart else self._saved()
        if there is None:
            self._empty()  # also of what is there without a word of whose it is
            self._save(self._identity)
        elif other := [name for name, value in self._identity.items() if there.get(name) != value]:
            first = other[0]
            raise JobError(
                f"{self.path} belongs to another run ({first.replace('_', ' ')}: {there.get(first)!r} there, "
                f"{self._identity[first]!r} here); delete it, or give --restart"
            )

    def done(self) -> set[int]:
        """The numbers of the parts that are there."""
        suffix = self.output.suffix.lower()
        return {int(path.stem) for path in self.path.glob(f"*{suffix}") if path.stem.isdecimal()}

    def part(self, number: int) -> Path:
        """Where a part is, once it is whole."""
        return self.path / f"{number:06d}{self.output.suffix.lower()}"

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """Write to another name; only when all of it is on disk does it get this one. Raises JobError if it cannot."""
        unfinished = path.with_name("." + path.name)
        try:
            yield unfinished
            _sync(unfinished)
            os.replace(unfinished, path)
            _sync(path.parent)
        except OSError as error:
            reason = f"cannot write {path}: {error.strerror or error}"
            raise JobError(f"{reason}; mend that, and give the same command again to go on") from error

    @contextmanager
    def publishing(self) -> Iterator[Path]:
        """Write the output to another name; then it gets its own, and the folder goes."""
        joined = self.path / f"joined{self.output.suffix.lower()}"
        with self.writing(joined):
            yield joined.with_name("." + joined.name)
        self._save(self._identity | {"joined": _seal(joined)})
        os.replace(joined, self.output)
        _sync(self.output.parent)
        self.remove()

    def is_published(self) -> bool:
        """Whether this same run has put its output in place, and was only stopped before the folder was gone."""
        there = self._saved() or {}
        seal = there.pop("joined", None)
        return there == self._identity and self.output.exists() and seal == _seal(self.output)

    def remove(self) -> None:
        """Delete it, but for files that no run has made."""
        self._empty()
        with suppress(OSError):
            self.path.rmdir()

    def _empty(self) -> None:
        """job.json goes last: as long as it is there, what remains is known."""
        for path in sorted(self.path.iterdir(), key=lambda path: path == self._job):
            if _OURS.fullmatch(path.name):
                path.unlink()

    def _saved(self) -> dict[str, Any] | None:
        try:
            saved = json.loads(self._job.read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            saved = {}
        return saved if isinstance(saved, dict) else {}

    def _save(self, content: dict[str, Any]) -> None:
        with self.writing(self._job) as path:
            path.write_text(json.dumps(content, indent=2) + "\n")


def _seal(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
