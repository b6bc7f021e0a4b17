"""Traces, as a collector gets them."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field, replace

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from service.pb import sentiment_pb2 as pb
from service.pb import sentiment_pb2_grpc
from service.server import Server
from tests.service.conftest import FREE_PORTS

CALLER_TRACE, CALLER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """A gRPC server that keeps the spans it is sent."""

    spans: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))  # by name
    port: int = 0

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Keep them."""
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[span.name].append(span)
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[Collector]:
    kept = Collector()
    with futures.ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]
        kept.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield kept
        server.stop(None).wait()


async def answer(collector: Collector, ratio: float, metadata: tuple[tuple[str, str], ...] = ()) -> None:
    """Have a server with tracing answer three reviews in a batch and one in a stream, and stop it."""
    endpoint = f"http://127.0.0.1:{collector.port}"
    server = Server(replace(FREE_PORTS, otlp_endpoint=endpoint, trace_ratio=ratio))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub: sentiment_pb2_grpc.SentimentServiceAsyncStub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        await stub.ClassifyBatch(pb.ClassifyBatchRequest(texts=["good", "bad", "fine"]), metadata=metadata)
        call = stub.ClassifyStream(metadata=metadata)
        await call.write(pb.ClassifyStreamRequest(text="good"))
        await call.read()
        await call.done_writing()
    await server.stop()  # which sends the last spans


async def test_a_trace_has_the_stages_and_its_batch_a_link_to_it(collector: Collector) -> None:
    await answer(collector, ratio=1.0, metadata=(("traceparent", f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"),))
    (request,) = collector.spans["ClassifyBatch"]
    (streamed,) = collector.spans["ClassifyStream"]
    for span in (request, streamed):
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (CALLER_TRACE, CALLER_SPAN)
        assert span.kind == Span.SPAN_KIND_SERVER
    for stage in ("tokenize", "queue", "inference"):
        spans = [span for span in collector.spans[stage] if span.parent_span_id == request.span_id]
        assert len(spans) == 3
        for span in spans:
            assert request.start_time_unix_nano <= span.start_time_unix_nano + 1_000_000  # two clocks
            assert span.end_time_unix_nano <= request.end_time_unix_nano + 1_000_000
    batches = collector.spans["batch"]
    assert {link.span_id for batch in batches for link in batch.links} == {request.span_id, streamed.span_id}
    assert all(batch.trace_id.hex() != CALLER_TRACE for batch in batches)
    sizes = [attribute.value.int_value for attribute in batches[0].attributes if attribute.key == "batch.size"]
    assert sizes == [3]


async def test_callers_decide_before_the_ratio_does(collector: Collector) -> None:
    await answer(collector, ratio=1.0, metadata=(("traceparent", f"00-{CALLER_TRACE}-{CALLER_SPAN}-00"),))
    assert not collector.spans
    await answer(collector, ratio=0.0)
    assert not collector.spans
