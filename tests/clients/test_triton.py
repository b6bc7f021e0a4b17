"""NVIDIA's tritonclient against a real server."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundle.store import Bundle
from tests.service.running import Running, serving

ROOT = Path(__file__).parent.parent.parent
PYTHON = ROOT / ".venv-clients/bin/python"  # `make test` sets it up


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving("--model-version", "2,1") as running:
        yield running


@pytest.fixture(scope="module")
def found(server: Running, shipped: Bundle) -> dict[str, Any]:
    golden = shipped.graph_for("cpu").golden
    asked = {"texts": [one.text for one in golden], "input_ids": [one.input_ids for one in golden]}
    command = [str(PYTHON), str(Path(__file__).parent / "triton_calls.py"), server.target]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_health_and_metadata(found: dict[str, Any]) -> None:
    assert found["live"]
    assert found["ready"] == [True, True, True, False, False]
    assert (found["server"], found["versions"]) == ("review-sentiment", ["2", "1"])
    assert found["inputs"] == ["text", "input_ids"]


def test_texts_and_ids_get_the_golden_answers(found: dict[str, Any], shipped: Bundle) -> None:
    expected = [one.positive_probability for one in shipped.graph_for("cpu").golden]
    labels = ["positive" if one >= shipped.manifest.threshold else "negative" for one in expected]
    for kind in ("texts", "ids"):
        assert found[kind]["probabilities"] == pytest.approx(expected, abs=1e-5)
        assert (found[kind]["labels"], found[kind]["version"]) == (labels, "2")
    assert found["column"]["probabilities"] == [[one] for one in found["texts"]["probabilities"]]
    assert found["one output"] == {"version": "2", "probabilities": None, "labels": labels}


def test_versions_answer_side_by_side(found: dict[str, Any]) -> None:
    assert found["version 1"]["version"] == "1"
    assert found["version 1"]["probabilities"] != found["texts"]["probabilities"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("wrong name", "StatusCode.NOT_FOUND no model 'resnet' is served, only 'imdb-lstm'"),
        ("wrong version", "StatusCode.NOT_FOUND no version '99' of 'imdb-lstm' is served, only 2, 1"),
        ("wrong shape", "StatusCode.INVALID_ARGUMENT text has shape [1, 2]; it must be [n] or [n, 1]"),
        ("wrong datatype", "StatusCode.INVALID_ARGUMENT text has datatype 'FP32'; it must be BYTES"),
        (
            "both contents",
            "StatusCode.INVALID_ARGUMENT text comes in contents and in raw_input_contents; send one of them",
        ),
    ],
)
def test_what_is_wrong_is_told(found: dict[str, Any], call: str, error: str) -> None:
    assert found[call] == error


def test_the_example_of_the_docs_runs(server: Running) -> None:
    command = [str(PYTHON), str(ROOT / "docs/examples/triton_client.py"), server.target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert lines[:3] == ["ready True True", "server review-sentiment", "versions 2 1"], done.stderr
    assert [line.split()[0] for line in lines[3:]] == ["positive", "negative"]
