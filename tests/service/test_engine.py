import dataclasses
import shutil
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.manifest import BundleError, TensorSpec
from bundle.store import Bundle
from service.engine import Engine
from service.errors import ProviderError

IDS = st.lists(st.integers(1, 19_999), min_size=1, max_size=500)


@pytest.fixture(scope="module")
def engine(shipped: Bundle) -> Engine:
    return Engine(shipped, "cpu")


@pytest.fixture(scope="module")
def fixed(shipped: Bundle) -> Engine:
    return Engine(shipped, "cpu", fixed_length=True)


@settings(max_examples=25, deadline=None)
@given(st.lists(IDS, min_size=1, max_size=9))
def test_company_and_padding_do_not_change_an_answer(engine: Engine, fixed: Engine, sequences: list[list[int]]) -> None:
    alone = [engine.run([ids])[0] for ids in sequences]
    assert engine.run(sequences) == pytest.approx(alone, abs=1e-6)
    assert fixed.run(sequences) == pytest.approx(alone, abs=1e-6)


def test_the_cpu_says_so(engine: Engine) -> None:
    assert engine.provider == "cpu"
    assert not engine.fell_back


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="needs a CPU build of onnxruntime"
)
def test_cuda_that_cannot_be_had_is_refused_and_auto_takes_the_cpu(shipped: Bundle) -> None:
    with pytest.raises(ProviderError, match=r"this onnxruntime is a CPU build.*review-sentiment\[gpu\]"):
        Engine(shipped, "cuda")
    assert Engine(shipped, "auto").provider == "cpu"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input": TensorSpec("ids", "int64", ["batch", "time"])}, "has inputs"),
        ({"input": TensorSpec("input_ids", "int32", ["batch", "time"])}, "has inputs"),
        ({"output": TensorSpec("positive_probability", "float32", ["batch"])}, "has outputs"),
    ],
)
def test_other_tensors_than_the_manifest_says_are_refused(
    shipped: Bundle, changes: dict[str, Any], reason: str
) -> None:
    bundle = dataclasses.replace(shipped, manifest=dataclasses.replace(shipped.manifest, **changes))
    with pytest.raises(BundleError, match=rf"model\.int8\.onnx: {reason}"):
        Engine(bundle, "cpu")


def test_other_embedding_rows_than_the_manifest_says_are_refused(shipped: Bundle) -> None:
    architecture = dataclasses.replace(shipped.manifest.architecture, vocabulary_size=29_999)
    bundle = dataclasses.replace(shipped, manifest=dataclasses.replace(shipped.manifest, architecture=architecture))
    with pytest.raises(BundleError, match=r"model\.int8\.onnx: has 30000 embedding rows, the manifest 29999"):
        Engine(bundle, "cpu")


def test_golden_answers_that_are_off_are_refused(shipped: Bundle) -> None:
    fp32, int8 = shipped.graphs
    off = dataclasses.replace(int8.golden[0], positive_probability=0.5)
    spoilt = dataclasses.replace(int8, golden=[off, *int8.golden[1:]])
    with pytest.raises(BundleError, match=r"golden\.int8\.json: the model answers"):
        Engine(dataclasses.replace(shipped, graphs=[fp32, spoilt]), "cpu")


def test_the_precision_is_the_bundle_s_choice_unless_asked_for(shipped: Bundle) -> None:
    assert Engine(shipped, "cpu").graph.variant.precision == "int8"
    assert Engine(shipped, "cpu", precision="fp32").graph.variant.precision == "fp32"


def test_a_file_that_is_no_model_is_refused(shipped: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    graphs = [dataclasses.replace(graph, path=path) for graph in shipped.graphs]
    with pytest.raises(BundleError, match=r"model\.onnx: cannot be loaded by onnxruntime"):
        Engine(dataclasses.replace(shipped, graphs=graphs), "cpu")


def test_the_graph_is_one_standard_lstm_with_its_weights_inside(shipped: Bundle, tmp_path: Path) -> None:
    model = onnx.load(shutil.copy(shipped.graph("fp32").path, tmp_path))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("LSTM") == 1
    assert not {"Loop", "Scan", "If"} & set(kinds)
    assert all(not node.domain for node in model.graph.node)
    (lstm,) = (node for node in model.graph.node if node.op_type == "LSTM")
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    assert [weights[name] for name in lstm.input[1:4]] == [[1, 400, 32], [1, 400, 100], [1, 800]]
