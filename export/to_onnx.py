"""A checkpoint's weights as an ONNX graph, built node by node.

    input_ids (batch, time) -> embedding (time, batch, 32) -> LSTM (1, batch, 100) -> dense (batch, 1) -> sigmoid
         \\-> count of real tokens (batch,) -> sequence_lens of the LSTM

Lengths come from the ids themselves, so padding is exact: the LSTM stops at each review's last token.
"""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from bundle.manifest import TensorSpec
from export.model import SentimentModel

OPSET = 17
IR_VERSION = 8  # the one that came with opset 17; older runtimes refuse newer ones

INPUT = TensorSpec("input_ids", "int64", ["batch", "time"])
OUTPUT = TensorSpec("positive_probability", "float32", ["batch", 1])

Array = npt.NDArray[np.float32]


def to_onnx(model: SentimentModel) -> onnx.ModelProto:
    """The model as one checked ONNX graph."""
    config = model.config
    weights = {name: weight.detach().cpu().numpy() for name, weight in model.state_dict().items()}
    initializers = {
        "pad_id": np.array(config.pad_id, dtype=np.int64),
        "time_axis": np.array([1], dtype=np.int64),
        "direction_axis": np.array([0], dtype=np.int64),
        "embedding.weight": weights["embedding.weight"],  # (vocabulary, 32)
        "lstm.W": _reorder_gates(weights["lstm.weight_ih_l0"])[None],  # (1, 400, 32)
        "lstm.R": _reorder_gates(weights["lstm.weight_hh_l0"])[None],  # (1, 400, 100)
        "lstm.B": _bias(weights["lstm.bias_ih_l0"], weights["lstm.bias_hh_l0"])[None],  # (1, 800)
        "dense.weight": weights["dense.weight"].T,  # (100, 1)
        "dense.bias": weights["dense.bias"],  # (1,)
    }
    nodes = [
        helper.make_node("Equal", ["input_ids", "pad_id"], ["is_pad"]),  # (batch, time)
        helper.make_node("Not", ["is_pad"], ["is_token"]),
        helper.make_node("Cast", ["is_token"], ["token_ones"], to=TensorProto.INT32),
        helper.make_node("ReduceSum", ["token_ones", "time_axis"], ["lengths"], keepdims=0),  # (batch,)
        # The LSTM wants time first; turning the ids costs a 32nd of turning the embeddings.
        helper.make_node("Transpose", ["input_ids"], ["ids_by_time"], perm=[1, 0]),  # (time, batch)
        helper.make_node("Gather", ["embedding.weight", "ids_by_time"], ["embedded"]),  # (time, batch, 32)
        helper.make_node(
            "LSTM",
            ["embedded", "lstm.W", "lstm.R", "lstm.B", "lengths"],
            ["", "last_state"],  # (1, batch, 100): the state at each review's last token
            name="lstm",
            hidden_size=config.hidden_size,
        ),
        helper.make_node("Squeeze", ["last_state", "direction_axis"], ["last"]),  # (batch, 100)
        helper.make_node("Gemm", ["last", "dense.weight", "dense.bias"], ["logit"]),  # (batch, 1)
        helper.make_node("Sigmoid", ["logit"], [OUTPUT.name]),
    ]
    graph = helper.make_graph(
        nodes,
        "review_sentiment",
        inputs=[helper.make_tensor_value_info(INPUT.name, TensorProto.INT64, INPUT.shape)],
        outputs=[helper.make_tensor_value_info(OUTPUT.name, TensorProto.FLOAT, OUTPUT.shape)],
        initializer=[
            numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in initializers.items()
        ],
    )
    proto = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="review-sentiment",
    )
    # A runtime sees the names and types of tensors, not the embedding's shape: it is told here.
    helper.set_model_props(proto, {"embedding_rows": str(config.vocabulary_size)})
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _reorder_gates(stacked: Array) -> Array:
    """torch stacks input, forget, candidate, output; ONNX input, output, forget, candidate."""
    input_gate, forget, candidate, output = np.split(stacked, 4)
    return np.concatenate([input_gate, output, forget, candidate])


def _bias(bias_ih: Array, bias_hh: Array) -> Array:
    """One bias a gate, as in the textbook: the second one that ONNX wants is zero."""
    bias = _reorder_gates(bias_ih + bias_hh)
    return np.concatenate([bias, np.zeros_like(bias)])
