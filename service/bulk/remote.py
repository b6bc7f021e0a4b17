"""Classifies by a server, many texts at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress

from service.bulk.outcomes import Outcome
from service.client import AsyncSentimentClient, ClientError

TEXTS_IN_FLIGHT = 256


def classify_remotely(
    connect: Callable[[], AsyncSentimentClient], parts: Iterator[list[str]]
) -> Generator[list[Outcome]]:
    """The outcomes of each part, in order. `connect` is called where an event loop runs.

    Raises ClientError if a call fails for another reason than a text.
    """
    with asyncio.Runner() as runner:
        asking = runner.run(_open(connect))
        try:
            for texts in parts:  # read while no event loop runs: it would be blocked
                asking.begin(len(texts))
                for start in range(0, len(texts), TEXTS_IN_FLIGHT):
                    runner.run(asking.ask(texts[start : start + TEXTS_IN_FLIGHT]))
                    yield from asking.take()
            runner.run(asking.wait())
            yield from asking.take()
        finally:
            with suppress(RuntimeError):  # an interrupt has left the loop as it was stopping
                runner.run(asking.close())


async def _open(connect: Callable[[], AsyncSentimentClient]) -> "_Asking":
    return _Asking(connect())


class _Asking:
    """Texts that are out with the server, in order, and what came back of them."""

    def __init__(self, client: AsyncSentimentClient) -> None:
        self._client = client
        self._out = deque[asyncio.Task[Outcome]]()
        self._back: list[Outcome] = []
        self._sizes = deque[int]()  # of the parts that are not yet whole

    def begin(self, size: int) -> None:
        """The next so many texts are a part."""
        self._sizes.append(size)

    async def ask(self, texts: Sequence[str]) -> None:
        """Send texts, as soon as there is room for each."""
        for text in texts:
            if len(self._out) >= TEXTS_IN_FLIGHT:
                self._back.append(await self._out.popleft())
            self._out.append(asyncio.create_task(self._outcome(text)))

    async def wait(self) -> None:
        """Wait for all that are out."""
        while self._out:
            self._back.append(await self._out.popleft())

    def take(self) -> Iterator[list[Outcome]]:
        """The parts that are whole."""
        while self._sizes and len(self._back) >= self._sizes[0]:
            size = self._sizes.popleft()
            yield self._back[:size]
            del self._back[:size]

    async def close(self) -> None:
        """Give up what is out."""
        for task in self._out:
            task.cancel()
        await asyncio.gather(*self._out, return_exceptions=True)
        await self._client.close()

    async def _outcome(self, text: str) -> Outcome:
        try:
            return await self._client.classify(text)
        except ClientError as error:
            if error.field == "text":
                return error.message
            raise
