"""How requests are read: one that cannot be is refused like any other, and its stream goes on."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from service.errors import unreadable


class Unreadable:
    """Stands for a request that could not be read: whoever asks for what was in it raises InvalidRequest."""

    id = ""  # what an answer in a stream repeats

    def __getattr__(self, field: str) -> NoReturn:
        raise unreadable()


class LenientServer:
    """What generated code registers its methods with, so that `server` hands each of them every request.

    gRPC itself would end the call as UNKNOWN, a stream with all its reviews, and log a traceback.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Nothing: the same methods come to `add_registered_method_handlers`, each by its name."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """The methods of a service."""
        lenient = {
            name: handler._replace(request_deserializer=_lenient(handler.request_deserializer))
            for name, handler in handlers.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, lenient),))
        self._server.add_registered_method_handlers(service, lenient)


def _lenient(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read_or_refuse(message: bytes) -> Any:
        try:
            return read(message)
        except DecodeError:
            return Unreadable()

    return read_or_refuse
