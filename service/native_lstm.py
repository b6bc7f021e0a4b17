"""A bundle's int8 graph run by bundle/native/lstm.h in place of onnxruntime: the same answers in less time.

Weights come out of the graph's own file, so there is nothing to keep in step with it.
"""

import ctypes
from array import array
from dataclasses import dataclass
from itertools import accumulate
from math import tanh
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bundle.native import unlocked_library
from bundle.onnx_weights import Array, read_weights
from bundle.padding import Sequences

_GATES, _UNITS = 4, 112  # as in lstm.h
_ALIGNMENT = 64  # bytes of the widest register

_ARRAYS = (
    *("embedding", "input_weights", "state_weights", "input_zero", "state_zero"),
    *("input_scale", "state_scale", "bias", "cell", "dense"),
)


@dataclass(frozen=True)
class InstructionSet:
    """How lstm.h is compiled for some processors: its constants there, and the type of `element`."""

    name: str
    width: int
    products: int
    element: type[np.integer]

    def is_supported(self) -> bool:
        """Whether it was compiled, and this processor can run it."""
        compiled = getattr(unlocked_library(), f"sentiment_lstm_{self.name}_supported", None)
        return compiled is not None and bool(compiled())


INSTRUCTION_SETS = (  # the fastest first
    InstructionSet("avx512", 16, 4, np.uint8),  # with VNNI
    InstructionSet("avx2", 8, 2, np.int16),
)


def best_instruction_set() -> InstructionSet | None:
    """None where the native LSTM cannot run."""
    return next(filter(InstructionSet.is_supported, INSTRUCTION_SETS), None)


class _Model(ctypes.Structure):
    """`struct model` of lstm.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in _ARRAYS),
        ("input_groups", ctypes.c_int32),
        ("state_groups", ctypes.c_int32),
        ("blocks", ctypes.c_int32),
        ("dense_bias", ctypes.c_float),
        ("state_step", ctypes.c_float),
        ("state_zero_point", ctypes.c_int32),
    ]


class NativeLstm:
    """Runs reviews of any lengths side by side, without padding."""

    def __init__(self, graph: Path, instructions: InstructionSet) -> None:
        """Raises ValueError if `graph` is not one made by export/quantize.py, of at most 112 units with its anchors."""
        self._run = getattr(unlocked_library(), f"sentiment_lstm_{instructions.name}")
        self._run.restype = ctypes.c_int
        self._run.argtypes = [*([ctypes.c_void_p] * 3), ctypes.c_int32, *([ctypes.c_void_p] * 2)]
        weights = read_weights(graph)
        try:
            self._load(weights, instructions)
        except KeyError as error:
            raise ValueError(f"{graph} has no {error}: it is not a graph that the native LSTM knows") from error

    def run(self, sequences: Sequences) -> list[float]:
        """Positive probabilities (batch,) of token ids, each of at least one id."""
        logits = array("f", bytes(4 * len(sequences)))
        self._compute(sequences, logits.buffer_info()[0], None)
        return [(1 + tanh(logit / 2)) / 2 for logit in logits]  # the logistic function, which thus overflows nowhere

    def _compute(self, sequences: Sequences, logits: int, states: int | None) -> None:
        """Writes logits (batch,) and, if they are wanted, the last states (batch, 112) to these addresses."""
        ids = b"".join(ids if isinstance(ids, array) else array("i", ids) for ids in sequences)
        ends = array("i", accumulate(map(len, sequences)))
        if self._run(ctypes.byref(self._model), ids, ends.buffer_info()[0], len(ends), logits, states):
            raise MemoryError("no memory for a batch")

    def _state_of(self, token: int) -> npt.NDArray[np.float32]:
        """The state (112,) behind a single token."""
        state, logit = np.empty(_UNITS, dtype=np.float32), array("f", [0])
        self._compute([[token]], logit.buffer_info()[0], state.ctypes.data)
        return state

    def _load(self, weights: dict[str, Array], instructions: InstructionSet) -> None:
        embedding, w, r = weights["embedding.weight"], weights["lstm.W"][0], weights["lstm.R"][0]  # (inputs, 4 * 112)
        if r.shape != (_UNITS, _GATES * _UNITS):
            raise ValueError(f"an LSTM of {len(r)} units; the native one has {_UNITS}")
        products, width = instructions.products, instructions.width
        # What carries weight; the anchors only pin the ranges.
        inputs, units = (
            products * -(-(1 + int(np.flatnonzero(part.any(axis=1)).max())) // products) for part in (w, r)
        )
        step, zero_point = _quantization(embedding)
        quantized = np.clip(np.rint(embedding[:, :inputs] / step) + zero_point, 0, 255)
        bias = weights["lstm.B"][0].reshape(2, -1).sum(axis=0)
        self._arrays = {
            "embedding": _aligned(quantized.astype(instructions.element)),
            "input_weights": _by_block(w[:inputs], width, products),
            "state_weights": _by_block(r[:units], width, products),
            "input_zero": _columns(-zero_point * w[:inputs].sum(axis=0, dtype=np.int32), width),
            "input_scale": _columns(step * weights["lstm.W_scale"][0], width),
            "bias": _columns(bias.astype(np.float32), width),
            "cell": _aligned(weights["lstm.anchor_c"][0, 0]),
            "dense": _aligned(weights["dense.weight"][:, 0]),
        }
        self._model = _Model(
            input_groups=inputs // products,
            state_groups=units // products,
            blocks=_UNITS // width,
            dense_bias=float(weights["dense.bias"][0]),
        )
        # The range of the states is the anchors': at first as they are given, then as they come out of a step.
        for anchors in (weights["lstm.anchor_h"][0, 0], None):
            reached = self._state_of(1) if anchors is None else anchors
            step, zero_point = _quantization(np.concatenate([reached[units:], [0]], dtype=np.float32))
            self._arrays["state_zero"] = _columns(-zero_point * r[:units].sum(axis=0, dtype=np.int32), width)
            self._arrays["state_scale"] = _columns(step * weights["lstm.R_scale"][0], width)
            self._model.state_step, self._model.state_zero_point = step, zero_point
            for name in _ARRAYS:
                setattr(self._model, name, self._arrays[name].ctypes.data)
        self._model.blocks = -(-units // width)  # nobody asks for the anchors again


def _quantization(values: Array) -> tuple[np.float32, int]:
    """Step and zero point of `values` as uint8, as onnxruntime chooses them."""
    low, high = np.float32(values.min()), np.float32(values.max())
    step = (high - low) / np.float32(255)
    return step, int(np.rint(-low / step))


def _by_block(weights: Array, width: int, products: int) -> Array:
    """int8 weights (inputs, 4 * 112) as (blocks, inputs / products, gates, width, products)."""
    return _aligned(weights.reshape(-1, products, _GATES, _UNITS // width, width).transpose(3, 0, 2, 4, 1))


def _columns(values: Array, width: int) -> Array:
    """(4 * 112,), gate by gate, as (blocks, gates, width)."""
    return _aligned(values.reshape(_GATES, _UNITS // width, width).transpose(1, 0, 2))


def _aligned(values: Array) -> Array:
    """A copy in C order that begins where a register may be loaded from."""
    room = np.empty(values.nbytes + _ALIGNMENT, dtype=np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    copy = room[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy
