"""The whole line on a small data set: reviews in, a bundle that the service's engine takes out."""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bundle.manifest import Precision
from bundle.store import load_bundle
from bundle.tokenizer import Tokenizer
from export import checkpoint
from export.checkpoint import Checkpoint
from export.cli import main
from export.data import Reviews, load
from export.lessons import Material
from export.model import ModelConfig, SentimentModel
from export.predict import predict
from export.quantize import quantize
from export.recipes import TrainConfig
from export.summary import summary
from export.to_onnx import to_onnx
from export.train import train
from export.verify import VerificationError, _quantization_loss, load_verifications, save_verifications, verify
from export.vocabulary import build_vocabulary
from service.engine import Engine
from tests.export.reviews import as_parquet, rows

QUICK = TrainConfig(epochs=3, batch_size=8, learning_rate=0.02, word_dropout=0.0, ema_decay=0.9, vocabulary_size=50)
FLAGS = [
    *("--recipe", "plain", "--epochs", "3", "--batch-size", "8", "--learning-rate", "0.02"),
    *("--word-dropout", "0", "--ema-decay", "0.9"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_parquet(rows(400), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def reviews(data: Path) -> Reviews:
    return load(data, "train")


@pytest.fixture(scope="module")
def material(reviews: Reviews) -> Material:
    return Material(reviews)


@pytest.fixture
def small() -> tuple[SentimentModel, Tokenizer]:
    """An untrained model and its tokenizer."""
    torch.manual_seed(0)
    vocabulary = build_vocabulary((text for *_, text in rows()), 50)
    return SentimentModel(ModelConfig(vocabulary_size=len(vocabulary))).eval(), Tokenizer(vocabulary)


def test_all_of_it_makes_a_bundle_that_the_engine_serves(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["all", "--data", str(data), "--run", "run", *FLAGS]
    assert main(command) == 0
    assert main([*command, "--resume"]) == 0  # nothing left to train; the next version
    bundle = load_bundle(tmp_path / "models/imdb-lstm/2")
    assert load_bundle(tmp_path / "models/imdb-lstm/1").manifest.version == "1"
    assert bundle.manifest.dataset.train_reviews == 400
    card = (bundle.path / "MODEL_CARD.md").read_text()
    encode = bundle.tokenizer.encode
    for variant in bundle.manifest.variants:
        assert variant.metrics["accuracy"] > 0.9  # one phrase gives the sentiment away
        assert f"{variant.metrics['accuracy']:.2%}" in card
        engine = Engine(bundle, "cpu", precision=variant.precision)
        good, bad = engine.run([encode(f"I saw it. It was {word}.").input_ids for word in ("brilliant", "boring")])
        assert good > 0.5 > bad
    assert bundle.manifest.temperature != 1.0
    assert bundle.manifest.bias != 0.0
    capsys.readouterr()
    assert main([*command, "--destination", "models/imdb-lstm/2"]) == 1
    assert "exists: give another --destination, or --replace" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["teach"], ["all", "--teach"]])
def test_without_gensim_no_teachers_are_begun(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("export.steps.find_spec", lambda name: None)
    assert main([*command, "--data", str(tmp_path / "nothing")]) == 1
    assert "gensim, which is not installed: take Python 3.11 to 3.13" in capsys.readouterr().err


def test_a_graph_that_was_not_verified_is_not_bundled(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["all", "--data", str(data), "--run", "run", *FLAGS]) == 0
    graph = onnx.load("run/model.onnx")
    graph.doc_string = "changed"
    onnx.save(graph, "run/model.onnx")
    assert main(["bundle", "--data", str(data), "--run", "run"]) == 1
    assert "is not the graph that was verified; run verify again" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "models/imdb-lstm").iterdir()] == ["1"]


@pytest.mark.parametrize("files", [2, 3], ids=["between two passes", "between the two files of a pass"])
def test_training_twice_gives_the_same_model_and_resuming_the_same_as_never_stopping(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    whole = train(material, tmp_path / "whole.pt", QUICK, "cpu")
    save = checkpoint.save_atomically
    saved: list[Path] = []

    def stop_in_time(fields: dict[str, object], path: Path) -> None:
        if len(saved) == files:  # a pass writes two: the state to resume from, and the checkpoint
            raise KeyboardInterrupt
        saved.append(path)
        save(fields, path)

    monkeypatch.setattr("export.train.save_atomically", stop_in_time)
    monkeypatch.setattr("export.checkpoint.save_atomically", stop_in_time)
    with pytest.raises(KeyboardInterrupt):
        train(material, tmp_path / "parts.pt", QUICK, "cpu")
    monkeypatch.undo()
    assert len(Checkpoint.load(tmp_path / "parts.pt").history) == 1
    resumed = train(material, tmp_path / "parts.pt", QUICK, "cpu", resume=True)
    assert resumed.history == whole.history
    assert all(torch.equal(resumed.weights[name], weight) for name, weight in whole.weights.items())


def test_a_checkpoint_carries_all_that_it_takes(material: Material, tmp_path: Path) -> None:
    trained = train(material, tmp_path / "a.pt", dataclasses.replace(QUICK, epochs=1), "cpu")
    loaded = Checkpoint.load(tmp_path / "a.pt")
    assert dataclasses.replace(loaded, weights={}) == dataclasses.replace(trained, weights={})
    ids = [loaded.build_tokenizer().encode("a wonderful film").input_ids]
    assert predict(loaded.build(), ids, 0) == predict(trained.build(), ids, 0)


def test_another_recipe_cannot_be_resumed(material: Material, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to resume"):
        train(material, tmp_path / "a.pt", QUICK, "cpu", resume=True)
    train(material, tmp_path / "a.pt", dataclasses.replace(QUICK, epochs=1), "cpu")
    with pytest.raises(ValueError, match="comes from another recipe"):
        train(material, tmp_path / "a.pt", QUICK, "cpu", resume=True)


def test_ctrl_c_leaves_the_last_good_checkpoint(data: Path, tmp_path: Path) -> None:
    flags = ["--data", str(data), "--run", str(tmp_path), "--recipe", "plain", "--epochs", "999"]
    command = [sys.executable, "-m", "export", "train", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 90
        while not (tmp_path / "checkpoint.pt").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "training with --resume" in stderr
    assert len(Checkpoint.load(tmp_path / "checkpoint.pt").history) >= 1


def test_cuda_that_is_not_there_is_an_error(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert main(["train", "--data", str(data), "--recipe", "plain", "--device", "cuda"]) == 1
    assert "torch sees no CUDA device; use --device cpu" in capsys.readouterr().err


def test_the_summary_has_the_layers_of_the_contract() -> None:
    lines = [line.split() for line in summary(ModelConfig()).splitlines()]
    assert lines[1:] == [
        ["embedding", "(?,", "500,", "32)", "640,000"],
        ["lstm", "(?,", "100)", "53,200"],
        *([part, "13,300"] for part in ("forget", "input", "candidate", "output")),
        ["dense", "(?,", "1)", "101"],
        ["total", "693,301"],
    ]


def test_the_embedding_has_the_shapes_of_the_summary() -> None:
    model, shapes = SentimentModel(ModelConfig()).eval(), {}
    for name in ("embedding", "lstm", "dense"):
        getattr(model, name).register_forward_hook(
            lambda _, __, output, name=name: shapes.update({name: (output[0] if name == "lstm" else output).shape})
        )
    model(torch.ones(3, 500, dtype=torch.long), torch.full((3,), 500))
    assert shapes == {"embedding": (3, 500, 32), "lstm": (3, 500, 100), "dense": (3, 1)}


def test_verify_measures_what_it_says(
    small: tuple[SentimentModel, Tokenizer], reviews: Reviews, tmp_path: Path
) -> None:
    model, tokenizer = small
    onnx.save(to_onnx(model), tmp_path / "model.onnx")
    onnx.save(quantize(to_onnx(model)), tmp_path / "model.int8.onnx")
    graphs: dict[Precision, Path] = {"fp32": tmp_path / "model.onnx", "int8": tmp_path / "model.int8.onnx"}
    verifications, probabilities = verify(model, tokenizer, graphs, reviews)
    assert [len(each.differences) for each in verifications] == [6, 6]
    assert max(verifications[0].differences.values()) <= 1e-5
    by_torch = predict(model, [tokenizer.encode(text).input_ids for text in reviews.texts], 0)
    assert probabilities == pytest.approx(by_torch, abs=1e-5)
    assert verifications[0].metrics["accuracy"] == np.mean((by_torch >= 0.5) == reviews.labels)
    save_verifications(verifications, tmp_path / "verification.json")
    assert load_verifications(tmp_path / "verification.json") == verifications


def test_verify_refuses_another_model_s_graph(
    small: tuple[SentimentModel, Tokenizer], reviews: Reviews, tmp_path: Path
) -> None:
    model, tokenizer = small
    with torch.no_grad():
        model.dense.bias.add_(0.001)
    onnx.save(to_onnx(model), tmp_path / "model.onnx")
    with torch.no_grad():
        model.dense.bias.sub_(0.001)
    with pytest.raises(VerificationError, match="torch, test reviews: probabilities differ by"):
        verify(model, tokenizer, {"fp32": tmp_path / "model.onnx"}, reviews)


def test_verify_refuses_a_graph_that_reads_padding(
    small: tuple[SentimentModel, Tokenizer], reviews: Reviews, tmp_path: Path
) -> None:
    model, tokenizer = small
    graph = to_onnx(model)
    (lstm,) = (node for node in graph.graph.node if node.op_type == "LSTM")
    lstm.input[4] = ""  # no sequence_lens
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(VerificationError, match="probabilities differ by"):
        verify(model, tokenizer, {"fp32": tmp_path / "model.onnx"}, reviews)


def test_verify_refuses_an_int8_answer_that_is_far_off() -> None:
    exact, labels = np.array([0.88, 0.1]), np.array([1, 0])
    assert _quantization_loss(exact, exact - 0.02, labels)["fp32, test reviews"] == pytest.approx(0.02)
    with pytest.raises(VerificationError, match=r"int8 and fp32, test reviews: .* differ by 0\.06, more than 0\.05"):
        _quantization_loss(exact, np.array([0.94, 0.1]), labels)


def test_the_vocabulary_is_ranked_by_frequency_then_code_point() -> None:
    assert build_vocabulary(["b a b", "c a d"], 6) == ["<pad>", "<unk>", "a", "b", "c", "d"]
    assert build_vocabulary(["b a b", "c a d"], 4) == ["<pad>", "<unk>", "a", "b"]
