"""Flags of the commands that classify a file."""

import argparse
from pathlib import Path

from service.bulk.job import Job, ModelId

FORMATS = """\
files, by suffix:
  .txt      a review a line (only to read)
  .csv      comma-separated, with a header
  .jsonl    a JSON object a line
  .parquet  needs pyarrow: pip install '.[bulk]' in the repository's folder
"""


def add_file_flags(parser: argparse.ArgumentParser) -> None:
    """Column, restart, overwrite and progress."""
    file = parser.add_argument_group("file")
    file.add_argument("--column", metavar="C", help="column of the reviews (text, review, or the only one of strings)")
    file.add_argument("--restart", action="store_true", help="do not go on with a run that was stopped: begin anew")
    file.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    file.add_argument("--progress", action="store_true", help="show progress even where it is no terminal")


def to_job(arguments: argparse.Namespace, input: Path, output: Path, model: ModelId, max_text_bytes: int) -> Job:
    """The job that these flags, and the command's own, ask for."""
    return Job(
        input,
        output,
        arguments.column,
        model,
        max_text_bytes,
        restart=arguments.restart,
        overwrite=arguments.overwrite,
        progress=arguments.progress,
    )
