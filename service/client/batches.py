"""Many texts in calls of many: how they are parted, and how their errors and their progress are told."""

import re
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from service.client.errors import ClientError

TEXTS_PER_CALL = 64  # at most; a server may take fewer
CALLS_IN_FLIGHT = 3  # one in the model, one waiting for it, one on its way

FIELD = re.compile(r"texts\[(\d+)\]")  # how the server names a text of a call


@dataclass(frozen=True)
class Part:
    """Texts of one call."""

    start: int  # index of the first among all texts
    texts: list[str]

    @contextmanager
    def naming_texts(self) -> Iterator[None]:
        """Errors that name a text of this call name it by its index among all."""
        try:
            yield
        except ClientError as error:
            match = FIELD.fullmatch(error.field or "")
            if not match:
                raise
            field = f"texts[{self.start + int(match[1])}]"
            raise ClientError(error.code, error.message.replace(match[0], field, 1), field) from error


def in_parts(texts: Iterable[str]) -> Iterator[Part]:
    """Texts in parts of TEXTS_PER_CALL, each read when it is asked for."""
    remaining = iter(texts)
    for start in count(0, TEXTS_PER_CALL):
        part = list(islice(remaining, TEXTS_PER_CALL))
        if not part:
            return
        yield Part(start, part)


def halves(texts: list[str], error: ClientError) -> list[Part]:
    """The two halves of a call that a server finds too large. Raises `error` if it is another one."""
    if error.field != "texts" or len(texts) < 2:
        raise error
    middle = len(texts) // 2
    return [Part(0, texts[:middle]), Part(middle, texts[middle:])]


@contextmanager
def progress_bar(texts: Any, shown: bool) -> Iterator[Callable[[int], object]]:
    """A bar on standard error, moved by calling with a number of reviews; nothing where it is not to be shown."""
    if not shown:
        yield lambda _: None
        return
    from tqdm import tqdm  # no server needs it

    with tqdm(total=len(texts) if isinstance(texts, Sized) else None, unit=" reviews", smoothing=0.1) as bar:
        yield bar.update
