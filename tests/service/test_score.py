"""`score`, and `classify` with a file, as a user runs them."""

import csv
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import parquet

from bundle.store import Bundle
from service.bulk.outcomes import BLANK, COLUMNS
from tests.service.running import Running, serving

COMMAND = (sys.executable, "-m", "service")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """Five rows, of which two have no answer."""
    path = tmp_path / "reviews.jsonl"
    rows = [
        {"id": 1, "text": "I loved it."},
        {"id": 2, "text": " "},
        {"id": 3, "text": 17},
        {"id": 4, "text": "A complete waste\nof two hours."},
        {"id": 5, "text": "Fine, I suppose."},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its output not a terminal."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60, env=os.environ
    )


def lines(text: str) -> list[dict[str, object]]:
    """JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_score_writes_the_rows_and_their_answers(reviews: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.csv"
    done = run("score", reviews, output, "--workers", 1)
    assert done.returncode == 0, done.stderr
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "text", *COLUMNS]
    assert [row["sentiment"] for row in rows] == ["positive", "", "", "negative", rows[4]["sentiment"]]
    assert [row["error"] for row in rows] == ["", BLANK, "text is no string but 17", "", ""]
    assert done.stderr.startswith(f"{output}: 5 rows, 2 without an answer, ")
    assert done.stderr.rstrip().endswith(" rows a second")


def test_score_and_a_server_write_the_same(reviews: Path, server: Running, tmp_path: Path) -> None:
    assert run("score", reviews, tmp_path / "score.parquet").returncode == 0
    done = run(*("classify", "--target", server.target, "--file", reviews, "--output", tmp_path / "classify.parquet"))
    assert done.returncode == 0, done.stderr
    ours, theirs = (parquet.read_table(tmp_path / f"{name}.parquet") for name in ("score", "classify"))
    assert ours.schema == theirs.schema
    assert ours.drop_columns(["positive_probability"]) == theirs.drop_columns(["positive_probability"])
    found, expected = (table["positive_probability"].to_pylist() for table in (ours, theirs))
    for one, other in zip(found, expected, strict=True):
        assert one == (other if other is None else pytest.approx(other, abs=1e-6))


def test_score_takes_a_version_and_a_precision(reviews: Path, tmp_path: Path, shipped: Bundle) -> None:
    found = []
    for number, flags in enumerate([["--model-version", "1"], ["--precision", "fp32"], ["--precision", "int8"]]):
        output = tmp_path / f"{number}.jsonl"
        assert run("score", reviews, output, "--workers", 1, *flags).returncode == 0
        found.append(lines(output.read_text())[0]["positive_probability"])
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--column", "body"], "has no column 'body'; it has 'id', 'text'"),
        (["--models", "/nowhere"], "/nowhere: holds no model"),
        (["--model-version", "99"], "holds no version 99"),
        (["--precision", "fp32", "--execution-provider", "cuda"], "execution provider cuda: this onnxruntime is a CPU"),
    ],
)
def test_what_cannot_be_scored_is_told_without_a_traceback(
    flags: list[str], reason: str, reviews: Path, tmp_path: Path
) -> None:
    done = run("score", reviews, tmp_path / "out.csv", *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["classify", "fine", "--output", "out.csv"], "--output needs --file"),
        (["classify", "--output", "out.csv"], "--output needs --file"),
        (["classify", "fine", "--file", "in.csv"], "give texts or --file, not both"),
        (["score", "in.csv", "out.csv", "--workers", "0"], "argument --workers: 0 is less than 1"),
        (["score", "in.csv", "out.csv", "--workers", "many"], "argument --workers: "),
        (["score", "in.csv", "out.csv", "--ray", "auto", "--execution-provider", "cuda"], "--ray runs on CPUs"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], reason: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert reason in done.stderr


def test_a_file_is_printed_with_its_errors(reviews: Path, server: Running) -> None:
    done = run("classify", "--target", server.target, "--file", reviews)
    assert done.returncode == 0
    printed = lines(done.stdout)
    assert [row["text"] for row in printed] == [
        "I loved it.",
        " ",
        "17",
        "A complete waste\nof two hours.",
        "Fine, I suppose.",
    ]
    assert printed[2] == {"text": "17", "error": "text is no string but 17"}
    assert printed[0]["sentiment"] == "positive"
    assert done.stderr == ""


def test_a_file_is_a_table_on_a_terminal(reviews: Path, server: Running) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, "classify", "--target", server.target, "--file", str(reviews)]
    subprocess.run(command, stdout=theirs, check=True, timeout=60)
    os.close(theirs)
    rows = os.read(ours, 10_000).decode().splitlines()
    os.close(ours)
    assert [row.split()[0] for row in rows[:4]] == ["positive", "text", "text", "negative"]
    assert rows[3].endswith("A complete waste of two hours.")


def test_progress_is_shown_when_asked_for(reviews: Path, tmp_path: Path) -> None:
    done = run("score", reviews, tmp_path / "out.csv", "--workers", 1, "--progress")
    assert "100%" in done.stderr and "rows/s" in done.stderr


def test_parquet_without_pyarrow_says_what_to_install(reviews: Path, tmp_path: Path) -> None:
    blocked = "import sys; sys.modules |= dict.fromkeys(('torch', 'onnx', 'pyarrow', 'ray'));"
    code = f"{blocked} from service.cli import main; sys.exit(main(sys.argv[1:]))"

    def score(output: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "score", str(reviews), str(tmp_path / output), "--workers", "1"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert score("out.csv").returncode == 0
    done = score("out.parquet")
    assert done.returncode == 1
    assert "pip install '.[bulk]' in the repository's folder" in done.stderr
    assert "Traceback" not in done.stderr
