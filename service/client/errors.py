"""What a failed call raises, and whether and when it is worth another try."""

import random
import time
from typing import TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

RETRIES = 4
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds, before jitter

Detail = TypeVar("Detail", error_details_pb2.BadRequest, error_details_pb2.RetryInfo)


class ClientError(Exception):
    """A call failed: `code` is the status code, `message` what the server or the connection said.

    `field` names what to change in a request that was refused as invalid, as in "texts[3]".
    """

    def __init__(self, code: grpc.StatusCode, message: str, field: str | None = None) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.field = field


def to_client_error(error: grpc.RpcError) -> ClientError:
    """Our error for gRPC's."""
    refusal = _detail(error, error_details_pb2.BadRequest)
    field = refusal.field_violations[0].field if refusal and refusal.field_violations else None
    return ClientError(error.code(), error.details() or "no details", field)


def pause_before_retry(error: grpc.RpcError, attempt: int) -> float | None:
    """Seconds to wait before a call is tried again after its try number `attempt`, from 0; None where it is no use.

    A server that cannot be reached or shuts down is tried again after an exponentially growing pause with full jitter
    (Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015). One whose queue is full says how long that
    takes; RESOURCE_EXHAUSTED without such word is a message too large for gRPC, and will be so again.
    """
    backoff = random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return backoff
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        retry = _detail(error, error_details_pb2.RetryInfo)
        return None if retry is None else retry.retry_delay.ToTimedelta().total_seconds() + backoff
    return None


def pause_or_raise(error: grpc.RpcError, attempt: int, retries: int, deadline: float) -> float:
    """The same, for a call that may be tried again `retries` times and until `deadline`, a time of `time.monotonic`.

    Raises the call's ClientError where it is not to be tried again.
    """
    pause = pause_before_retry(error, attempt)
    if pause is None or attempt >= retries or time.monotonic() + pause >= deadline:
        raise to_client_error(error) from error
    return pause


def _detail(error: grpc.RpcError, kind: type[Detail]) -> Detail | None:
    """The first detail of a kind in the error's google.rpc.Status, if it has one."""
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has what a Call has
    except ValueError:  # a proxy changed the code or the message on the way
        return None
    for packed in status.details if status else ():
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None
