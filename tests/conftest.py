"""What every test may use: the shipped bundle, and asyncio in its debug mode."""

from pathlib import Path
from typing import Any

import pytest

from bundle.store import Bundle, find_version, load_bundle
from service.config import default_models


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
