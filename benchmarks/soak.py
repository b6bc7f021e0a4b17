"""Many clients at once, with random cancellations and deadlines, against a server process of its own.

    .venv/bin/python -m benchmarks.soak --seconds 120

Every call that is neither cancelled nor late must be answered, and rightly; nothing may hang; memory must stay flat.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
import psutil

from bundle.store import Bundle, find_version, load_bundle
from service.config import default_models
from service.pb import sentiment_pb2 as pb
from service.pb import sentiment_pb2_grpc
from tests.service.running import serving

TOLERANCE = 1e-5
HANG = 10.0  # seconds that no call may take
MEBIBYTE = 2**20


@dataclass
class Report:
    """What became of the calls, and the server's memory (bytes) over time."""

    outcomes: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)

    @property
    def growth(self) -> int:
        """Memory (bytes) at the end over that after the first fifth, when everything is warm."""
        return self.memory[-1] - self.memory[len(self.memory) // 5]

    def problems(self) -> list[str]:
        """What must not have happened."""
        fine = {"answered", "cancelled", "late"}
        found = [f"{count} calls: {outcome}" for outcome, count in self.outcomes.items() if outcome not in fine]
        if self.growth > 16 * MEBIBYTE:
            found.append(f"memory grew by {self.growth / MEBIBYTE:.1f} MiB")
        return found


async def client(target: str, bundle: Bundle, seconds: float, rng: random.Random, outcomes: Counter[str]) -> None:
    """Call after call until the time is over; a tenth are cancelled, a tenth have a deadline of a few milliseconds."""
    async with grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answers = rng.choices(bundle.golden, k=rng.choice([1, 1, 1, 8]))
            kind = rng.choices(["plain", "cancel", "deadline"], [8, 1, 1])[0]
            timeout = rng.uniform(0.001, 0.05) if kind == "deadline" else HANG
            request = pb.ClassifyBatchRequest(texts=[answer.text for answer in answers])
            call = stub.ClassifyBatch(request, timeout=timeout)
            if kind == "cancel":
                await asyncio.sleep(rng.uniform(0, 0.03))
                call.cancel()
            expected = [answer.positive_probability for answer in answers]
            outcomes[await outcome(call, expected, kind)] += 1


async def outcome(
    call: grpc.aio.UnaryUnaryCall[pb.ClassifyBatchRequest, pb.ClassifyBatchResponse], expected: list[float], kind: str
) -> str:
    """How a call ended: answered, cancelled, late, or what went wrong."""
    try:
        response = await call
    except asyncio.CancelledError:
        return "cancelled" if kind == "cancel" else "cancelled by nobody"
    except grpc.aio.AioRpcError as error:
        late = kind == "deadline" and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return "late" if late else f"{error.code().name} {error.details()}"
    found = [answer.positive_probability for answer in response.classifications]
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
