"""What every test may use: the shipped bundle, asyncio in its debug mode, an engine that waits."""

import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bundle.store import Bundle, find_version, load_bundle
from service.config import default_models
from service.engine import Engine


def pytest_configure() -> None:
    """Let processes that tests start heed Ctrl-C, which whatever a script starts in the background ignores."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """asyncio in debug mode, which tells of coroutines never awaited and of callbacks that block."""
    return "asyncio", {"debug": True}


@pytest.fixture(scope="session")
def shipped_path() -> Path:
    """Folder of the shipped bundle that the service takes by default."""
    return find_version(default_models())


@pytest.fixture(scope="session")
def shipped(shipped_path: Path) -> Bundle:
    """The shipped bundle, loaded."""
    return load_bundle(shipped_path)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While clear, holds every batch in the real engine."""
    opened, run = threading.Event(), Engine.run
    opened.set()

    def gated(self: Engine, sequences: Sequence[Sequence[int]]) -> list[float]:
        assert opened.wait(30)
        return run(self, sequences)

    monkeypatch.setattr(Engine, "run", gated)
    yield opened
    opened.set()
