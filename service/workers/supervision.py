"""Builds what stands around the workers, runs them, and takes it down again."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

from bundle.store import find_versions
from service.config import PREFIX, Settings, to_environment
from service.errors import address_of
from service.http_server import HttpServer, loop_lives
from service.metrics import Metrics
from service.workers.child import Child
from service.workers.port import hold_port
from service.workers.shared_metrics import count_as, merged_registry, metrics_folder
from service.workers.supervisor import Supervisor

logger = logging.getLogger(__name__)


async def supervise(settings: Settings) -> int:
    """Serve with several workers until SIGTERM or SIGINT; returns the exit status: 0 if every accepted request was
    answered, or that of a worker that could not start.

    Raises PortError, or BundleError if a version is not there.
    """
    with ExitStack() as stack:
        stack.enter_context(metrics_folder())
        count_as("supervisor")
        port = stack.enter_context(hold_port(settings.host, settings.grpc_port))
        environment = _environment(settings, port)
        children = [Child(number + 1, environment) for number in range(settings.worker_count)]
        supervisor = Supervisor(children, Metrics())
        _end_at_signals(supervisor)
        http = _http(settings, supervisor)
        stack.callback(http.close)
        where = f"gRPC on {address_of(settings.host, port)}, HTTP on {address_of(settings.host, http.port)}"
        status = await supervisor.run(f"serving with {len(children)} workers: {where}")
        logger.info("stopped with all workers")
    return status


def _environment(settings: Settings, port: int) -> Mapping[str, str]:
    """A worker's: these very settings, wherever ours came from, with what is to be the same for all and for ever."""
    versions = ",".join(path.name for path in find_versions(settings.models, settings.model_version))
    one = replace(settings, workers="1", grpc_port=port, model_version=versions)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return ours | to_environment(one) | {"PYTHONPATH": os.pathsep.join(sys.path)}  # the same code, too


def _http(settings: Settings, supervisor: Supervisor) -> HttpServer:
    loop, registry = asyncio.get_running_loop(), merged_registry(lambda: supervisor.pids)
    return HttpServer(settings.host, settings.http_port, registry, lambda: loop_lives(loop), supervisor.is_ready)


def _end_at_signals(supervisor: Supervisor) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.ending.set)
