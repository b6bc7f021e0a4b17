"""The one table from error to gRPC status code, and what a caller is told of each.

docs/errors.md is the table for people; a test holds the two together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from service.errors import Draining, Expired, InvalidRequest, QueueFull, RequestError, UnknownModel

INTERNAL_MESSAGE = "internal error; the server's log has the details"

_END = 150  # characters; one takes up to 12 bytes in a header, and a message goes there twice


@dataclass(frozen=True)
class Rule:
    """What a caller should know of one status code."""

    code: grpc.StatusCode
    when: str
    remedy: str
    retry: bool


# Whatever is not in the table is INTERNAL.
RULES: dict[type[RequestError], Rule] = {
    InvalidRequest: Rule(
        grpc.StatusCode.INVALID_ARGUMENT,
        when="A text is blank, too long or not UTF-8, there are too many, or a tensor is not what the model takes.",
        remedy="Change what `google.rpc.BadRequest` names in the details; `GetModel` tells the limits.",
        retry=False,
    ),
    UnknownModel: Rule(
        grpc.StatusCode.NOT_FOUND,
        when="No model of that name and version is served.",
        remedy="Ask for one that the message names, or leave the version empty for the default.",
        retry=False,
    ),
    QueueFull: Rule(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        when="The queue has no room for the request.",
        remedy="Wait as long as `google.rpc.RetryInfo` says; if it goes on, add servers.",
        retry=True,
    ),
    Expired: Rule(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        when="The caller's deadline passed first.",
        remedy="Allow more time, or send less at once.",
        retry=False,
    ),
    Draining: Rule(
        grpc.StatusCode.UNAVAILABLE,
        when="The server is shutting down, or cannot be reached.",
        remedy="Try again, on another server if there is one.",
        retry=True,
    ),
}
INTERNAL = Rule(
    grpc.StatusCode.INTERNAL,
    when="A fault of the server.",
    remedy="Look for it in the server's log; the status tells nothing more.",
    retry=False,
)


def rule_of(error: Exception) -> Rule:
    """The table's entry for an error, or INTERNAL."""
    return next((rule for kind, rule in RULES.items() if isinstance(error, kind)), INTERNAL)


def to_status(error: Exception) -> status_pb2.Status:
    """The status that tells a caller of an error: its code, its message and the standard details."""
    code = rule_of(error).code
    message = INTERNAL_MESSAGE if code is grpc.StatusCode.INTERNAL else _brief(str(error))
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in _details(error):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _brief(message: str) -> str:
    """Without the middle, if it repeats so much of the request that the status would not fit into 8 KiB of headers."""
    return message if len(message) <= 2 * _END else f"{message[:_END]} ... {message[-_END:]}"


def _details(error: Exception) -> Iterator[Message]:
    if isinstance(error, InvalidRequest):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=_brief(error.message))
        yield error_details_pb2.BadRequest(field_violations=[violation])
    if isinstance(error, QueueFull):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        yield retry
