"""Everything that can go wrong by design.

    SentimentError
    |- RequestError           one request is refused; the table in statuses.py gives each kind its status code
    |  |- InvalidRequest      the caller must change it: blank, too long, unreadable, a tensor that does not fit
    |  |- UnknownModel        no such model or version is served
    |  |- QueueFull           too much is waiting: try again later
    |  |- Expired             its deadline passed before it ran
    |  '- Draining            the server is shutting down: try another
    |- InferenceError         the engine failed on a batch; the cause is in the log
    '- StartupError           the server does not start
       |- ConfigError         a setting is wrong or unknown
       |- ProviderError       the execution provider asked for cannot be used
       |- KernelError         the kernel asked for cannot be used
       |- PortError           an address cannot be listened on
       '- TracingError        traces cannot be sent

`bundle.manifest.BundleError` stands beside StartupError: a bundle that must not be served.
"""

import errno
from typing import Literal

_OF_PORTS = {errno.EADDRINUSE, errno.EACCES}  # what another port may be free of

# Why a request is refused: the label of the rejection metric and of the log line.
Reason = Literal[
    "blank_text",
    "text_too_long",
    "too_many_texts",
    "invalid_tensor",
    "unreadable",
    "unknown_model",
    "queue_full",
    "expired",
    "draining",
]


class SentimentError(Exception):
    """Base of the service's errors."""


class RequestError(SentimentError):
    """One request is refused."""

    reason: Reason


class InvalidRequest(RequestError):
    """The request breaks a rule: `field` names where, as in "texts[3]", and the message says which."""

    def __init__(self, reason: Reason, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.reason = reason
        self.field = field
        self.message = message


def blank_text(field: str) -> InvalidRequest:
    """A text without a visible character."""
    return InvalidRequest("blank_text", field, "is blank; send a text with at least one visible character")


def text_too_long(field: str, size: int, most: int) -> InvalidRequest:
    """A text of `size` bytes where `most` are allowed."""
    return InvalidRequest("text_too_long", field, f"has {size} bytes of UTF-8; send at most {most}")


def unreadable() -> InvalidRequest:
    """A request that is not protobuf of its method."""
    words = "cannot be read; send the message that this method takes, with every string in UTF-8"
    return InvalidRequest("unreadable", "request", words)


class UnknownModel(RequestError):
    """No model of that name and version is served; the message names those that are."""

    reason = "unknown_model"


class QueueFull(RequestError):
    """No room for the request now; `retry_after` is the time (seconds) in which what waits should be done."""

    reason = "queue_full"

    def __init__(self, waiting: int, capacity: int, retry_after: float) -> None:
        super().__init__(f"{waiting} of {capacity} places in the queue are taken; try again in {retry_after:.3f} s")
        self.retry_after = retry_after


class Expired(RequestError):
    """The caller's deadline passed while the review waited."""

    reason = "expired"

    def __init__(self) -> None:
        super().__init__("the deadline passed before the review was classified")


class Draining(RequestError):
    """The server takes no new work."""

    reason = "draining"

    def __init__(self) -> None:
        super().__init__("the server is shutting down; send the request to another one")


class InferenceError(SentimentError):
    """The engine failed on the batch that the review was in."""

    def __init__(self) -> None:
        super().__init__("the model failed on this batch")


class StartupError(SentimentError):
    """The server does not start; the message says what to do."""


class ConfigError(StartupError):
    """A setting is wrong or unknown."""


class ProviderError(StartupError):
    """The execution provider that was asked for cannot be used."""


class KernelError(StartupError):
    """The kernel that was asked for cannot be used."""


class PortError(StartupError):
    """An address cannot be listened on."""


def cannot_listen(host: str, port: int, protocol: Literal["gRPC", "HTTP"], cause: OSError | None = None) -> PortError:
    """An address cannot be listened on, for want of a free port if no `cause` is known."""
    flag = "--host" if cause and cause.errno not in _OF_PORTS else f"--{protocol.lower()}-port"
    reason = cause.strerror if cause else "it may be in use"
    return PortError(f"cannot listen on {address_of(host, port)} for {protocol}: {reason}; choose another {flag}")


def address_of(host: str, port: int) -> str:
    """Both in one, as gRPC takes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class TracingError(StartupError):
    """Traces cannot be sent."""
