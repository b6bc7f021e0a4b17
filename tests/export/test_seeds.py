"""Several seeds of one recipe, side by side."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from export.cli import main
from export.seeds import load_seeds, seed_path
from tests.export.reviews import as_parquet, rows

RECIPE = ["--recipe", "plain", "--epochs", "1", "--batch-size", "8", "--vocabulary-size", "50", "--device", "cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_parquet(rows(80), tmp_path_factory.mktemp("data"))


def seeds_of(run: Path) -> list[int]:
    return [checkpoint.train.seed for checkpoint in load_seeds(run)]


def test_the_seeds_of_a_run_are_those_that_its_checkpoint_was_chosen_among(data: Path, tmp_path: Path) -> None:
    def train(folder: str, *flags: str) -> None:
        assert main(["train", "--data", str(data), "--run", str(tmp_path / folder), *RECIPE, *flags]) == 0

    train("seed-2", "--seed", "2")
    train("seed-10", "--seed", "10")
    train("seed-3", "--seed", "3", "--learning-rate", "0.1")  # another recipe's
    shutil.copy(seed_path(tmp_path, 10), tmp_path)
    assert seeds_of(tmp_path) == [2, 10]
    train(".", "--seed", "5")
    assert seeds_of(tmp_path) == [5]


def test_ctrl_c_ends_the_seeds_that_have_begun_and_begins_no_other(data: Path, tmp_path: Path) -> None:
    code = "import os, sys; os.sched_setaffinity(0, {{{}}}); from export.cli import main; sys.exit(main(sys.argv[1:]))"
    flags = ["--data", str(data), "--run", str(tmp_path), *RECIPE, "--epochs", "999", "--seeds", "2"]
    command = [sys.executable, "-c", code.format(min(os.sched_getaffinity(0))), "train", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not seed_path(tmp_path, 1).exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        workers = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        try:
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "training with --resume" in stderr and "Traceback" not in stderr
    assert psutil.wait_procs(workers, 10)[1] == []
    assert not seed_path(tmp_path, 2).exists()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--seeds", "2", "--seed", "3"], "--seeds 2 trains seeds 1 to 2; leave --seed out"),
        (["--seeds", "-1"], "--seeds must be at least 1, not -1"),
        (["--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--batch-size", "0"], "--batch-size must be at least 1, not 0"),
        (["--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["--vocabulary-size", "2"], "--vocabulary-size must be at least 3, not 2"),
    ],
)
def test_numbers_that_train_nothing_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], reason: str
) -> None:
    for command in ("train", "all"):
        assert main([command, "--run", str(tmp_path / "run"), "--data", str(tmp_path / "nothing"), *flags]) == 1
        assert reason in capsys.readouterr().err
