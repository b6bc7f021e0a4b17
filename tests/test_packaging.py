"""The built wheel serves without a clone."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.service.running import SERVE, serving

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_packages_and_the_model_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"bundle", "export", "service", "review_sentiment-0.1.0.dist-info"}
    assert "service/models/imdb-lstm/1/model.onnx" in names
    assert "service/py.typed" in names


def test_an_installed_wheel_serves_its_own_model(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], check=True
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.chdir(tmp_path)
    where = "import service.config; print(service.config.default_models())"
    found = subprocess.run([sys.executable, "-c", where], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == str(site / "service/models/imdb-lstm")
    with serving(command=SERVE) as server:
        done = subprocess.run(
            [sys.executable, "-m", "service", "classify", "--target", server.target, "I loved it."],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ,
        )
    assert json.loads(done.stdout)["sentiment"] == "positive"
