"""The open inference protocol, called through its own stub on a real server."""

import struct
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from bundle.store import Bundle
from service.pb import open_inference_pb2 as pb
from service.pb import open_inference_pb2_grpc
from service.server import Server

if TYPE_CHECKING:
    Stub = open_inference_pb2_grpc.GRPCInferenceServiceAsyncStub

InputTensor = pb.ModelInferRequest.InferInputTensor


@pytest.fixture
def inference(channel: grpc.aio.Channel) -> "Stub":
    return open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)


def texts_input(*texts: str, shape: list[int] | None = None) -> InputTensor:
    contents = pb.InferTensorContents(bytes_contents=[text.encode() for text in texts])
    return InputTensor(name="text", datatype="BYTES", shape=shape or [len(texts)], contents=contents)


def ids_input(*shape: int) -> InputTensor:
    return InputTensor(name="input_ids", datatype="INT64", shape=shape)


def raw_bytes(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def infer(*inputs: InputTensor, raw: list[bytes] | None = None, outputs: tuple[str, ...] = ()) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(
        model_name="imdb-lstm",
        id="42",
        inputs=inputs,
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
        raw_input_contents=raw or [],
    )


async def test_it_says_what_it_is(inference: "Stub", shipped: Bundle) -> None:
    assert (await inference.ServerLive(pb.ServerLiveRequest())).live
    assert (await inference.ServerReady(pb.ServerReadyRequest())).ready
    about = await inference.ServerMetadata(pb.ServerMetadataRequest())
    assert (about.name, about.version) == ("review-sentiment", "0.1.0")
    version = shipped.manifest.version
    for name, asked, ready in (("imdb-lstm", "", True), ("imdb-lstm", version, True), ("imdb-lstm", "9", False)):
        assert (await inference.ModelReady(pb.ModelReadyRequest(name=name, version=asked))).ready is ready
    assert not (await inference.ModelReady(pb.ModelReadyRequest(name="resnet"))).ready
    model = await inference.ModelMetadata(pb.ModelMetadataRequest(name="imdb-lstm"))
    assert (model.name, list(model.versions), model.platform) == ("imdb-lstm", [version], "onnxruntime_onnx")
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in (*model.inputs, *model.outputs)] == [
        ("text", "BYTES", [-1]),
        ("input_ids", "INT64", [-1, -1]),
        ("positive_probability", "FP32", [-1]),
        ("sentiment", "BYTES", [-1]),
    ]


@pytest.mark.parametrize("column", [False, True])
async def test_texts_get_the_golden_answers(inference: "Stub", shipped: Bundle, column: bool) -> None:
    golden = shipped.graph_for("cpu").golden
    shape = [len(golden), 1] if column else [len(golden)]
    answer = await inference.ModelInfer(infer(texts_input(*(one.text for one in golden), shape=shape)))
    assert (answer.model_name, answer.model_version, answer.id) == ("imdb-lstm", shipped.manifest.version, "42")
    probability, sentiment = answer.outputs
    assert (probability.name, probability.datatype, list(probability.shape)) == ("positive_probability", "FP32", shape)
    assert (sentiment.name, sentiment.datatype, list(sentiment.shape)) == ("sentiment", "BYTES", shape)
    expected = [one.positive_probability for one in golden]
    assert list(probability.contents.fp32_contents) == pytest.approx(expected, abs=1e-5)
    labels = [b"positive" if one >= shipped.manifest.threshold else b"negative" for one in expected]
    assert list(sentiment.contents.bytes_contents) == labels
    assert not answer.raw_output_contents


async def test_raw_texts_get_raw_answers_in_the_order_asked(inference: "Stub", shipped: Bundle) -> None:
    golden = shipped.graph_for("cpu").golden
    raw = raw_bytes(*(one.text.encode() for one in golden))
    tensor = InputTensor(name="text", datatype="BYTES", shape=[len(golden)])
    answer = await inference.ModelInfer(infer(tensor, raw=[raw], outputs=("sentiment", "positive_probability")))
    assert [output.name for output in answer.outputs] == ["sentiment", "positive_probability"]
    assert not any(output.HasField("contents") for output in answer.outputs)
    labels, probabilities = answer.raw_output_contents
    expected = [one.positive_probability for one in golden]
    assert np.frombuffer(probabilities, "<f4").tolist() == pytest.approx(expected, abs=1e-5)
    assert labels == raw_bytes(*(b"positive" if one >= 0.5 else b"negative" for one in expected))


@pytest.mark.parametrize("as_raw", [False, True])
async def test_ids_get_the_golden_answers(inference: "Stub", shipped: Bundle, as_raw: bool) -> None:
    golden = shipped.graph_for("cpu").golden
    ids = np.zeros((len(golden), 500), dtype="<i8")
    for row, one in zip(ids, golden, strict=True):
        row[: len(one.input_ids)] = one.input_ids
    tensor = InputTensor(name="input_ids", datatype="INT64", shape=ids.shape)
    if not as_raw:
        tensor.contents.int64_contents.extend(ids.ravel().tolist())
    request = infer(tensor, raw=[ids.tobytes()] if as_raw else None, outputs=("positive_probability",))
    answer = await inference.ModelInfer(request)
    (output,) = answer.outputs
    assert list(output.shape) == [len(golden)]
    contents = output.contents.fp32_contents
    found = np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() if as_raw else list(contents)
    assert found == pytest.approx([one.positive_probability for one in golden], abs=1e-5)


async def test_no_texts_get_no_answers(inference: "Stub") -> None:
    answer = await inference.ModelInfer(infer(texts_input(shape=[0])))
    assert [list(output.shape) for output in answer.outputs] == [[0], [0]]


ONE_RAW = InputTensor(name="text", datatype="BYTES", shape=[1])


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (infer(), "inputs", r"are \[\]; send exactly one, text or input_ids"),
        (infer(texts_input("a"), texts_input("b")), "inputs", "send exactly one"),
        (infer(InputTensor(name="image")), "inputs", r"are \['image'\]; send exactly one"),
        (infer(InputTensor(name="text", datatype="FP32", shape=[1])), "text", "has datatype 'FP32'; it must be BYTES"),
        (infer(texts_input("a", shape=[1, 2])), "text", r"has shape \[1, 2\]; it must be \[n\] or \[n, 1\]"),
        (infer(texts_input("a", shape=[-1])), "text", "a size must not be negative"),
        (infer(texts_input("a", shape=[3])), "text", r"has 1 elements; its shape \[3\] says 3"),
        (infer(texts_input("a"), raw=[raw_bytes(b"a")]), "text", "in contents and in raw_input_contents"),
        (infer(ONE_RAW, raw=[raw_bytes(b"a"), b""]), "raw_input_contents", "has 2 tensors for 1 input"),
        (infer(ONE_RAW, raw=[raw_bytes(b"abc")[:-1]]), "text", "is cut off after 0 elements"),
        (infer(ONE_RAW, raw=[b"\1\0"]), "text", "is cut off after 0 elements"),
        (infer(ONE_RAW, raw=[raw_bytes(b"ok \xff")]), "text[0]", "is not UTF-8: invalid start byte at byte 3"),
        (infer(texts_input("fine", " ")), "text[1]", "is blank"),
        (infer(texts_input(shape=[10**12])), "text", "has 1000000000000 texts; send at most 512 at once"),
        (infer(ONE_RAW, raw=[bytes(4_000)]), "text", "has 3996 bytes behind the 1 elements that its shape says"),
        (infer(texts_input("a"), outputs=("logit",)), "outputs[0]", "the outputs are positive_probability and"),
        (infer(ids_input(4)), "input_ids", r"must be \[n, time\]"),
        (infer(ids_input(1, 1), raw=[b"1234"]), "input_ids", "has 4 raw bytes; INT64 takes 8 an element"),
        (infer(ids_input(10**12, 0)), "input_ids", "has 1000000000000 texts; send at most 512 at once"),
        (infer(ids_input(1, 501)), "input_ids", "has 501 ids for a text; send at most 500"),
        (infer(ids_input(2, 500)), "input_ids", r"has 0 elements; its shape \[2, 500\] says 1000"),
    ],
)
async def test_what_does_not_fit_is_named(
    inference: "Stub", request_: pb.ModelInferRequest, field: str, words: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=words) as refused:
        await inference.ModelInfer(request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(refused.value.details()).startswith(field + " ")


@pytest.mark.parametrize(
    ("name", "version"), [("resnet", ""), ("imdb-lstm", "99"), ("imdb-lstm", "\U0001f600" * 9_000)]
)
async def test_a_model_that_is_not_served_is_not_found(inference: "Stub", name: str, version: str) -> None:
    request = infer(texts_input("fine"))
    request.model_name, request.model_version = name, version
    for call in (
        inference.ModelInfer(request),
        inference.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version)),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="is served, only") as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_its_requests_are_counted(server: Server, inference: "Stub") -> None:
    await inference.ModelInfer(infer(texts_input("fine")))
    with pytest.raises(grpc.aio.AioRpcError):
        await inference.ModelInfer(infer())
    counts = server.metrics.registry.get_sample_value
    for code in ("OK", "INVALID_ARGUMENT"):
        labels = {"method": "ModelInfer", "code": code}
        assert counts("sentiment_request_duration_seconds_count", labels) == 1
    assert counts("sentiment_rejected_total", {"reason": "invalid_tensor"}) == 1
