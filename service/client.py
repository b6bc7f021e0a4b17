"""A Python client: texts in, `Classification`s out."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.classification import Classification
from service.pb import sentiment_pb2, sentiment_pb2_grpc

DEFAULT_TARGET = "localhost:50051"
TEXTS_PER_CALL = 64


class ClientError(Exception):
    """A call failed: `code` is the status code, the message what the server or the connection said."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code


class SentimentClient:
    """One connection to a server. A context manager; may be shared between threads.

    `timeout` (seconds) bounds every call. Every method raises ClientError when a call fails.
    """

    def __init__(self, target: str = DEFAULT_TARGET, timeout: float = 10.0) -> None:
        self._timeout = timeout
        self._channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", -1)])
        self._sentiment = sentiment_pb2_grpc.SentimentServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def classify(self, text: str) -> Classification:
        """Classify one review."""
        with _errors():
            request = sentiment_pb2.ClassifyRequest(text=text)
            return _from_message(self._sentiment.Classify(request, timeout=self._timeout).classification)

    def classify_many(self, texts: Iterable[str]) -> Iterator[Classification]:
        """Classify any number of reviews, in order, TEXTS_PER_CALL a call, reading no further ahead than that."""
        remaining = iter(texts)
        while part := list(islice(remaining, TEXTS_PER_CALL)):
            with _errors():
                request = sentiment_pb2.ClassifyBatchRequest(texts=part)
                response = self._sentiment.ClassifyBatch(request, timeout=self._timeout)
            yield from map(_from_message, response.classifications)

    def model(self) -> sentiment_pb2.GetModelResponse:
        """The model that answers, and the limits of requests."""
        with _errors():
            return self._sentiment.GetModel(sentiment_pb2.GetModelRequest(), timeout=self._timeout)

    def health(self) -> str:
        """What the server says of itself: SERVING or NOT_SERVING."""
        with _errors():
            response = self._health.Check(health_pb2.HealthCheckRequest(), timeout=self._timeout)  # type: ignore[attr-defined]
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


@contextmanager
def _errors() -> Iterator[None]:
    """Turns gRPC's error into ours."""
    try:
        yield
    except grpc.RpcError as error:
        raise ClientError(error.code(), error.details() or "no details") from error


def _from_message(message: sentiment_pb2.Classification) -> Classification:
    positive = message.sentiment == sentiment_pb2.SENTIMENT_POSITIVE
    return Classification(
        sentiment="positive" if positive else "negative",
        positive_probability=message.positive_probability,
        token_count=message.token_count,
        truncated=message.truncated,
        unknown_token_ratio=message.unknown_token_ratio,
    )
