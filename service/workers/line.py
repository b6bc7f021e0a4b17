"""The line between a worker and its supervisor.

The worker says a byte whenever that changes and once a second: whether it is ready. The supervisor says nothing. When
it hangs up, or is no more, the worker answers what it has accepted, and ends.
"""

import asyncio
from typing import cast

READY, NOT_READY = b"+", b"-"
BEAT = 1.0  # seconds between two bytes


class Line(asyncio.Protocol):
    """The worker's end."""

    def __init__(self, hung_up: asyncio.Event) -> None:
        self._hung_up = hung_up
        self._last = NOT_READY

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def eof_received(self) -> bool:
        """Called by asyncio; the supervisor may still listen."""
        self._hung_up.set()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio."""
        self._hung_up.set()

    def tell(self, ready: bool) -> None:
        """Whether this worker takes requests."""
        self._last = READY if ready else NOT_READY
        self.beat()

    def beat(self) -> None:
        """Say the same once more."""
        if not self._transport.is_closing():
            self._transport.write(self._last)
