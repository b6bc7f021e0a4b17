"""The ways to ask: requests are serialized beforehand and answers read afterwards, so that the client stays light."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, Protocol

import grpc

from benchmarks.baseline_server import EMPTY_METHOD, EMPTY_SERVICE
from service.classification import Classification
from service.client import AsyncSentimentClient
from service.pb import sentiment_pb2 as pb

SERVICE = "/sentiment.v1.SentimentService"
TEXTS_PER_BATCH = 64
_TIMEOUT = 60.0  # seconds; real callers have a deadline, and a server's work on it is part of the cost

Channels = Sequence[grpc.aio.Channel] | Sequence[grpc.Channel]


class Method(Protocol):
    """Requests are numbered from 0; those beyond the last review begin anew."""

    reviews: int  # in one request

    async def ask(self, number: int) -> Any:
        """Send a request and return its answer, unread."""

    def probabilities(self, answer: Any) -> list[float]:
        """What an answer says, of one review after the other; fewer if it is an error."""


def indices(method: Method, number: int, count: int) -> range:
    """Which of `count` reviews a request holds."""
    start = number * method.reviews % (count - count % method.reviews)
    return range(start, start + method.reviews)


class _Calls:
    """One call a request, on each channel in turn."""

    def __init__(self, channels: Channels, path: str, requests: Sequence[bytes]) -> None:
        opened: list[Any] = [channel.unary_unary(path) for channel in channels]
        self._calls = cycle(opened)
        self._requests = requests

    async def ask(self, number: int) -> bytes:
        """Send a request and return its answer, unread."""
        answer: bytes = await next(self._calls)(self._requests[number % len(self._requests)], timeout=_TIMEOUT)
        return answer


class Unary(_Calls):
    """Classify."""

    reviews = 1

    def __init__(self, channels: Channels, texts: Sequence[str], path: str = f"{SERVICE}/Classify") -> None:
        super().__init__(channels, path, [pb.ClassifyRequest(text=text).SerializeToString() for text in texts])

    def probabilities(self, answer: bytes) -> list[float]:
        """What an answer says."""
        return [pb.ClassifyResponse.FromString(answer).classification.positive_probability]


class Lone(Unary):
    """Classify by gRPC's synchronous client."""

    def ask_and_wait(self, number: int) -> bytes:
        """Send a request and return its answer, unread."""
        answer: bytes = next(self._calls)(self._requests[number % len(self._requests)], timeout=_TIMEOUT)
        return answer


class Empty(Unary):
    """The same requests to a method that does nothing."""

    reviews = 1

    def __init__(self, channels: Channels, texts: Sequence[str]) -> None:
        super().__init__(channels, texts, f"/{EMPTY_SERVICE}/{EMPTY_METHOD}")

    def probabilities(self, answer: bytes) -> list[float]:
        """Nothing."""
        return []


class Batch(_Calls):
    """ClassifyBatch of consecutive reviews."""

    reviews = TEXTS_PER_BATCH

    def __init__(self, channels: Channels, texts: Sequence[str]) -> None:
        starts = range(0, len(texts) - len(texts) % self.reviews, self.reviews)
        requests = [pb.ClassifyBatchRequest(texts=texts[start : start + self.reviews]) for start in starts]
        super().__init__(channels, f"{SERVICE}/ClassifyBatch", [one.SerializeToString() for one in requests])

    def probabilities(self, answer: bytes) -> list[float]:
        """What an answer says."""
        response = pb.ClassifyBatchResponse.FromString(answer)
        return [one.positive_probability for one in response.classifications]


class ByClient:
    """The asyncio client, whose concurrent calls may travel together."""

    reviews = 1

    def __init__(self, client: AsyncSentimentClient, texts: Sequence[str]) -> None:
        self._client, self._texts = client, texts

    async def ask(self, number: int) -> Classification:
        """Send a request and return its answer."""
        return await self._client.classify(self._texts[number % len(self._texts)])

    def probabilities(self, answer: Classification) -> list[float]:
        """What an answer says."""
        return [answer.positive_probability]
