"""What every method does around its work: it is counted, timed, logged, and waited for when the server stops."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from itertools import product
from typing import Any, NoReturn, TypeVar

import grpc
from google.rpc import status_pb2
from grpc_status import rpc_status

from service.errors import InferenceError, RequestError
from service.logs import RefusalLog
from service.metrics import Metrics
from service.statuses import rule_of, to_status
from service.tracing import Tracer

logger = logging.getLogger(__name__)

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]

# Methods that answer reviews, and the codes by which the service itself fails them: what objectives count.
METHODS = ("Classify", "ClassifyBatch", "ClassifyStream", "ModelInfer")
FAILURES = ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "INTERNAL")

# A caller's time begins when it sends and ours when we read, which is later the busier we are. So a call that ends this
# near to its deadline ended of it: within a share of its timeout, but not more than so many seconds, and not less.
_NEAR, _MOST_NEAR, _LEAST_NEAR = 0.1, 0.25, 0.01


class Calls:
    """The calls being answered, of every service of one server."""

    def __init__(self, metrics: Metrics, tracer: Tracer | None = None) -> None:
        self.draining = False
        self._metrics = metrics
        self._tracer = tracer
        self._refusals = RefusalLog(logger)
        self._open = _OpenCalls()
        self._readers: set[asyncio.Task[None]] = set()
        for method, code in product(METHODS, (grpc.StatusCode.OK.name, *FAILURES)):
            metrics.request(method, code)  # there from the start, or a rate would miss the first of each

    async def drain(self) -> None:
        """Stop reading streams, and wait until every open call is answered."""
        self.draining = True
        for reader in self._readers:
            reader.cancel()
        await self._open.none.wait()

    async def unary(self, method: str, work: Awaitable[T], context: Context) -> T:
        """What `work` gives; a call whose work fails is aborted with the status that says why."""
        with self.open():
            outcome = await self.answer(method, work, context)
        return await abort(context, outcome) if isinstance(outcome, status_pb2.Status) else outcome

    def answer(self, method: str, work: Awaitable[T], context: Context) -> Awaitable[T | status_pb2.Status]:
        """What `work` gives, or the status that refuses it; counted, timed, traced and logged either way."""
        if self._tracer:
            return self._traced(self._tracer, method, work, context)
        return self._answer(method, work, context)  # without a coroutine of its own, for there is one a request

    async def _traced(self, tracer: Tracer, method: str, work: Awaitable[T], context: Context) -> T | status_pb2.Status:
        with tracer.request(method, _metadata(context)):
            return await self._answer(method, work, context)

    async def _answer(self, method: str, work: Awaitable[T], context: Context) -> T | status_pb2.Status:
        started = time.perf_counter()
        self._metrics.in_flight.inc()
        code = grpc.StatusCode.OK
        try:
            return await work
        except asyncio.CancelledError:  # by the caller, or by gRPC at the caller's deadline
            late = ended_of_deadline(context.time_remaining(), time.perf_counter() - started)
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        except Exception as error:
            code = rule_of(error).code
            self._note(method, error)
            return to_status(error)
        finally:
            self._metrics.in_flight.dec()
            self._metrics.request(method, code.name).observe(time.perf_counter() - started)

    def open(self) -> "_OpenCalls":
        """A call that the server waits for when it stops, as a context."""
        return self._open

    def add_reader(self, reader: asyncio.Task[None]) -> None:
        """A task that reads a stream, to be cancelled when the server stops; what it handed on is still answered."""
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)

    def _note(self, method: str, error: Exception) -> None:
        if isinstance(error, RequestError):
            self._metrics.rejected.labels(error.reason).inc()
            self._refusals.add(method, error.reason)
        elif not isinstance(error, InferenceError):  # that one the batcher has logged, once for its whole batch
            logger.error("%s failed", method, exc_info=error)


class _OpenCalls:
    """Counts those who are inside it; one object for all of them, for there is one entry a request."""

    def __init__(self) -> None:
        self.none = asyncio.Event()
        self.none.set()
        self._count = 0

    def __enter__(self) -> None:
        self._count += 1
        self.none.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self.none.set()


async def abort(context: Context, status: status_pb2.Status) -> NoReturn:
    """End a call with a status."""
    try:
        await context.abort_with_status(rpc_status.to_status(status))
    except grpc.aio.InternalError as error:  # the caller has gone: there is nobody to tell
        raise asyncio.CancelledError from error


def deadline_of(context: Context) -> float | None:
    """The caller's deadline as a time of `time.monotonic`, if it has one."""
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


def ended_of_deadline(remaining: float | None, elapsed: float) -> bool:
    """Whether a call's deadline is so near that it is why the call ended; the two, in seconds, are its timeout."""
    if remaining is None:
        return False
    return remaining <= max(_LEAST_NEAR, min(_NEAR * (remaining + elapsed), _MOST_NEAR))


def _metadata(context: Context) -> dict[str, str]:
    """What the caller sent beside the request, as far as it is text."""
    metadata = context.invocation_metadata() or ()
    return {name: value for name, value in metadata if isinstance(value, str)}
