"""Traces by OpenTelemetry, for a server that is told where to send them: which part of a request took how long.

    Classify            the request: a child of the caller's span, if its metadata name one (W3C trace context)
    |- tokenize
    |- queue
    '- inference
    batch               what ran together: a trace of its own, with a link to every request in it

Spans of stages are written down once their times are known, which are of `time.monotonic` throughout. A server without
tracing has no Tracer, asks that at each stage, and does nothing.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.errors import TracingError

if TYPE_CHECKING:
    from opentelemetry.context import Context


class Tracer:
    """Sends spans to an OTLP collector, from a thread of its own."""

    def __init__(self, endpoint: str, sample_ratio: float) -> None:
        """`endpoint` as in http://localhost:4317; `sample_ratio` (0 to 1) of the traces that callers did not begin.

        Raises TracingError where OpenTelemetry is not installed.
        """
        try:
            from opentelemetry import context, propagate, trace
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider, sampling
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            reason = f"tracing needs OpenTelemetry ({error}): pip install '.[tracing]' in the repository's folder"
            raise TracingError(reason) from error
        self._context, self._propagate, self._trace = context, propagate, trace
        resource = Resource.create({"service.name": "review-sentiment"})
        self._processor = BatchSpanProcessor(OTLPSpanExporter(endpoint))

        def tracer(sampler: sampling.Sampler) -> trace.Tracer:
            provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
            provider.add_span_processor(self._processor)
            return provider.get_tracer("service")

        self._requests = tracer(sampling.ParentBasedTraceIdRatio(sample_ratio))
        self._batches = tracer(sampling.ALWAYS_ON)  # of those that have a sampled request in them

    @contextmanager
    def request(self, method: str, metadata: Mapping[str, str]) -> Iterator[None]:
        """The span of a request, current while it is answered."""
        parent = self._propagate.extract(metadata)
        with self._requests.start_as_current_span(method, parent, kind=self._trace.SpanKind.SERVER):
            yield

    def current(self) -> "Context":
        """The context of the request that is being answered."""
        return self._context.get_current()

    def stage(self, name: str, request: "Context", started: float, ended: float) -> None:
        """Write down a stage of a request."""
        self._requests.start_span(name, request, start_time=_epoch(started)).end(_epoch(ended))

    def batch(self, requests: "list[Context]", tokens: int, started: float, ended: float) -> None:
        """Write down a batch of so many tokens, padding included, and its requests' inference."""
        spans = [self._trace.get_current_span(request).get_span_context() for request in requests]
        links = [self._trace.Link(span) for span in spans if span.trace_flags.sampled]
        if not links:
            return
        attributes = {"batch.size": len(requests), "batch.tokens": tokens}
        nobody = self._context.Context()
        span = self._batches.start_span("batch", nobody, attributes=attributes, links=links, start_time=_epoch(started))
        span.end(_epoch(ended))
        for request in requests:
            self.stage("inference", request, started, ended)

    def close(self) -> None:
        """Send what is left; takes as long as the collector."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def _epoch(monotonic: float) -> int:
    """Nanoseconds since 1970."""
    return time.time_ns() - int((time.monotonic() - monotonic) * 1e9)
