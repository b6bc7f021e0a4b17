from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bundle.tokenizer import Tokenizer
from export.model import ModelConfig, SentimentModel
from export.predict import predict
from export.quantize import quantize
from export.to_onnx import to_onnx
from export.verify import OnnxModel

SIZE = 300


@pytest.fixture
def model() -> SentimentModel:
    """Untrained, but as decided as a trained one."""
    torch.manual_seed(0)
    made = SentimentModel(ModelConfig(vocabulary_size=SIZE)).eval()
    with torch.no_grad():
        made.embedding.weight *= 10
        made.dense.weight *= 30
    return made


@pytest.fixture
def sequences() -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(1, SIZE, length).tolist() for length in rng.integers(1, 200, 100)]


@pytest.fixture
def graph(model: SentimentModel, tmp_path: Path) -> OnnxModel:
    onnx.save(quantize(to_onnx(model)), tmp_path / "model.int8.onnx")
    tokenizer = Tokenizer(["<pad>", "<unk>", *(f"w{number}" for number in range(SIZE - 2))])
    return OnnxModel(tmp_path / "model.int8.onnx", tokenizer)


def test_the_answers_stay_close(model: SentimentModel, graph: OnnxModel, sequences: list[list[int]]) -> None:
    exact, rounded = predict(model, sequences, 0), graph.predict(sequences)
    assert np.std(exact) > 0.1  # so that "close" says something
    assert np.abs(exact - rounded).max() < 0.05
    assert np.abs(exact - rounded).max() > 0


def test_company_and_padding_change_nothing_at_all(graph: OnnxModel, sequences: list[list[int]]) -> None:
    alone = np.concatenate([graph.run([ids]) for ids in sequences])
    assert graph.run(sequences).tolist() == alone.tolist()
    assert graph.run(sequences, 500).tolist() == alone.tolist()


def test_an_outlier_in_the_company_changes_nothing_either(model: SentimentModel, tmp_path: Path) -> None:
    """Without the anchors, one large value in a batch makes everybody's steps coarse."""
    with torch.no_grad():
        model.embedding.weight[SIZE - 1] *= 20
    onnx.save(quantize(to_onnx(model)), tmp_path / "model.onnx")
    graph = OnnxModel(tmp_path / "model.onnx", Tokenizer(["<pad>", "<unk>"]))
    quiet = [5, 6, 7, 8]
    assert graph.run([quiet, [SIZE - 1] * 4])[0] == graph.run([quiet])[0]


def test_only_the_lstm_is_in_integers(model: SentimentModel) -> None:
    quantized = quantize(to_onnx(model))
    kinds = [node.op_type for node in quantized.graph.node]
    assert kinds.count("DynamicQuantizeLSTM") == 1 and "LSTM" not in kinds
    types = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    assert {name for name, kind in types.items() if kind == onnx.TensorProto.INT8} == {
        *("lstm.W", "lstm.W_zero_point", "lstm.R", "lstm.R_zero_point")
    }
    assert types["embedding.weight"] == types["dense.weight"] == onnx.TensorProto.FLOAT
