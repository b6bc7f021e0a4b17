"""Protobuf to scorer and back; the one table from errors to status codes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from bundle.manifest import Manifest, Provider, Variant
from service.classification import Classification
from service.errors import Draining, Expired, InferenceError, InvalidRequest, QueueFull, RequestError
from service.logs import RefusalLog
from service.metrics import Metrics
from service.pb import sentiment_pb2 as pb
from service.pb import sentiment_pb2_grpc
from service.scorer import Scorer

logger = logging.getLogger(__name__)

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]

# The one table from error to status code. Whatever is not in it is INTERNAL.
STATUS_CODES: dict[type[RequestError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Expired: grpc.StatusCode.DEADLINE_EXCEEDED,
    Draining: grpc.StatusCode.UNAVAILABLE,
}
INTERNAL_MESSAGE = "internal error; the server's log has the details"

# Reviews of one stream that are being answered at a time; while so many are, the stream is not read on.
STREAM_WINDOW = 64

# Methods that are counted and timed.
METHODS = ("Classify", "ClassifyBatch", "ClassifyStream")

# Seconds by which gRPC, on a clock of its own, may find a deadline passed before we do.
_CLOCKS_APART = 0.01

_SENTIMENTS = {
    "negative": pb.SENTIMENT_NEGATIVE,
    "positive": pb.SENTIMENT_POSITIVE,
}


def status_code(error: Exception) -> grpc.StatusCode:
    """The code that the table gives an error, or INTERNAL."""
    return next((code for kind, code in STATUS_CODES.items() if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def to_status(error: Exception) -> status_pb2.Status:
    """The status that tells a caller of an error: its code, its message and the standard details."""
    code = status_code(error)
    message = INTERNAL_MESSAGE if code is grpc.StatusCode.INTERNAL else str(error)
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in _details(error):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _details(error: Exception) -> Iterator[Message]:
    if isinstance(error, InvalidRequest):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        yield error_details_pb2.BadRequest(field_violations=[violation])
    if isinstance(error, QueueFull):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        yield retry


class SentimentServicer(sentiment_pb2_grpc.SentimentServiceServicer):
    """Answers sentiment.v1.SentimentService."""

    def __init__(
        self, scorer: Scorer, manifest: Manifest, variant: Variant, provider: Provider, metrics: Metrics
    ) -> None:
        self._scorer = scorer
        self._manifest = manifest
        self._variant = variant
        self._provider = provider
        self._metrics = metrics
        self._refusals = RefusalLog(logger)
        self._open_calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._readers: set[asyncio.Task[None]] = set()
        for method in METHODS:  # there from the start, or a rate would miss the first of each
            metrics.request(method, grpc.StatusCode.OK.name)

    async def drain(self) -> None:
        """Refuse new work, stop reading streams, and wait until everything accepted is answered."""
        self._scorer.close()
        for reader in self._readers:
            reader.cancel()
        await self._idle.wait()

    async def Classify(self, request: pb.ClassifyRequest, context: Context) -> pb.ClassifyResponse:
        """Answer one review."""
        deadline = _deadline(context)
        work = self._scorer.classify(request.text, deadline)
        answer = await self._unary("Classify", work, context, deadline)
        return pb.ClassifyResponse(classification=_to_message(answer), model_version=self._manifest.version)

    async def ClassifyBatch(self, request: pb.ClassifyBatchRequest, context: Context) -> pb.ClassifyBatchResponse:
        """Answer several reviews, in the order asked."""
        deadline = _deadline(context)
        work = self._scorer.classify_many(request.texts, deadline)
        answers = await self._unary("ClassifyBatch", work, context, deadline)
        return pb.ClassifyBatchResponse(classifications=map(_to_message, answers), model_version=self._manifest.version)

    async def ClassifyStream(  # type: ignore[override]  # gRPC takes a handler that writes, too
        self, request_iterator: AsyncIterable[pb.ClassifyStreamRequest], context: Context
    ) -> None:
        """Answer reviews as they come, up to STREAM_WINDOW of them at a time."""
        if self._scorer.closed:  # or its reader would keep the server waiting
            await _abort(context, to_status(Draining()))
        window = asyncio.Semaphore(STREAM_WINDOW)
        writing = asyncio.Lock()  # gRPC takes one write at a time
        deadline = _deadline(context)

        async def answer(request: pb.ClassifyStreamRequest) -> None:
            try:
                work = self._scorer.classify(request.text, deadline)
                outcome = await self._answer("ClassifyStream", work, deadline)
                async with writing:
                    with suppress(grpc.aio.InternalError):  # the caller has gone; gRPC cancels this handler next
                        await context.write(self._stream_response(request.id, outcome))
            finally:
                window.release()

        async def read(answers: asyncio.TaskGroup) -> None:
            async for request in request_iterator:
                await window.acquire()
                answers.create_task(answer(request))

        with self._open_call():
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(read(tasks))
                self._readers.add(reader)
                reader.add_done_callback(self._readers.discard)
        if reader.cancelled():
            await _abort(context, to_status(Draining()))

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Describe the model and the limits."""
        manifest, limits = self._manifest, self._scorer.limits
        return pb.GetModelResponse(
            name=manifest.name,
            version=manifest.version,
            max_length=manifest.tokenizer.max_length,
            vocabulary_size=manifest.architecture.vocabulary_size,
            threshold=manifest.threshold,
            test_accuracy=self._variant.metrics["accuracy"],
            execution_provider=self._provider,
            precision=self._variant.precision,
            max_text_bytes=limits.max_text_bytes,
            max_texts=limits.max_texts,
        )

    async def _unary(self, method: str, work: Awaitable[T], context: Context, deadline: float | None) -> T:
        with self._open_call():
            outcome = await self._answer(method, work, deadline)
        return await _abort(context, outcome) if isinstance(outcome, status_pb2.Status) else outcome

    async def _answer(self, method: str, work: Awaitable[T], deadline: float | None) -> T | status_pb2.Status:
        """What `work` gives, or the status that refuses it; counted, timed and logged either way."""
        started = time.perf_counter()
        self._metrics.in_flight.inc()
        code = grpc.StatusCode.OK
        try:
            return await work
        except asyncio.CancelledError:  # by the caller, or by gRPC at the caller's deadline
            late = deadline is not None and time.monotonic() >= deadline - _CLOCKS_APART
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        except Exception as error:
            code = status_code(error)
            self._note(method, error)
            return to_status(error)
        finally:
            self._metrics.in_flight.dec()
            self._metrics.request(method, code.name).observe(time.perf_counter() - started)

    def _note(self, method: str, error: Exception) -> None:
        if isinstance(error, RequestError):
            self._metrics.rejected.labels(error.reason).inc()
            self._refusals.add(method, error.reason)
        elif not isinstance(error, InferenceError):  # that one the batcher has logged, once for its whole batch
            logger.error("%s failed", method, exc_info=error)

    def _stream_response(
        self, request_id: str, outcome: Classification | status_pb2.Status
    ) -> pb.ClassifyStreamResponse:
        response = pb.ClassifyStreamResponse(id=request_id, model_version=self._manifest.version)
        if isinstance(outcome, status_pb2.Status):
            response.error.CopyFrom(outcome)
        else:
            response.classification.CopyFrom(_to_message(outcome))
        return response

    @contextmanager
    def _open_call(self) -> Iterator[None]:
        self._open_calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._open_calls -= 1
            if not self._open_calls:
                self._idle.set()


async def _abort(context: Context, status: status_pb2.Status) -> NoReturn:
    try:
        await context.abort_with_status(rpc_status.to_status(status))
    except grpc.aio.InternalError as error:  # the caller has gone: there is nobody to tell
        raise asyncio.CancelledError from error


def _deadline(context: Context) -> float | None:
    """The caller's deadline as a time of `time.monotonic`, if it has one."""
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


def _to_message(answer: Classification) -> pb.Classification:
    return pb.Classification(
        sentiment=_SENTIMENTS[answer.sentiment],
        positive_probability=answer.positive_probability,
        token_count=answer.token_count,
        truncated=answer.truncated,
        unknown_token_ratio=answer.unknown_token_ratio,
    )
