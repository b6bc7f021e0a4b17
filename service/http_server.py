"""HTTP for machines: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever restarts or routes."""

import asyncio
import concurrent.futures
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from service.errors import cannot_listen

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Probe = Callable[[], bool]

LOOP_LIVES_WITHIN = 2.0  # seconds in which a live event loop takes a turn


def loop_lives(loop: asyncio.AbstractEventLoop) -> bool:
    """Asked from another thread: does the event loop take its turns?"""
    turn = concurrent.futures.Future[None]()
    loop.call_soon_threadsafe(turn.set_result, None)
    return not concurrent.futures.wait([turn], timeout=LOOP_LIVES_WITHIN).not_done


class _Server6(ThreadingWSGIServer):
    address_family = socket.AF_INET6


class _QuietHandler(WSGIRequestHandler):
    timeout = 10  # seconds in which a request must come: each connection has a thread

    def handle(self) -> None:
        with contextlib.suppress(TimeoutError):
            super().handle()

    def log_message(self, format: str, *arguments: object) -> None:
        """Scrapes and probes are not worth a line each."""


class HttpServer:
    """Serves from threads of its own, so that it answers whatever the event loop is doing."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, live: Probe, ready: Probe) -> None:
        """Listen at once. Raises PortError if that cannot be."""
        self._metrics_app = make_wsgi_app(registry)
        self._probes = {"/livez": live, "/readyz": ready}
        try:
            kind = _Server6 if ":" in host else ThreadingWSGIServer
            self._server = make_server(host, port, self._app, server_class=kind, handler_class=_QuietHandler)
        except OSError as error:
            raise cannot_listen(host, port, "HTTP", error) from error
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return cast(Iterable[bytes], self._metrics_app(environ, start_response))
        if probe := self._probes.get(path):
            good = probe()
            start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"ok\n" if good else b"no\n"]
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"there are /metrics, /livez and /readyz\n"]
