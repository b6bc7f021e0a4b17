"""A file of reviews to a file of answers: part by part, each safe on disk before the next, so that it can go on."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.bulk.errors import JobError, changed
from service.bulk.folder import Folder
from service.bulk.formats import Writer, choose_column, open_table, open_writer
from service.bulk.parts import PART_ROWS, Classify, Part, Table, classified
from service.bulk.progress import Progress


@dataclass(frozen=True)
class ModelId:
    """The model that answers: parts by different ones do not mix."""

    name: str
    version: str
    precision: str


@dataclass(frozen=True)
class Job:
    """What to classify and where to put it. `restart` gives up a stopped run's parts, `overwrite` an earlier output."""

    input: Path
    output: Path
    column: str | None  # None: the one that is clear
    model: ModelId
    max_text_bytes: int
    restart: bool = False
    overwrite: bool = False
    progress: bool = False  # show it even where standard error is no terminal


def run(job: Job, classify: Classify) -> None:
    """Do it, or go on with it if a run of the same job was stopped. Says at the end, on standard error, what was done.

    Raises BulkError, OSError, or what `classify` raises; the parts that are done stay.
    """
    state = _state(job.input)
    table = open_table(job.input)
    column = choose_column(job.input, table, job.column)
    writer = open_writer(job.output, table)
    folder = Folder(job.output, state | _recipe(job, column))
    _check_output(job, folder)
    with folder:
        if not job.restart and folder.is_published():
            folder.remove()
            summary = "was done by an earlier run"
        else:
            folder.begin(job.restart)
            progress = _classify_missing(job, table, column, writer, folder, classify)
            _check_unchanged(job.input, state)
            with folder.publishing() as path:
                writer.join([folder.part(number) for number in range(progress.parts)], path)
            summary = progress.summary()
    print(f"{job.output}: {summary}", file=sys.stderr)


def _check_output(job: Job, folder: Folder) -> None:
    if not job.output.exists():
        return
    if os.path.samefile(job.input, job.output):
        raise JobError(f"{job.output} is the input, too; name another output")
    if not job.overwrite and (job.restart or not folder.is_published()):
        raise JobError(f"{job.output} exists; name another output, or give --overwrite")


def _recipe(job: Job, column: str) -> dict[str, Any]:
    return {
        "column": column,
        "input_format": job.input.suffix.lower(),
        "output_format": job.output.suffix.lower(),
        "part_rows": PART_ROWS,
        "model_name": job.model.name,
        "model_version": job.model.version,
        "precision": job.model.precision,
    }


def _state(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {"input": str(path.resolve()), "input_size": found.st_size, "input_modified_ns": found.st_mtime_ns}


def _check_unchanged(path: Path, state: dict[str, Any]) -> None:
    if _state(path) != state:
        raise changed(path)


def _classify_missing(
    job: Job, table: Table, column: str, writer: Writer, folder: Folder, classify: Classify
) -> Progress:
    done = folder.done()
    with Progress(table, job.progress or None) as progress:
        ahead = (part for part in table.parts(column) if part.number not in done)
        parts = _missing(table.parts(column), done, progress)
        with closing(classified(ahead, parts, classify, job.max_text_bytes)) as answered:
            for part, outcomes in answered:
                with folder.writing(folder.part(part.number)) as path:
                    writer.write(part, outcomes, path)
                progress.advance(part, outcomes)
    return progress


def _missing(parts: Iterator[Part], done: set[int], progress: Progress) -> Iterator[Part]:
    for part in parts:
        if part.number in done:
            progress.skip(part)
        else:
            yield part
