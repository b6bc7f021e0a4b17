"""inference.GRPCInferenceService, the open inference protocol: tensors of texts or ids to the scorer and back."""

import struct
from collections.abc import Sequence
from importlib import metadata
from math import prod
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from service.calls import Calls, Context, deadline_of
from service.classification import Classification
from service.errors import InvalidRequest, UnknownModel
from service.pb import open_inference_pb2 as pb
from service.pb import open_inference_pb2_grpc
from service.registry import Registry
from service.scorer import Scorer

T = TypeVar("T", pb.ModelInput, pb.ModelOutput)
Tensor = pb.ModelMetadataResponse.TensorMetadata
Ids = npt.NDArray[np.int64]

PLATFORM = "onnxruntime_onnx"
INPUTS = (
    Tensor(name="text", datatype="BYTES", shape=[-1]),
    Tensor(name="input_ids", datatype="INT64", shape=[-1, -1]),
)
OUTPUTS = (
    Tensor(name="positive_probability", datatype="FP32", shape=[-1]),
    Tensor(name="sentiment", datatype="BYTES", shape=[-1]),
)
_TYPES = {"BYTES": pb.TYPE_STRING, "INT64": pb.TYPE_INT64, "FP32": pb.TYPE_FP32}

_PACKAGE = "review-sentiment"
_ABOUT = pb.ServerMetadataResponse(
    name=_PACKAGE, version=metadata.version(_PACKAGE), extensions=["model_configuration"]
)

_OUTPUTS = {output.name: output for output in OUTPUTS}
_LENGTH = struct.Struct("<I")  # stands before each element of raw BYTES


class InferenceServicer(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers inference.GRPCInferenceService."""

    def __init__(self, registry: Registry, calls: Calls) -> None:
        self._registry = registry
        self._calls = calls

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        """Yes: it answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        """Whether it takes requests."""
        return pb.ServerReadyResponse(ready=not self._calls.draining)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        """Whether a model and version take requests."""

        async def work() -> pb.ModelReadyResponse:
            try:
                self._registry.find(request.version, request.name)
            except UnknownModel:
                return pb.ModelReadyResponse(ready=False)
            return pb.ModelReadyResponse(ready=not self._calls.draining)

        return await self._calls.unary("ModelReady", work(), context)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Context) -> pb.ServerMetadataResponse:
        """What the server is."""
        return _ABOUT

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Context) -> pb.ModelMetadataResponse:
        """The tensors and the versions of a model."""

        async def work() -> pb.ModelMetadataResponse:
            self._registry.find(request.version, request.name)
            return pb.ModelMetadataResponse(
                name=self._registry.name,
                versions=self._registry.versions,
                platform=PLATFORM,
                inputs=INPUTS,
                outputs=OUTPUTS,
            )

        return await self._calls.unary("ModelMetadata", work(), context)

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Context) -> pb.ModelConfigResponse:
        """The same as Triton's clients ask for it."""

        async def work() -> pb.ModelConfigResponse:
            self._registry.find(request.version, request.name)
            return pb.ModelConfigResponse(config=_configuration(self._registry.name))

        return await self._calls.unary("ModelConfig", work(), context)

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        """Classify the reviews of one input tensor."""
        return await self._calls.unary("ModelInfer", self._infer(request, deadline_of(context)), context)

    async def _infer(self, request: pb.ModelInferRequest, deadline: float | None) -> pb.ModelInferResponse:
        model = self._registry.find(request.model_version, request.model_name)
        wanted = _wanted_outputs(request)
        tensor, raw = _only_input(request)
        if tensor.name == "text":
            answers = await model.scorer.classify_many(_texts(tensor, raw, model.scorer), deadline, tensor.name)
            shape = list(tensor.shape)
        else:
            answers = await model.scorer.classify_ids(_id_rows(tensor, raw, model.scorer), deadline)
            shape = [len(answers)]
        response = pb.ModelInferResponse(
            model_name=model.manifest.name, model_version=model.manifest.version, id=request.id
        )
        for output in wanted:
            _add_output(response, output, shape, answers, as_raw=raw is not None)
        return response


def _configuration(name: str) -> pb.ModelConfig:
    def tensor(kind: type[T], spec: Tensor, **more: Any) -> T:
        return kind(name=spec.name, data_type=_TYPES[spec.datatype], dims=spec.shape, **more)

    return pb.ModelConfig(
        name=name,
        platform=PLATFORM,
        # Either input will do; a client that fills in all that are not optional should fill in the text.
        input=[tensor(pb.ModelInput, spec, optional=spec.name != "text") for spec in INPUTS],
        output=[tensor(pb.ModelOutput, spec) for spec in OUTPUTS],
    )


def _wanted_outputs(request: pb.ModelInferRequest) -> list[Tensor]:
    """The outputs asked for, or all."""
    for index, output in enumerate(request.outputs):
        if output.name not in _OUTPUTS:
            known = " and ".join(_OUTPUTS)
            raise _invalid(f"outputs[{index}]", f"is {output.name!r}; the outputs are {known}")
    return [_OUTPUTS[output.name] for output in request.outputs] or list(OUTPUTS)


def _only_input(request: pb.ModelInferRequest) -> tuple[pb.ModelInferRequest.InferInputTensor, bytes | None]:
    """The one input, its name and data type right, and its raw contents if it has those."""
    names = [tensor.name for tensor in request.inputs]
    kinds = {tensor.name: tensor.datatype for tensor in INPUTS}
    if len(names) != 1 or names[0] not in kinds:
        raise _invalid("inputs", f"are {names}; send exactly one, {' or '.join(kinds)}")
    (tensor,) = request.inputs
    if tensor.datatype != kinds[tensor.name]:
        raise _invalid(tensor.name, f"has datatype {tensor.datatype!r}; it must be {kinds[tensor.name]}")
    if any(size < 0 for size in tensor.shape):
        raise _invalid(tensor.name, f"has shape {list(tensor.shape)}; a size must not be negative")
    raws = request.raw_input_contents
    if raws and tensor.HasField("contents"):
        raise _invalid(tensor.name, "comes in contents and in raw_input_contents; send one of them")
    if len(raws) > 1:
        raise _invalid("raw_input_contents", f"has {len(raws)} tensors for 1 input")
    return tensor, raws[0] if raws else None


# What a shape says is held against the limits before anything is made of the contents: it may say anything.
def _texts(tensor: pb.ModelInferRequest.InferInputTensor, raw: bytes | None, scorer: Scorer) -> list[str]:
    shape = list(tensor.shape)
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise _invalid(tensor.name, f"has shape {shape}; it must be [n] or [n, 1]")
    scorer.check_count(shape[0], tensor.name)
    elements = tensor.contents.bytes_contents if raw is None else _split_raw_bytes(tensor.name, raw, shape[0])
    _check_size(tensor, len(elements))
    return [_decode(element, f"{tensor.name}[{index}]") for index, element in enumerate(elements)]


def _split_raw_bytes(name: str, raw: bytes, count: int) -> list[bytes]:
    elements, start = list[bytes](), 0
    while start < len(raw):
        if len(elements) == count:
            raise _invalid(name, f"has {len(raw) - start} bytes behind the {count} elements that its shape says")
        first = start + _LENGTH.size
        if first > len(raw) or (end := first + _LENGTH.unpack_from(raw, start)[0]) > len(raw):
            raise _invalid(name, f"is cut off after {len(elements)} elements; each stands behind its length in 4 bytes")
        elements.append(raw[first:end])
        start = end
    return elements


def _decode(element: bytes, field: str) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError as error:
        raise _invalid(field, f"is not UTF-8: {error.reason} at byte {error.start}") from None


def _id_rows(tensor: pb.ModelInferRequest.InferInputTensor, raw: bytes | None, scorer: Scorer) -> Ids:
    shape = list(tensor.shape)
    if len(shape) != 2:
        raise _invalid(tensor.name, f"has shape {shape}; it must be [n, time]")
    scorer.check_count(shape[0], tensor.name)
    scorer.check_length(shape[1], tensor.name)
    if raw is None:
        _check_size(tensor, len(tensor.contents.int64_contents))
        return np.array(tensor.contents.int64_contents, dtype=np.int64).reshape(shape)
    if len(raw) % 8:
        raise _invalid(tensor.name, f"has {len(raw)} raw bytes; INT64 takes 8 an element")
    _check_size(tensor, len(raw) // 8)
    return np.frombuffer(raw, dtype="<i8").reshape(shape)


def _check_size(tensor: pb.ModelInferRequest.InferInputTensor, found: int) -> None:
    if found != prod(tensor.shape):
        raise _invalid(tensor.name, f"has {found} elements; its shape {list(tensor.shape)} says {prod(tensor.shape)}")


def _add_output(
    response: pb.ModelInferResponse, output: Tensor, shape: list[int], answers: Sequence[Classification], as_raw: bool
) -> None:
    """Append one output, its elements in the form that the request's had."""
    tensor = response.outputs.add(name=output.name, datatype=output.datatype, shape=shape)
    if output.name == "positive_probability":
        probabilities = [answer.positive_probability for answer in answers]
        if as_raw:
            response.raw_output_contents.append(np.array(probabilities, dtype="<f4").tobytes())
        else:
            tensor.contents.fp32_contents.extend(probabilities)
    else:
        labels = [answer.sentiment.encode() for answer in answers]
        if as_raw:
            response.raw_output_contents.append(b"".join(_LENGTH.pack(len(label)) + label for label in labels))
        else:
            tensor.contents.bytes_contents.extend(labels)


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest("invalid_tensor", field, message)
