"""Calls of NVIDIA's client, run in its own environment: its protobuf and its `inference` package are not ours.

Prints one JSON object of what came back; an error as its status code and message.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

MODEL = "imdb-lstm"


def texts_input(texts: list[str], shape: list[int] | None = None, datatype: str = "BYTES") -> triton.InferInput:
    """The texts as a tensor."""
    tensor = triton.InferInput("text", shape or [len(texts)], datatype)
    array: Any = np.array(texts, dtype=object) if datatype == "BYTES" else np.ones(len(texts), dtype=np.float32)
    return tensor.set_data_from_numpy(array.reshape(tensor.shape()))


def ids_input(rows: list[list[int]]) -> triton.InferInput:
    """Token ids, padded, as a tensor."""
    array = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for row, ids in zip(array, rows, strict=True):
        row[: len(ids)] = ids
    return triton.InferInput("input_ids", list(array.shape), "INT64").set_data_from_numpy(array)


def answers(result: triton.InferResult) -> dict[str, Any]:
    """Its outputs and the version that gave them."""
    probabilities, labels = result.as_numpy("positive_probability"), result.as_numpy("sentiment")
    return {
        "version": result.get_response().model_version,
        "probabilities": None if probabilities is None else probabilities.tolist(),
        "labels": None if labels is None else [label.decode() for label in labels.ravel()],
    }


def refused(call: Callable[[], Any]) -> str:
    """The error that a call ends with."""
    try:
        return f"no error, but {call()}"
    except InferenceServerException as error:
        return f"{error.status()} {error.message()}"


def main() -> None:
    """`triton_calls.py TARGET < {"texts": [...], "input_ids": [[...], ...]}`"""
    asked = json.load(sys.stdin)
    client = triton.InferenceServerClient(sys.argv[1])
    texts = texts_input(asked["texts"])
    column = texts_input(asked["texts"], [len(asked["texts"]), 1])
    both = texts_input(["fine"])
    both._get_tensor().contents.bytes_contents.append(b"fine")  # by set_data_from_numpy alone it is raw only
    metadata = client.get_model_metadata(MODEL, as_json=True)
    json.dump(
        {
            "live": client.is_server_live(),
            "ready": [
                client.is_server_ready(),
                client.is_model_ready(MODEL),
                client.is_model_ready(MODEL, "1"),
                client.is_model_ready(MODEL, "99"),
                client.is_model_ready("resnet"),
            ],
            "server": client.get_server_metadata(as_json=True)["name"],
            "versions": metadata["versions"],
            "inputs": [tensor["name"] for tensor in metadata["inputs"]],
            "texts": answers(client.infer(MODEL, [texts])),
            "column": answers(client.infer(MODEL, [column])),
            "ids": answers(client.infer(MODEL, [ids_input(asked["input_ids"])])),
            "version 1": answers(client.infer(MODEL, [texts], model_version="1")),
            "one output": answers(client.infer(MODEL, [texts], outputs=[triton.InferRequestedOutput("sentiment")])),
            "wrong name": refused(lambda: client.infer("resnet", [texts])),
            "wrong version": refused(lambda: client.infer(MODEL, [texts], model_version="99")),
            "wrong shape": refused(lambda: client.infer(MODEL, [texts_input(["a", "b"], [1, 2])])),
            "wrong datatype": refused(lambda: client.infer(MODEL, [texts_input(["a"], datatype="FP32")])),
            "both contents": refused(lambda: client.infer(MODEL, [both])),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
