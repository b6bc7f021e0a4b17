"""The client for asyncio, whose concurrent calls travel together."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable
from itertools import count, islice
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.classification import Classification
from service.client.answers import ModelInfo, to_classification, to_model_info
from service.client.batches import CALLS_IN_FLIGHT, Part, halves, in_parts, progress_bar
from service.client.coalescer import Coalescer
from service.client.connection import DEFAULT_TARGET, OPTIONS, TIMEOUT, Tls, channel_credentials
from service.client.errors import RETRIES, ClientError, pause_or_raise
from service.pb import sentiment_pb2 as pb
from service.pb import sentiment_pb2_grpc

Request = TypeVar("Request", contravariant=True)
Response = TypeVar("Response", covariant=True)


class _Method(Protocol[Request, Response]):
    def __call__(self, request: Request, /, *, timeout: float | None) -> Awaitable[Response]: ...


class AsyncSentimentClient:
    """SentimentClient for asyncio; made where an event loop runs, and used from that one.

    Concurrent calls of `classify` travel together, so that the server pays for a call once and not for each review;
    `coalesce=False` sends each on its own.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        timeout: float = TIMEOUT,
        *,
        retries: int = RETRIES,
        model_version: str = "",
        tls: Tls | None = None,
        token: str | None = None,
        coalesce: bool = True,
    ) -> None:
        """As SentimentClient. Raises RuntimeError where no event loop runs."""
        asyncio.get_running_loop()
        self._timeout, self._retries, self._model_version = timeout, retries, model_version
        credentials = channel_credentials(tls, token)
        self._channel = (
            grpc.aio.secure_channel(target, credentials, OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(target, OPTIONS)
        )
        self._sentiment: sentiment_pb2_grpc.SentimentServiceAsyncStub
        self._sentiment = sentiment_pb2_grpc.SentimentServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._coalescer = Coalescer(self._classify_batch) if coalesce else None

    async def classify(self, text: str) -> Classification:
        """Classify one review."""
        if self._coalescer:
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._coalescer.classify(text)
            except TimeoutError:
                message = f"no answer within {self._timeout:g} s"
                raise ClientError(grpc.StatusCode.DEADLINE_EXCEEDED, message) from None
        request = pb.ClassifyRequest(text=text, model_version=self._model_version)
        return to_classification((await self._call(self._sentiment.Classify, request)).classification)

    async def classify_many(self, texts: Iterable[str], progress: bool = False) -> AsyncIterator[Classification]:
        """Classify any number of reviews, in order, as SentimentClient does."""
        parts, waiting = in_parts(texts), deque[asyncio.Task[list[Classification]]]()
        try:
            with progress_bar(texts, progress) as advance:
                waiting.extend(self._start(part) for part in islice(parts, CALLS_IN_FLIGHT))
                while waiting:
                    answers = await waiting.popleft()
                    waiting.extend(self._start(part) for part in islice(parts, 1))
                    advance(len(answers))
                    for answer in answers:
                        yield answer
        finally:  # the caller has read enough, or a call failed
            for task in waiting:
                task.cancel()

    async def model(self) -> ModelInfo:
        """The model that answers, and the limits of requests."""
        request = pb.GetModelRequest(model_version=self._model_version)
        return to_model_info(await self._call(self._sentiment.GetModel, request))

    async def health(self) -> str:
        """What the server says of itself: SERVING or NOT_SERVING."""
        response = await self._call(self._health.Check, health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
        return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)

    async def close(self) -> None:
        """Give up what is under way, and close the connection."""
        if self._coalescer:
            await self._coalescer.close()
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _start(self, part: Part) -> asyncio.Task[list[Classification]]:
        return asyncio.create_task(self._classify_part(part))

    async def _classify_part(self, part: Part) -> list[Classification]:
        with part.naming_texts():
            return await self._classify_batch(part.texts)

    async def _classify_batch(self, texts: list[str]) -> list[Classification]:
        request = pb.ClassifyBatchRequest(texts=texts, model_version=self._model_version)
        try:
            response = await self._call(self._sentiment.ClassifyBatch, request)
        except ClientError as error:
            first, second = halves(texts, error)
            return await self._classify_part(first) + await self._classify_part(second)
        return [*map(to_classification, response.classifications)]

    async def _call(self, method: _Method[Request, Response], request: Request) -> Response:
        """Call, and try again while that may help and there is time."""
        deadline = time.monotonic() + self._timeout
        for attempt in count():
            try:
                return await method(request, timeout=deadline - time.monotonic())
            except grpc.aio.AioRpcError as error:
                await asyncio.sleep(pause_or_raise(error, attempt, self._retries, deadline))
        raise AssertionError("not reached")  # which mypy cannot know of `count`
