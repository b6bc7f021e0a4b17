"""The real server, over real connections."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from bundle.padding import Sequences
from bundle.store import Bundle
from service.engine import Engine
from service.errors import PortError
from service.pb import sentiment_pb2 as pb
from service.pb import sentiment_pb2_grpc
from service.server import SERVICE_NAME, Server
from service.statuses import INTERNAL_MESSAGE
from tests.service.conftest import FREE_PORTS, detail_of, fetch, in_flight

if TYPE_CHECKING:
    Stub = sentiment_pb2_grpc.SentimentServiceAsyncStub


async def test_golden_answers_come_back_by_every_method(stub: "Stub", shipped: Bundle) -> None:
    golden = shipped.graph_for("cpu").golden

    async def requests() -> AsyncIterator[pb.ClassifyStreamRequest]:
        for index, answer in enumerate(golden):
            yield pb.ClassifyStreamRequest(id=str(index), text=answer.text)

    expected = pytest.approx([answer.positive_probability for answer in golden], abs=1e-5)
    unary = [await stub.Classify(pb.ClassifyRequest(text=answer.text)) for answer in golden]
    assert [answer.classification.positive_probability for answer in unary] == expected
    batch = await stub.ClassifyBatch(pb.ClassifyBatchRequest(texts=[answer.text for answer in golden]))
    assert [answer.positive_probability for answer in batch.classifications] == expected
    streamed = {answer.id: answer async for answer in stub.ClassifyStream(requests())}
    in_order = [streamed[str(index)] for index in range(len(golden))]
    assert [answer.classification.positive_probability for answer in in_order] == expected
    versions = {answer.model_version for answer in unary} | {answer.model_version for answer in in_order}
    assert versions | {batch.model_version} == {shipped.manifest.version}


async def test_a_classification_says_what_was_read(stub: "Stub") -> None:
    answer = (await stub.Classify(pb.ClassifyRequest(text="good " * 600))).classification
    assert (answer.token_count, answer.truncated, answer.unknown_token_ratio) == (500, True, 0)
    answer = (await stub.Classify(pb.ClassifyRequest(text="\U0001f600"))).classification
    assert (answer.token_count, answer.truncated, answer.unknown_token_ratio) == (1, False, 1)


async def test_get_model_describes_model_and_limits(stub: "Stub", server: Server, shipped: Bundle) -> None:
    model = await stub.GetModel(pb.GetModelRequest())
    assert (model.name, model.version, model.max_length) == ("imdb-lstm", shipped.manifest.version, 500)
    variant = shipped.graph_for("cpu").variant
    assert (model.precision, model.test_accuracy) == (variant.precision, variant.metrics["accuracy"])
    assert (model.max_texts, model.max_text_bytes) == (server.settings.max_texts, server.settings.max_text_bytes)


async def test_a_limit_of_a_batch_is_told_and_kept(shipped: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    server, sizes, run = Server(replace(FREE_PORTS, max_batch_size=3)), list[int](), Engine.run

    def noting(self: Engine, sequences: Sequences) -> Sequence[float]:
        sizes.append(len(sequences))
        return run(self, sequences)

    await server.start()
    monkeypatch.setattr(Engine, "run", noting)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub: Stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        assert (await stub.GetModel(pb.GetModelRequest())).max_batch_size == 3
        await stub.ClassifyBatch(pb.ClassifyBatchRequest(texts=["good"] * 8))
    labels = {"version": shipped.manifest.version}
    assert server.metrics.registry.get_sample_value("sentiment_batch_size_limit", labels) == 3
    await server.stop()
    assert sizes == [3, 3, 2]


async def test_several_versions_answer_side_by_side(shipped: Bundle) -> None:
    server = Server(replace(FREE_PORTS, model_version="1,2"))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub: Stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        texts = [answer.text for answer in shipped.graph_for("cpu").golden]
        answers = {
            version: await stub.ClassifyBatch(pb.ClassifyBatchRequest(texts=texts, model_version=version))
            for version in ("", "1", "2")
        }
        model = await stub.GetModel(pb.GetModelRequest(model_version="2"))
        with pytest.raises(grpc.aio.AioRpcError, match="only 1, 2") as unknown:
            await stub.Classify(pb.ClassifyRequest(text="good", model_version="3"))
        stream = stub.ClassifyStream()
        await stream.write(pb.ClassifyStreamRequest(text="good", model_version="3"))
        streamed = await stream.read()
        await stream.done_writing()
    await server.stop()
    assert {version: answer.model_version for version, answer in answers.items()} == {"": "1", "1": "1", "2": "2"}
    assert answers[""] == answers["1"] != answers["2"]
    assert (model.version, list(model.served_versions)) == ("2", ["1", "2"])
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    assert isinstance(streamed, pb.ClassifyStreamResponse)
    assert streamed.error.code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize(
    ("texts", "field", "words"),
    [
        (["fine", " "], "texts[1]", "is blank"),
        (["a" * 65_537], "texts[0]", "has 65537 bytes of UTF-8; send at most 65536"),
        (["a"] * 513, "texts", "has 513 texts; send at most 512"),
        (["a" * 16_384] * 512 + ["a"], "texts", "has 513 texts"),  # 8 MiB are not too much for gRPC itself
    ],
)
async def test_a_request_that_breaks_a_rule_is_told_which(
    stub: "Stub", texts: list[str], field: str, words: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=words) as refused:
        await stub.ClassifyBatch(pb.ClassifyBatchRequest(texts=texts))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = detail_of(refused.value, error_details_pb2.BadRequest).field_violations
    assert violation.field == field
    assert words in violation.description


async def test_a_message_of_more_than_8_mib_is_not_read(stub: "Stub") -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="Received message larger than max") as refused:
        await stub.ClassifyBatch(pb.ClassifyBatchRequest(texts=["a" * 65_536] * 130))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert rpc_status.from_call(refused.value) is None  # type: ignore[arg-type]  # nothing says that it may pass later


async def test_a_refused_text_of_a_stream_leaves_the_stream_open(stub: "Stub") -> None:
    call = stub.ClassifyStream()
    for number, text in enumerate(["good", " ", "bad"]):
        await call.write(pb.ClassifyStreamRequest(id=str(number), text=text))
        answer = await call.read()
        assert isinstance(answer, pb.ClassifyStreamResponse)
        assert answer.id == str(number)
        assert answer.WhichOneof("outcome") == ("error" if text == " " else "classification")
        if text == " ":
            assert answer.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_full_queue_says_when_to_try_again(gate: threading.Event) -> None:
    server = Server(replace(FREE_PORTS, max_queue_size=2, max_texts=2))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub: Stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        gate.clear()
        accepted = [asyncio.ensure_future(stub.Classify(pb.ClassifyRequest(text="good")))]
        await in_flight(server, 1)
        accepted += [asyncio.ensure_future(stub.Classify(pb.ClassifyRequest(text="good"))) for _ in range(2)]
        await in_flight(server, 3)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Classify(pb.ClassifyRequest(text="good"))
        gate.set()
        answers = await asyncio.gather(*accepted)
    await server.stop()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    retry = detail_of(refused.value, error_details_pb2.RetryInfo)
    assert 0 < retry.retry_delay.ToTimedelta().total_seconds() < 1
    assert len({answer.classification.positive_probability for answer in answers}) == 1


async def test_cancelled_and_expired_calls_leave_the_others_alone(
    server: Server, stub: "Stub", gate: threading.Event
) -> None:
    gate.clear()
    calls = [stub.Classify(pb.ClassifyRequest(text=f"good film {number}")) for number in range(6)]
    await in_flight(server, 6)
    for call in calls[::2]:
        call.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as expired:
        await stub.Classify(pb.ClassifyRequest(text="late"), timeout=0.05)
    assert expired.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await in_flight(server, 3)
    gate.set()
    answers = await asyncio.gather(*calls[1::2])
    assert [answer.classification.token_count for answer in answers] == [3, 3, 3]
    counts = server.metrics.registry.get_sample_value
    name = "sentiment_request_duration_seconds_count"
    assert counts(name, {"method": "Classify", "code": "OK"}) == 3
    assert counts(name, {"method": "Classify", "code": "CANCELLED"}) == 3
    assert counts(name, {"method": "Classify", "code": "DEADLINE_EXCEEDED"}) == 1


async def test_a_fault_of_ours_is_told_in_the_log_only(
    stub: "Stub", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> list[float]:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Engine, "run", fail)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.Classify(pb.ClassifyRequest(text="private words"))
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert failed.value.details() == INTERNAL_MESSAGE
    assert "secret detail" in caplog.text
    assert "private words" not in caplog.text
    monkeypatch.undo()
    assert (await stub.Classify(pb.ClassifyRequest(text="good"))).model_version


async def test_health_is_told_for_the_server_and_the_service(channel: grpc.aio.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE_NAME):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))  # type: ignore[attr-defined]
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await health.Check(health_pb2.HealthCheckRequest(service="other"))  # type: ignore[attr-defined]
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_client_with_only_reflection_lists_and_calls(server: Server) -> None:
    def call() -> tuple[list[str], float]:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            pool = DescriptorPool(database)
            method = pool.FindServiceByName("sentiment.v1.SentimentService").FindMethodByName("Classify")
            request = GetMessageClass(method.input_type)(text="I loved it.")
            invoke: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(
                f"/{method.containing_service.full_name}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            return list(database.get_services()), invoke(request).classification.positive_probability

    services, probability = await asyncio.to_thread(call)
    assert services == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
        "sentiment.v1.SentimentService",
    ]
    assert probability > 0.5


async def test_settings_beyond_what_grpc_holds_are_taken_for_no_limit() -> None:
    server = Server(replace(FREE_PORTS, max_connection_age=math.inf, max_text_bytes=2**31 - 1))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub: Stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        assert (await stub.GetModel(pb.GetModelRequest())).max_text_bytes == 2**31 - 1
        assert (await stub.Classify(pb.ClassifyRequest(text="good"))).classification.token_count == 1
    await server.stop()


async def test_a_connection_that_ends_of_age_loses_no_answer() -> None:
    server = Server(replace(FREE_PORTS, max_connection_age=1.0))
    await server.start()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub: Stub = sentiment_pb2_grpc.SentimentServiceStub(channel)

        async def watch() -> None:
            await channel.channel_ready()
            while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
                await channel.wait_for_state_change(state)
            ended.set()

        watching, until = loop.create_task(watch()), loop.time() + 30
        while not ended.is_set() and loop.time() < until:
            await stub.Classify(pb.ClassifyRequest(text="good"))
        assert (await stub.Classify(pb.ClassifyRequest(text="good"))).classification.token_count == 1
        await watching
    await server.stop()


async def test_a_port_in_use_is_told(server: Server) -> None:
    for settings, words in [
        (replace(FREE_PORTS, grpc_port=server.grpc_port), f"127.0.0.1:{server.grpc_port} for gRPC"),
        (replace(FREE_PORTS, http_port=server.http_port), f"127.0.0.1:{server.http_port} for HTTP"),
    ]:
        with pytest.raises(PortError, match=words):
            await Server(settings).start()


async def test_stopping_answers_what_was_accepted_and_takes_no_more(gate: threading.Event) -> None:
    server = Server(FREE_PORTS)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub: Stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())  # type: ignore[attr-defined]
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        gate.clear()
        accepted = [asyncio.ensure_future(stub.Classify(pb.ClassifyRequest(text="good"))) for _ in range(3)]
        stream = stub.ClassifyStream()
        await stream.write(pb.ClassifyStreamRequest(id="a", text="good"))
        await in_flight(server, 4)

        stopping = asyncio.create_task(server.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await asyncio.to_thread(fetch, server, "/readyz"))[0] == 503
        assert server.metrics.registry.get_sample_value("sentiment_ready") == 0
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Classify(pb.ClassifyRequest(text="good"))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        late_stream = stub.ClassifyStream()
        assert await late_stream.code() is grpc.StatusCode.UNAVAILABLE
        assert not stopping.done()

        gate.set()
        assert {answer.classification.token_count for answer in await asyncio.gather(*accepted)} == {1}
        answer = await stream.read()
        assert isinstance(answer, pb.ClassifyStreamResponse)
        assert answer.id == "a"
        with suppress(grpc.aio.AioRpcError):
            await stream.read()
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE
        assert await stopping


async def test_a_grace_period_that_is_too_short_is_told(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(replace(FREE_PORTS, grace=0.05))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub: Stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        gate.clear()
        cut_off = asyncio.ensure_future(stub.Classify(pb.ClassifyRequest(text="good")))
        await in_flight(server, 1)
        stopping = asyncio.create_task(server.stop())
        with pytest.raises(grpc.aio.AioRpcError):
            await cut_off
        gate.set()
        assert not await stopping
    assert "cut off after 0.05 s" in caplog.text
