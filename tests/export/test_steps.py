"""The steps one at a time: what was not made together, or not to its end, is refused by name."""

import shutil
from pathlib import Path

import pytest

from export import train as training
from export.checkpoint import Checkpoint, save_atomically
from export.cli import main
from tests.export.reviews import as_parquet, rows

RECIPE = [
    *("--recipe", "plain", "--epochs", "3", "--batch-size", "8", "--learning-rate", "0.02"),
    *("--word-dropout", "0", "--ema-decay", "0.9", "--vocabulary-size", "50"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_parquet(rows(400), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def verified(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run up to `verify`."""
    run = tmp_path_factory.mktemp("run")
    assert main(["train", "--data", str(data), "--run", str(run), *RECIPE]) == 0
    assert main(["onnx", "--run", str(run)]) == 0
    assert main(["verify", "--data", str(data), "--run", str(run)]) == 0
    return run


@pytest.fixture
def run(verified: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to spoil."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(verified, tmp_path / "run"))


def test_another_checkpoint_is_not_bundled_with_the_graphs_of_the_last(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data", str(data), "--run", str(run)]
    assert main(["bundle", *where]) == 0
    assert main(["train", *where, *RECIPE, "--seed", "2"]) == 0
    for step in ("verify", "report", "bundle"):
        assert main([step, *where]) == 1
        assert "is not of the checkpoint that is there now; run onnx and verify again" in capsys.readouterr().err
    assert [path.name for path in Path("models/imdb-lstm").iterdir()] == ["1"]


@pytest.mark.parametrize("last_step", ["_judged", "_fit_bias"], ids=["a pass", "the bias"])
def test_unfinished_training_is_not_exported(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], last_step: str
) -> None:
    step = getattr(training, last_step)

    def stop_in_time(checkpoint: Checkpoint, *others: object) -> object:
        if checkpoint.history:
            raise KeyboardInterrupt
        return step(checkpoint, *others)

    train = ["train", "--data", str(data), "--run", str(run), *RECIPE]
    with monkeypatch.context() as patch:
        patch.setattr(training, last_step, stop_in_time)
        assert main(train) == 130
    for command in ("onnx", "verify", "report", "bundle"):
        assert main([command, "--run", str(run), *(["--data", str(data)] if command != "onnx" else [])]) == 1
        assert "passes); give the same `train` command with --resume" in capsys.readouterr().err
    assert main([*train, "--resume"]) == 0
    assert main(["onnx", "--run", str(run)]) == 0


@pytest.mark.parametrize("split", ["train", "test"])
def test_other_reviews_are_not_bundled(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    other = as_parquet(rows(400, seed=1), tmp_path)
    shutil.copy(data / f"{'train' if split == 'test' else 'test'}.parquet", other)
    assert main(["bundle", "--data", str(other), "--run", str(run)]) == 1
    assert f"--data holds other {split} reviews than were" in capsys.readouterr().err
    assert not Path("models").exists()


def test_the_card_has_no_table_of_an_earlier_model(data: Path, run: Path) -> None:
    tables = run / "report" / "tables.md"
    tables.parent.mkdir()
    tables.write_text("## Of another model\n")
    where = ["--data", str(data), "--run", str(run)]
    assert main(["verify", *where]) == 0
    assert main(["bundle", *where]) == 0
    assert "Of another model" not in Path("models/imdb-lstm/1/MODEL_CARD.md").read_text()


@pytest.mark.parametrize(
    ("missing", "step"),
    [
        ("checkpoint.pt", "train"),
        ("model.onnx", "onnx"),
        ("model.int8.onnx", "onnx"),
        ("verification.json", "verify"),
        ("test_probabilities.npy", "verify"),
    ],
)
def test_a_step_that_comes_too_early_says_which_one_to_run(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str], missing: str, step: str
) -> None:
    (run / missing).unlink()
    commands = {
        "train": ["onnx", "verify", "report", "bundle"],
        "onnx": ["verify", "report", "bundle"],
        "verify": ["report"] if missing == "test_probabilities.npy" else ["report", "bundle"],
    }
    for command in commands[step]:
        assert main([command, "--run", str(run), *([] if command == "onnx" else ["--data", str(data)])]) == 1
        assert f"{run / missing} is not there; run `{step}` first" in capsys.readouterr().err


@pytest.mark.parametrize("left", [0, 100, 20_000])
def test_a_broken_checkpoint_is_named(data: Path, run: Path, capsys: pytest.CaptureFixture[str], left: int) -> None:
    for name, command in (("checkpoint.pt", ["onnx"]), ("checkpoint.pt.resume", ["train", *RECIPE, "--resume"])):
        (run / name).write_bytes((run / name).read_bytes()[:left])
        flags = ["--data", str(data)] if command[0] == "train" else []
        assert main([*command, "--run", str(run), *flags]) == 1
        assert f"{run / name} is broken; delete it and train again" in capsys.readouterr().err


def test_a_checkpoint_of_other_code_is_refused(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_atomically({"weights": {}}, run / "checkpoint.pt")
    save_atomically({"checkpoint": {"weights": {}}}, run / "checkpoint.pt.resume")
    for command in (["onnx"], ["train", "--resume", "--data", str(data), *RECIPE]):
        assert main([*command, "--run", str(run)]) == 1
        assert "the checkpoint was written by another version of this code; train again" in capsys.readouterr().err


def test_a_verification_by_other_code_says_what_to_run(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "verification.json").write_text('[{"precision": "fp32"}]')
    assert main(["bundle", "--data", str(data), "--run", str(run)]) == 1
    assert "written by another version of this code; run verify again" in capsys.readouterr().err
