"""Many clients at once, by every method, some cancelling, some in a hurry, against a server process of its own.

    .venv/bin/python -m benchmarks.soak --seconds 120

Every request that is neither cancelled nor late must be answered, and rightly; nothing may hang; memory must stay flat.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import psutil
from google.rpc import status_pb2

from bundle.store import Bundle, find_version, load_bundle
from service.config import default_models
from service.pb import sentiment_pb2 as pb
from service.pb import sentiment_pb2_grpc
from tests.service.running import serving

if TYPE_CHECKING:
    Stub = sentiment_pb2_grpc.SentimentServiceAsyncStub

TOLERANCE = 1e-5
# What gRPC's asyncio client says when a stream's deadline passes as it writes (grpc/grpc issue 36066).
LATE_WHILE_WRITING = "Internal error from Core"
HANG = 10.0  # seconds that no request may take
MEBIBYTE = 2**20


@dataclass
class Report:
    """What became of the requests, and the server's memory (bytes) over time."""

    outcomes: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)

    @property
    def growth(self) -> int:
        """Memory (bytes) at the end over that after the first fifth, when everything is warm."""
        return self.memory[-1] - self.memory[len(self.memory) // 5]

    def problems(self) -> list[str]:
        """What must not have happened."""
        fine = {"answered", "cancelled", "late"}
        found = [f"{count} requests: {outcome}" for outcome, count in self.outcomes.items() if outcome not in fine]
        if self.growth > 16 * MEBIBYTE:
            found.append(f"memory grew by {self.growth / MEBIBYTE:.1f} MiB")
        return found


class StreamError(Exception):
    """A stream answered a review with an error."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.late = status.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


async def by_classify(stub: "Stub", texts: list[str], limit: float) -> list[float]:
    """One call a text, all at once."""
    calls = [stub.Classify(pb.ClassifyRequest(text=text), timeout=limit) for text in texts]
    return [(await call).classification.positive_probability for call in calls]


async def by_batch(stub: "Stub", texts: list[str], limit: float) -> list[float]:
    """One call for all texts."""
    response = await stub.ClassifyBatch(pb.ClassifyBatchRequest(texts=texts), timeout=limit)
    return [answer.positive_probability for answer in response.classifications]


async def by_stream(stub: "Stub", texts: list[str], limit: float) -> list[float]:
    """One stream for all texts."""
    requests = [pb.ClassifyStreamRequest(id=str(number), text=text) for number, text in enumerate(texts)]
    answers = {}
    async for response in stub.ClassifyStream(iter(requests), timeout=limit):
        if response.HasField("error"):
            raise StreamError(response.error)
        answers[response.id] = response.classification.positive_probability
    return [answers[request.id] for request in requests]


async def client(target: str, bundle: Bundle, seconds: float, rng: random.Random, outcomes: Counter[str]) -> None:
    """Request after request until the time is over: eight in ten plain, one cancelled, one with a short deadline."""
    async with grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub: Stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answers = rng.choices(bundle.graph_for("cpu").golden, k=rng.randint(1, 8))
            ask = rng.choice([by_classify, by_batch, by_stream])
            kind = rng.choices(["plain", "cancelled", "late"], [8, 1, 1])[0]
            limit = rng.uniform(0.001, 0.05) if kind == "late" else HANG
            asking = asyncio.create_task(ask(stub, [answer.text for answer in answers], limit))
            if kind == "cancelled":
                await asyncio.sleep(rng.uniform(0, 0.03))
                asking.cancel()
            outcomes[await outcome(asking, [answer.positive_probability for answer in answers], kind)] += 1


async def outcome(asking: asyncio.Task[list[float]], expected: list[float], kind: str) -> str:
    """How a request ended: answered, cancelled, late, or what went wrong."""
    try:
        found = await asking
    except asyncio.CancelledError:
        # Of a few ten thousand deadlines, gRPC's asyncio client reports one as a cancellation.
        return kind if kind != "plain" else "plain, but cancelled by nobody"
    except StreamError as error:
        return "late" if kind == "late" and error.late else f"{kind}, but {error}"
    except grpc.aio.AioRpcError as error:
        late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED or error.details() == LATE_WHILE_WRITING
        return "late" if kind == "late" and late else f"{kind}, but {error.code().name} {error.details()}"
    close = len(found) == len(expected) and all(abs(a - b) <= TOLERANCE for a, b in zip(found, expected, strict=True))
    return "answered" if close else "answered wrongly"


async def watch(process: psutil.Process, seconds: float, memory: list[int]) -> None:
    """Sample the resident memory."""
    for _ in range(100):
        await asyncio.sleep(seconds / 100)
        memory.append(process.memory_info().rss)


async def soak(target: str, pid: int, bundle: Bundle, clients: int, seconds: float, seed: int = 0) -> Report:
    """Run the clients against a server."""
    report = Report()
    rngs = [random.Random(f"{seed} {number}") for number in range(clients)]
    async with asyncio.timeout(seconds + 4 * HANG), asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(psutil.Process(pid), seconds, report.memory))
        for rng in rngs:
            tasks.create_task(client(target, bundle, seconds, rng, report.outcomes))
    return report


def main() -> None:
    """Soak and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=64)
    arguments = parser.parse_args()
    bundle = load_bundle(find_version(default_models()))
    with serving() as server:
        pid = server.process.pid
        report = asyncio.run(soak(server.target, pid, bundle, arguments.clients, arguments.seconds))
        status = server.stop()
    print(dict(report.outcomes))
    print(f"memory: {report.memory[-1] / MEBIBYTE:.1f} MiB, {report.growth / MEBIBYTE:+.1f} since warm; exit {status}")
    if problems := report.problems():
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
