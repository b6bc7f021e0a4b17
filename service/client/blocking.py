"""The client for threads and scripts."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.classification import Classification
from service.client.answers import ModelInfo, to_classification, to_model_info
from service.client.batches import CALLS_IN_FLIGHT, Part, halves, in_parts, progress_bar
from service.client.connection import DEFAULT_TARGET, OPTIONS, TIMEOUT, Tls, channel_credentials
from service.client.errors import RETRIES, ClientError, pause_or_raise
from service.pb import sentiment_pb2 as pb
from service.pb import sentiment_pb2_grpc

Request = TypeVar("Request", contravariant=True)
Response = TypeVar("Response", covariant=True)


class _Method(Protocol[Request, Response]):
    def __call__(self, request: Request, /, *, timeout: float | None) -> Response: ...


class SentimentClient:
    """One connection to a server, or to every address of a name in turn. A context manager; threads may share it.

    `timeout` (seconds) bounds every call, its retries included; `model_version` is the version to answer, empty for the
    server's default. Calls that find the server away or full are tried again, at most `retries` times. Every method
    raises ClientError when a call fails for good.
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
    ) -> None:
        """Connect when first called. `token` is sent as a bearer token; ValueError if that is without `tls`."""
        self._timeout, self._retries, self._model_version = timeout, retries, model_version
        credentials = channel_credentials(tls, token)
        self._channel = (
            grpc.secure_channel(target, credentials, OPTIONS) if credentials else grpc.insecure_channel(target, OPTIONS)
        )
        self._sentiment = sentiment_pb2_grpc.SentimentServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def classify(self, text: str) -> Classification:
        """Classify one review."""
        request = pb.ClassifyRequest(text=text, model_version=self._model_version)
        return to_classification(self._call(self._sentiment.Classify, request).classification)

    def classify_many(self, texts: Iterable[str], progress: bool = False) -> Iterator[Classification]:
        """Classify any number of reviews, in order.

        They travel TEXTS_PER_CALL a call, CALLS_IN_FLIGHT calls at a time, and are read no further ahead than that.
        With `progress`, a bar on standard error. A refused text's ClientError has its index among all texts.
        """
        waiting = deque[Future[list[Classification]]]()
        parts = in_parts(texts)
        with ThreadPoolExecutor(CALLS_IN_FLIGHT) as pool, progress_bar(texts, progress) as advance:
            for part in islice(parts, CALLS_IN_FLIGHT):
                waiting.append(pool.submit(self._classify_part, part))
            while waiting:
                answers = waiting.popleft().result()
                waiting.extend(pool.submit(self._classify_part, part) for part in islice(parts, 1))
                advance(len(answers))
                yield from answers

    def model(self) -> ModelInfo:
        """The model that answers, and the limits of requests."""
        return to_model_info(
            self._call(self._sentiment.GetModel, pb.GetModelRequest(model_version=self._model_version))
        )

    def health(self) -> str:
        """What the server says of itself: SERVING or NOT_SERVING."""
        response = self._call(self._health.Check, health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
        return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _classify_part(self, part: Part) -> list[Classification]:
        request = pb.ClassifyBatchRequest(texts=part.texts, model_version=self._model_version)
        with part.naming_texts():
            try:
                return [*map(to_classification, self._call(self._sentiment.ClassifyBatch, request).classifications)]
            except ClientError as error:
                first, second = halves(part.texts, error)
                return self._classify_part(first) + self._classify_part(second)

    def _call(self, method: _Method[Request, Response], request: Request) -> Response:
        """Call, and try again while that may help and there is time."""
        deadline = time.monotonic() + self._timeout
        for attempt in count():
            try:
                return method(request, timeout=deadline - time.monotonic())
            except grpc.RpcError as error:
                time.sleep(pause_or_raise(error, attempt, self._retries, deadline))
        raise AssertionError("not reached")  # which mypy cannot know of `count`
