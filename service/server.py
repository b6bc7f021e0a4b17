"""Builds the whole service, starts it, and stops it without losing an answer."""

import asyncio
import contextlib
import gc
import logging
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from bundle.store import find_versions, load_bundle
from service.calls import Calls
from service.config import MOST, Settings
from service.engine import Engine
from service.errors import address_of, cannot_listen
from service.event_loop import interrupt_others
from service.http_server import HttpServer, loop_lives
from service.inference_servicer import InferenceServicer
from service.messages import LenientServer
from service.metrics import NOTED, Metrics
from service.pb import open_inference_pb2, open_inference_pb2_grpc, sentiment_pb2, sentiment_pb2_grpc
from service.registry import Model, Registry, build_model
from service.scorer import Limits
from service.servicer import SentimentServicer
from service.tracing import Tracer

logger = logging.getLogger(__name__)

SERVICE_NAME = sentiment_pb2.DESCRIPTOR.services_by_name["SentimentService"].full_name
INFERENCE_NAME = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

_MESSAGE_OVERHEAD = 64 * 1024  # bytes of a request beside its texts' own
_MESSAGE = 8 * 2**20  # bytes of a request's texts, if one text may not have more: what is read before it can be refused
_PENDING = 100_000  # calls; more than may be read before the queue is full
_GARBAGE = 20_000  # objects more than before, until Python looks for cycles among them; it takes a few megabytes
_LAST_BYTES = 0.5  # seconds for answers already given to leave, and for health watchers to hear of the end


class Server:
    """One server: `await start()`, then `await stop()`. `grpc_port` and `http_port` are the ones really taken."""

    def __init__(self, settings: Settings, report: Callable[[bool], None] | None = None) -> None:
        """With `report` it is one worker of several: it shares the gRPC port and has no HTTP.

        `report` is told whether it is ready.
        """
        self.settings = settings
        self._report = report
        self.metrics = Metrics(noted=0 if report else NOTED)
        self.grpc_port = self.http_port = 0
        self._ready = False
        self._models: Sequence[Model] = ()
        self._tracer: Tracer | None = None
        self._cleanup = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Listen, load, warm up, and only then say SERVING.

        Raises StartupError or BundleError, with nothing left running.
        """
        async with contextlib.AsyncExitStack() as cleanup:
            self._loop = asyncio.get_running_loop()
            settings = self.settings
            if not self._report:
                http = HttpServer(
                    settings.host, settings.http_port, self.metrics.registry, self._is_live, self._is_ready
                )
                cleanup.push_async_callback(asyncio.to_thread, http.close)
                self.http_port = http.port
            self._grpc = grpc.aio.server(options=self._grpc_options())
            cleanup.push_async_callback(self._grpc.stop, None)
            self.grpc_port = self._listen()

            if settings.otlp_endpoint:
                self._tracer = await asyncio.to_thread(Tracer, settings.otlp_endpoint, settings.trace_ratio)
                cleanup.push_async_callback(asyncio.to_thread, self._tracer.close)
            self._registry = Registry(await asyncio.to_thread(self._load_models))
            self._serve_with(self._registry)
            self.batching = asyncio.create_task(self._registry.run(), name="batching")
            cleanup.push_async_callback(_cancel, self.batching)
            await self._grpc.start()
            await self._set_ready(True)
            self._describe(self._registry.models)
            self._cleanup = cleanup.pop_all()

    async def stop(self) -> bool:
        """Take no new work, answer what was accepted, and close. False if the grace period was too short for that."""
        started = time.monotonic()
        await self._set_ready(False)
        try:
            async with asyncio.timeout(self.settings.grace):
                self._registry.close()
                await self._calls.drain()
            drained = True
        except TimeoutError:
            logger.error("stop: requests were cut off after %g s of grace", self.settings.grace)
            drained = False
        await self._grpc.stop(_LAST_BYTES if drained else None)
        await self._cleanup.aclose()
        logger.info("stopped after %.2f s", time.monotonic() - started)
        return drained

    def sample(self) -> None:
        """Bring up to date what is otherwise asked for at each scrape, which a worker does not see."""
        self.metrics.queue_depth.set(self._waiting())

    def _waiting(self) -> int:
        return sum(len(model.queue) for model in self._models)

    def _load_models(self) -> list[Model]:
        """The versions that the settings name, each loaded, checked and warmed up."""
        settings = self.settings
        limits = Limits(settings.max_text_bytes, settings.max_texts)
        fixed_length = settings.padding == "max_length"
        models = []
        for path in find_versions(settings.models, settings.model_version):
            bundle = load_bundle(path)
            choices = settings.execution_provider, fixed_length, settings.precision, settings.kernel
            engine = Engine(bundle, *choices)
            sizes = settings.max_queue_size, settings.max_batch_size, settings.max_batch_tokens
            models.append(build_model(bundle, engine, limits, self.metrics, *sizes, self._tracer))
        return models

    def _serve_with(self, registry: Registry) -> None:
        self._calls = Calls(self.metrics, self._tracer)
        self._models = registry.models
        self.metrics.queue_depth.set_function(self._waiting)
        self.metrics.queue_capacity.set(sum(model.queue.capacity for model in registry.models))
        sentiment, inference = SentimentServicer(registry, self._calls), InferenceServicer(registry, self._calls)
        lenient: Any = LenientServer(self._grpc)
        sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(sentiment, lenient)
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(inference, lenient)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        names = (SERVICE_NAME, INFERENCE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._grpc)

    def _listen(self) -> int:
        host, port = self.settings.host, self.settings.grpc_port
        try:
            return self._grpc.add_insecure_port(address_of(host, port))
        except RuntimeError as error:
            raise cannot_listen(host, port, "gRPC") from error

    def _grpc_options(self) -> list[tuple[str, int]]:
        settings = self.settings
        texts = min(settings.max_texts * settings.max_text_bytes, max(settings.max_text_bytes, _MESSAGE))
        return [
            ("grpc.max_receive_message_length", min(texts + _MESSAGE_OVERHEAD, MOST)),
            # A client that connects anew asks for the addresses anew; gRPC spreads the ages by a tenth.
            ("grpc.max_connection_age_ms", int(min(settings.max_connection_age * 1000, MOST))),
            # Clients may ping an idle connection this often (milliseconds), to notice one that has died.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            # Calls that gRPC has read and we have not yet. Beyond a thousand it would end some as CANCELLED, which
            # tells a client nothing; our own queue refuses with a status that says what to do.
            ("grpc.server.max_pending_requests", _PENDING),
            ("grpc.server.max_pending_requests_hard_limit", _PENDING),
            # Only for workers of one server: a second server would take half the calls instead of failing.
            ("grpc.so_reuseport", 1 if self._report else 0),
        ]

    async def _set_ready(self, ready: bool) -> None:
        self._ready = ready
        self.metrics.ready.set(ready)
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE_NAME, INFERENCE_NAME):
            await self._health.set(name, status)
        if self._report:
            self._report(ready)

    def _describe(self, models: Sequence[Model]) -> None:
        """Say what is served, in the metrics and in the log."""
        host, requested = self.settings.host, self.settings.execution_provider
        where = f"gRPC on {address_of(host, self.grpc_port)}"
        if not self._report:
            where += f", HTTP on {address_of(host, self.http_port)}"
        for model in models:
            manifest, engine, variant = model.manifest, model.engine, model.engine.graph.variant
            sha256 = manifest.files[variant.model]
            self.metrics.model_info.labels(manifest.name, manifest.version, variant.precision, sha256).set(1)
            self.metrics.kernel_info.labels(manifest.version, engine.kernel).set(1)
            self.metrics.batch_size_limit.labels(manifest.version).set(model.max_batch_size)
            self.metrics.provider_info.labels(requested, engine.provider).set(1)
            logger.info(
                "serving %s version %s in %s on %s by %s, in batches of up to %d: %s",
                *(manifest.name, manifest.version, variant.precision, engine.provider, engine.kernel),
                *(model.max_batch_size, where),
            )
        self.metrics.workers.set(1)
        profile = models[0].manifest.profile
        self.metrics.training_tokens.set(profile.token_count_mean)
        self.metrics.training_truncated.set(profile.truncated_ratio)
        self.metrics.training_unknown.set(profile.unknown_token_ratio_mean)
        self.metrics.training_positive.set(profile.positive_ratio)
        self.metrics.provider_fallback.set(any(model.engine.fell_back for model in models))

    def _is_ready(self) -> bool:
        return self._ready

    def _is_live(self) -> bool:
        return loop_lives(self._loop)


async def serve(server: Server, stopping: asyncio.Event) -> int:
    """Run a server until SIGTERM, SIGINT or `stopping`.

    Returns the exit status: 0 if every accepted request was answered.
    """
    for number in (signal.SIGTERM, signal.SIGINT):  # first: a signal during the start must not be lost
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await server.start()
    # What is there now stays for good: looking through it again and again for garbage took 3% of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    interrupt_others()
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait([signalled, server.batching], return_when=asyncio.FIRST_COMPLETED)
    if server.batching.done():  # it never ends by itself: a fault of ours, and nothing would be answered any more
        logger.critical("the batcher died", exc_info=server.batching.exception())
        return 1
    logger.info("stopping: no new work, up to %g s for the rest", server.settings.grace)
    return 0 if await server.stop() else 1


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
