"""The weights in an ONNX file, read without the onnx package, which a server does without.

An ONNX file is one protobuf message. Of its hundred fields these are needed: ModelProto.graph, GraphProto.initializer,
and TensorProto's dims, data_type, name and raw_data (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9
_DTYPES = {number: np.dtype(name) for number, name in ((1, "f4"), (2, "u1"), (3, "i1"), (6, "i4"), (7, "i8"))}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types

Array = npt.NDArray[Any]


def read_weights(path: Path) -> dict[str, Array]:
    """The initializers of a graph by name, as far as they are numbers. Raises ValueError if it is no ONNX file."""
    try:
        model = memoryview(path.read_bytes())
        graphs = [graph for field, graph in _fields(model) if field == _GRAPH]
        tensors = [tensor for field, tensor in _fields(_as_bytes(graphs[0])) if field == _INITIALIZER]
        return dict(_read_tensor(_as_bytes(tensor)) for tensor in tensors)
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not an ONNX file with its weights in it") from error


def _read_tensor(tensor: memoryview) -> tuple[str, Array]:
    name, shape, dtype, raw = "", list[int](), _DTYPES[1], memoryview(b"")
    for field, value in _fields(tensor):
        if field == _NAME:
            name = bytes(_as_bytes(value)).decode()
        elif field == _RAW_DATA:
            raw = _as_bytes(value)
        elif field == _DATA_TYPE:
            dtype = _DTYPES[_as_number(value)]
        elif field == _DIMS:  # one by one, or packed
            shape += [value] if isinstance(value, int) else list(_varints(value))
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise TypeError(name)
    return name, np.frombuffer(raw, dtype).reshape(shape)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each field: an int, or the bytes of what may be a message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size, at = _varint(message, at) if kind == _BYTES else ({_FIXED64: 8, _FIXED32: 4}[kind], at)
        yield key >> 3, message[at : at + size]
        at += size


def _varints(packed: memoryview) -> Iterator[int]:
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        at += 1
        if message[at - 1] < 0x80:
            return value, at
        shift += 7


def _as_number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise TypeError("a message where a number is expected")
    return value


def _as_bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise TypeError("a number where a message is expected")
    return value
