"""The port that all workers listen on."""

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from service.errors import cannot_listen


@contextmanager
def hold_port(host: str, port: int) -> Iterator[int]:
    """Hold a port without listening on it, so that the workers can; 0 becomes a free one.

    Raises PortError if others hold it or listen there: sharing a port is for the workers of one server.
    """
    with ExitStack() as held:
        try:
            _bind(host, port, shared=False).close()
            address, port, *_ = held.enter_context(_bind(host, port, shared=True)).getsockname()
            if sys.platform == "linux":
                # Others could still bind it until a worker listens. Of abstract names no two processes have the same.
                claim = held.enter_context(socket.socket(socket.AF_UNIX))
                claim.bind(f"\0review-sentiment {address}:{port}")
        except OSError as error:
            raise cannot_listen(host, port, "gRPC", error) from error
        yield port


def _bind(host: str, port: int, shared: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that just ended are no hindrance
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
