"""Reviews of many concurrent callers in few calls: the cost of a call is paid once for all that are waiting.

No timer: a lone review leaves at once. While calls are out others gather, and leave together when one comes back.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import chain

import grpc

from service.classification import Classification
from service.client.batches import FIELD, TEXTS_PER_CALL
from service.client.errors import ClientError

CALLS_IN_FLIGHT = 4
_LEAST_TEXTS = 8  # that are worth a call of their own while others are waiting, too

ClassifyBatch = Callable[[list[str]], Awaitable[list[Classification]]]


@dataclass(eq=False, slots=True)
class _Waiting:
    text: str
    answer: "asyncio.Future[Classification]"


class Coalescer:
    """Used from one event loop; `classify_batch` answers texts in order, or raises ClientError."""

    def __init__(self, classify_batch: ClassifyBatch) -> None:
        self._classify_batch = classify_batch
        self._waiting = deque[_Waiting]()
        self._calls: dict[asyncio.Task[None], list[_Waiting]] = {}
        self._scheduled = self._closed = False

    async def classify(self, text: str) -> Classification:
        """Classify one text, in company. Raises what its call raises; a caller may be cancelled alone."""
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(text, loop.create_future())
        self._waiting.append(waiting)
        if not self._scheduled:  # after all who call in this turn of the loop
            self._scheduled = True
            loop.call_soon(self._send)
        return await waiting.answer

    async def close(self) -> None:
        """Give up what is out and what waits: their callers get a ClientError."""
        self._closed = True
        for one in chain(self._waiting, *self._calls.values()):
            if not one.answer.done():
                one.answer.set_exception(_closed())
        self._waiting.clear()
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    def _send(self) -> None:
        """Let what waits leave, shared out over the calls that are free."""
        self._scheduled = False
        while self._waiting and len(self._calls) < CALLS_IN_FLIGHT:
            free = CALLS_IN_FLIGHT - len(self._calls)
            size = min(max(_LEAST_TEXTS, -(-len(self._waiting) // free)), TEXTS_PER_CALL)
            taken = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
            together = [one for one in taken if not one.answer.done()]  # or its caller has gone
            if together:
                call = asyncio.create_task(self._call(together))
                self._calls[call] = together
                call.add_done_callback(self._returned)

    def _returned(self, call: asyncio.Task[None]) -> None:
        del self._calls[call]
        self._send()

    async def _call(self, together: list[_Waiting]) -> None:
        try:
            answers = await self._classify_batch([one.text for one in together])
        except Exception as error:
            self._fail(together, error)
        else:
            for one, answer in zip(together, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)

    def _fail(self, together: list[_Waiting], error: Exception) -> None:
        """A text that is refused alone has its error; the others go again, without it. Other errors are everybody's."""
        failed, own = together, error
        if isinstance(error, ClientError) and (match := FIELD.fullmatch(error.field or "")):
            index = int(match[1])
            failed, others = [together[index]], together[:index] + together[index + 1 :]
            own = ClientError(error.code, error.message.replace(match[0], "text", 1), "text")
            self._waiting.extendleft(reversed(others))
        for one in failed:
            if not one.answer.done():
                one.answer.set_exception(own)


def _closed() -> ClientError:
    return ClientError(grpc.StatusCode.CANCELLED, "the client was closed")
