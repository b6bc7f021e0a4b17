"""The built wheel serves without a clone, with and without what a C compiler makes of bundle/native."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from service.client import SentimentClient
from service.native_lstm import best_instruction_set
from tests.service.running import SERVE, serving

ROOT = Path(__file__).parent.parent
NATIVE = "bundle/native/_native.so"

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")


def build(kind: str, source: Path, folder: Path, **variables: str) -> Path:
    """A wheel or source distribution of the tree at `source`."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, env=os.environ | variables)
    (built,) = folder.iterdir()
    return built


def install(wheel: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Install into a folder that comes before the clone, far from it; returns the folder."""
    site = folder / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], check=True
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.chdir(folder)
    return site


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def plain_wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built where there is no compiler; from the source distribution, because the clone's own library is in use."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("dist"), CC="false")


def test_the_wheel_holds_the_packages_and_the_model_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"bundle", "export", "service", "review_sentiment-0.1.0.dist-info"}
    assert "service/models/imdb-lstm/1/model.onnx" in names
    assert "service/py.typed" in names


@needs_compiler
def test_the_wheel_holds_what_was_compiled_and_says_for_which_platform(wheel: Path) -> None:
    assert [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")] == [NATIVE]
    assert wheel.name.startswith("review_sentiment-0.1.0-py3-none-") and not wheel.name.endswith("-any.whl")


def test_the_source_distribution_holds_what_is_to_be_compiled_and_nothing_compiled(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    native = {name for name in names if name.startswith("bundle/native/") and not name.endswith(".py")}
    assert native == {str(path.relative_to(ROOT)) for path in (ROOT / "bundle" / "native").glob("*.[ch]")} != set()
    assert "hatch_build.py" in names


def test_a_wheel_without_a_compiler_fits_every_platform(plain_wheel: Path) -> None:
    assert plain_wheel.name == "review_sentiment-0.1.0-py3-none-any.whl"
    assert NATIVE not in zipfile.ZipFile(plain_wheel).namelist()


def test_dependencies_can_be_installed_before_there_is_any_code(tmp_path: Path) -> None:
    """As the Dockerfile does it, to keep them apart from the code."""
    source = tmp_path / "stub"
    for folder in ("bundle", "export", "models", "service"):
        (source / folder).mkdir(parents=True)
    for empty in ("LICENSE", "README.md"):
        (source / empty).touch()
    for copied in ("hatch_build.py", "pyproject.toml"):
        shutil.copy(ROOT / copied, source)
    assert build("wheel", source, tmp_path / "dist").name == "review_sentiment-0.1.0-py3-none-any.whl"


def test_an_installed_wheel_serves_its_own_model(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = install(wheel, monkeypatch, tmp_path)
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
        with SentimentClient(server.target) as client:
            assert client.model().kernel == ("native" if best_instruction_set() else "onnxruntime")
    assert json.loads(done.stdout)["sentiment"] == "positive"


def test_it_serves_without_what_a_compiler_makes(
    plain_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(plain_wheel, monkeypatch, tmp_path)
    with serving(command=SERVE) as server, SentimentClient(server.target) as client:
        assert client.model().kernel == "onnxruntime"
        assert client.classify("I loved it.").sentiment == "positive"
