"""What stops a job over a file; each message says what to do.

SentimentError
'- BulkError
   |- TableError   a file is not the table that it should be
   '- JobError     the job cannot begin, or cannot go on
"""

from service.errors import SentimentError


class BulkError(SentimentError):
    """A job over a file stops."""


class TableError(BulkError):
    """A file cannot be read or written as a table: names the file, and the row if it is one row's fault."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class JobError(BulkError):
    """A job cannot begin, or cannot go on."""


def changed(what: object) -> JobError:
    """An input is not what it was when it was read first."""
    return JobError(f"{what} was changed while it was read; begin anew, with --restart where parts were kept")
