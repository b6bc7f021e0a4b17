"""The TypeScript example of the docs, built from its lock file, against a real server."""

import asyncio
import os
import shutil
import subprocess
import threading
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from service.classification import Classification
from service.client import AsyncSentimentClient
from service.config import Settings
from service.server import Server
from tests.service.running import serving

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = Path("docs/examples/typescript")
NPM = shutil.which("npm")
PLACES = 4  # in the queue that is filled; the example has three reviews in flight

pytestmark = pytest.mark.timeout(600)  # npm fetches some 40 packages

REFUSAL = "refused INVALID_ARGUMENT: text is blank; send a text with at least one visible character"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the built example, where nothing lies that git does not know."""
    if NPM is None:
        if "CI" in os.environ:
            pytest.fail("CI must have the program npm; .ci/run installs it")
        pytest.skip("needs the program npm (Debian: apt install npm)")
    copy = tmp_path_factory.mktemp("typescript")
    shutil.copytree(ROOT / "protos", copy / "protos")
    shutil.copytree(ROOT / EXAMPLE, copy / EXAMPLE, ignore=shutil.ignore_patterns("node_modules", "generated", "build"))
    for arguments in (["ci"], ["run", "build"]):
        done = subprocess.run([NPM, *arguments], cwd=copy / EXAMPLE, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return copy / EXAMPLE


def check(lines: list[str]) -> None:
    """What the example prints of the shipped model."""
    (loved, waste), streamed, (refused,) = lines[:2], sorted(lines[2:-1]), lines[-1:]
    assert (loved.split()[0], waste.split()[0]) == ("positive", "negative")
    assert loved.endswith("% I loved every minute of it.") and waste.endswith("% A complete waste of two hours.")
    assert [line.split()[:2] for line in streamed] == [["a", "positive"], ["b", "refused"], ["c", "negative"]]
    assert (streamed[1], refused) == (f"b {REFUSAL}", REFUSAL)


def test_it_classifies_and_shows_refusals(built: Path) -> None:
    with serving() as server:
        command = ["node", "build/client.js", server.target]
        done = subprocess.run(command, cwd=built, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    check(done.stdout.splitlines())


async def until(server: Server, name: str, value: float, **labels: str) -> None:
    """Wait until a metric has reached a value."""
    async with asyncio.timeout(20):
        while (server.metrics.registry.get_sample_value(name, labels) or 0) < value:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def filled(server: Server, client: AsyncSentimentClient) -> list[asyncio.Task[Classification]]:
    """Callers who have the engine and then every place in the queue."""
    callers = [asyncio.create_task(client.classify("good"))]
    await until(server, "sentiment_requests_in_flight", 1)
    callers += [asyncio.create_task(client.classify("good")) for _ in range(PLACES)]
    await until(server, "sentiment_requests_in_flight", 1 + PLACES)
    return callers


async def test_it_tries_again_when_a_full_queue_has_room(built: Path, gate: threading.Event) -> None:
    server = Server(Settings(grpc_port=0, http_port=0, max_queue_size=PLACES, max_texts=PLACES))
    await server.start()
    target = f"127.0.0.1:{server.grpc_port}"
    async with AsyncSentimentClient(target, coalesce=False) as client:
        gate.clear()
        callers = await filled(server, client)
        example = await asyncio.create_subprocess_exec(
            "node", "build/client.js", target, cwd=built, stdout=PIPE, stderr=PIPE
        )
        await until(server, "sentiment_rejected_total", 1, reason="queue_full")
        gate.set()
        output, errors = await example.communicate()
        await asyncio.gather(*callers)
    await server.stop()
    assert example.returncode == 0, errors
    check(output.decode().splitlines())
