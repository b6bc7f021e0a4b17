"""The graph with its LSTM in 8-bit integers, for the CPU: a quarter less time, the same answers in any company.

onnxruntime's DynamicQuantizeLSTM takes int8 weights and quantizes what flows into them anew in every batch, by the
smallest and largest value it finds there. By itself that makes a review's probability depend on its neighbours, by
0.026 at the most over 834 reviews. So anchors are added to the embedding and to the LSTM's state: values that never
change and that no other exceeds. They pin both ranges, carry weight zero everywhere else, and the integers of a review
are then the same alone and in any batch.
"""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Arrays = dict[str, npt.NDArray[np.generic]]

MICROSOFT = "com.microsoft"
GATES = 4  # ONNX's order: input, output, forget, candidate

# A pair pins a range. The LSTM gets six: with 112 units the integer kernels have no odd columns left over, and
# onnxruntime took 225 us a review where 102 units took 239 (and 219 without anchors).
INPUT_ANCHORS = 2
STATE_ANCHORS = 12

# A gate's logit whose sigmoid is 1 in float32 (and 0 when negative), and a cell whose tanh is 1.
_OPEN = np.float32(20)


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, made by `to_onnx`, with an int8 LSTM; the embedding and the dense layer stay in float32."""
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    arrays: Arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    arrays |= _anchored(arrays)
    arrays |= _quantized("lstm.W", arrays.pop("lstm.W")) | _quantized("lstm.R", arrays.pop("lstm.R"))
    del graph.initializer[:]
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in arrays.items()
    )
    place = next(index for index, node in enumerate(graph.node) if node.op_type == "LSTM")
    nodes = [*graph.node[:place], *_lstm(arrays), *graph.node[place + 1 :]]
    del graph.node[:]
    graph.node.extend(nodes)
    quantized.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def _anchored(arrays: Arrays) -> Arrays:
    """The weights with more values in the embedding and more units in the LSTM: both ends of each range."""
    embedding = arrays["embedding.weight"]  # (vocabulary, 32)
    ends = np.array([1, -1], dtype=np.float32)
    input_ends = np.abs(embedding).max() * ends
    state_ends = np.tile(ends, STATE_ANCHORS // 2)
    hidden = arrays["lstm.R"].shape[2]
    biases = np.zeros((1, 2 * GATES, hidden + STATE_ANCHORS), dtype=np.float32)
    biases[:, :, :hidden] = arrays["lstm.B"].reshape(1, 2 * GATES, hidden)
    biases[:, :GATES, hidden:] = np.array([-_OPEN, _OPEN, _OPEN, 0])[:, None]  # take nothing in, show and keep all
    return {
        "embedding.weight": np.concatenate([embedding, np.tile(input_ends, (len(embedding), 1))], axis=1),
        "lstm.W": _widen(arrays["lstm.W"], hidden, INPUT_ANCHORS),
        "lstm.R": _widen(arrays["lstm.R"], hidden, STATE_ANCHORS),
        "lstm.B": biases.reshape(1, -1),
        "lstm.anchor_h": np.pad(state_ends, (hidden, 0))[None, None],  # (1, 1, 112)
        "lstm.anchor_c": np.pad(_OPEN * state_ends, (hidden, 0))[None, None],
        "dense.weight": np.pad(arrays["dense.weight"], ((0, STATE_ANCHORS), (0, 0))),  # (112, 1)
        "direction_one": np.array([1], dtype=np.int64),
    }


def _widen(weights: npt.NDArray[np.generic], hidden: int, anchors: int) -> npt.NDArray[np.generic]:
    """(1, 400, inputs) to (1, 448, inputs + anchors): weights of zero on the anchors and of the anchors."""
    by_gate = weights.reshape(1, GATES, hidden, -1)
    wide = np.pad(by_gate, ((0, 0), (0, 0), (0, STATE_ANCHORS), (0, anchors)))
    return wide.reshape(1, GATES * (hidden + STATE_ANCHORS), -1)


def _quantized(name: str, weights: npt.NDArray[np.generic]) -> Arrays:
    """int8 weights (1, inputs, 448) as the operator wants them, symmetric around zero, with a scale for each unit."""
    turned = weights.astype(np.float32).transpose(0, 2, 1)
    scale = np.maximum(np.abs(turned).max(axis=1), np.finfo(np.float32).tiny * 127) / np.float32(127)  # (1, 448)
    return {
        name: np.rint(turned / scale[:, None]).astype(np.int8),
        f"{name}_scale": scale.astype(np.float32),
        f"{name}_zero_point": np.zeros(scale.shape, dtype=np.int8),
    }


def _lstm(arrays: Arrays) -> list[onnx.NodeProto]:
    """The quantized LSTM, and its anchored state for as many reviews as the batch has."""
    return [
        helper.make_node("Shape", ["ids_by_time"], ["batch"], start=1),  # (1,)
        helper.make_node("Concat", ["direction_one", "batch", "direction_one"], ["state_shape"], axis=0),
        helper.make_node("Expand", ["lstm.anchor_h", "state_shape"], ["initial_h"]),  # (1, batch, 112)
        helper.make_node("Expand", ["lstm.anchor_c", "state_shape"], ["initial_c"]),
        helper.make_node(
            "DynamicQuantizeLSTM",
            [
                *("embedded", "lstm.W", "lstm.R", "lstm.B", "lengths", "initial_h", "initial_c", ""),
                *("lstm.W_scale", "lstm.W_zero_point", "lstm.R_scale", "lstm.R_zero_point"),
            ],
            ["", "last_state"],
            name="lstm",
            domain=MICROSOFT,
            hidden_size=arrays["lstm.anchor_h"].shape[2],
        ),
    ]
