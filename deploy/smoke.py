"""Builds the images, brings the stack up with two replicas, and checks it from outside. Run by `make compose-test`.

Under load all the while: one replica is killed, a rollout is interrupted, and the other version of the model is rolled
out. No call may fail.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from bundle.store import find_version, load_bundle
from service.client import ClientError, SentimentClient
from service.config import default_models

ROOT = Path(__file__).parents[1]
PROJECT = "review-sentiment-smoke"  # beside a stack that may be running, whose images it shares
VARIABLES = {
    "COMPOSE_PROJECT_NAME": PROJECT,
    "GRPC_BIND": "127.0.0.1",
    "REPLICAS": "1",
    "LOAD_RATE": "5",
    # 0: any that is free.
    **dict.fromkeys(("GRPC_PORT", "HTTP_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT"), "0"),
}
REPLICAS = ("service", "replica")
SERVICES = (*REPLICAS, "balancer", "prometheus", "alertmanager", "load")
LARGEST = 250_000_000  # bytes of the CPU image above its base
TOLERANCE = 1e-5
CALLERS = 8
STARTED = time.monotonic()
NOT_INSIDE = """
import importlib.util, shutil, sys
found = [name for name in ("pip", "pip3", "gcc", "cc") if shutil.which(name)]
found += [name for name in ("pip", "setuptools", "torch", "onnx", "pyarrow") if importlib.util.find_spec(name)]
sys.exit(f"in the image: {found}" if found else 0)
"""


def run(*command: str, **variables: str) -> str:
    """The standard output of a command; its standard error goes where ours does."""
    environment = os.environ | VARIABLES | variables
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def compose(*command: str) -> str:
    return run("docker", "compose", "--progress", "quiet", "--profile", "scale", "--profile", "load", *command)


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


def port(service: str, inside: int) -> str:
    return compose("port", service, str(inside))


def poll(what: str, found: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.5)


def ask_prometheus(path: str) -> Any:
    with urllib.request.urlopen(f"http://{port('prometheus', 9090)}/api/v1/{path}", timeout=5) as response:
        return json.load(response)["data"]


@contextmanager
def stack() -> Iterator[None]:
    """The stack, torn down whatever happens."""
    try:
        compose("up", "--detach", "--wait", *SERVICES)
        yield
    except BaseException:
        print(compose("ps", "--all"), compose("logs", "--tail", "40"), sep="\n", file=sys.stderr)
        raise
    finally:
        compose("down", "--volumes", "--timeout", "10")


class Load:
    """Callers through the balancer; what fails for good is kept."""

    def __init__(self, target: str) -> None:
        self.answers, self.slowest, self.failures = 0, 0.0, list[str]()
        self._target, self._ending = target, threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        with SentimentClient(self._target, timeout=30) as client:  # a test machine may be busy
            while not self._ending.is_set():
                started = time.monotonic()
                try:
                    client.classify("I loved every minute of it.")
                    self.answers += 1
                    self.slowest = max(self.slowest, time.monotonic() - started)
                except ClientError as error:
                    self.failures.append(str(error))

    def check(self, what: str, before: int) -> None:
        """That nothing failed, and that answers went on coming."""
        assert not self.failures, f"{what}: {len(self.failures)} calls failed, such as {self.failures[0]}"
        assert self.answers > before, f"{what}: no answers"
        say(f"{what}: {self.answers - before} calls, none failed, the slowest took {self.slowest:.2f} s")
        self.slowest = 0.0


def build() -> None:
    compose("build")
    sizes = {
        name: int(run("docker", "image", "inspect", "--format", "{{.Size}}", image)) for name, image in images().items()
    }
    for name, size in sizes.items():
        say(f"image {name}: {size / 1e6:.0f} MB")
    above = sizes["cpu"] - sizes["base"]
    assert above <= LARGEST, f"the CPU image is {above / 1e6:.0f} MB above its base"
    run("docker", "run", "--rm", "--entrypoint", "python", images()["cpu"], "-c", NOT_INSIDE)
    say(f"the CPU image is {above / 1e6:.0f} MB above its base; no pip, compiler or torch in it")


def images() -> dict[str, str]:
    return {
        "base": os.environ.get("BASE_IMAGE", "python:3.11-slim-bookworm"),
        "cpu": os.environ.get("SERVICE_IMAGE", "review-sentiment:cpu"),
        "balancer": os.environ.get("BALANCER_IMAGE", "review-sentiment-balancer:local"),
    }


def seconds_to_healthy(container: str) -> float:
    state = json.loads(run("docker", "inspect", "--format", "{{json .State}}", container))
    healthy = min(check["End"] for check in state["Health"]["Log"] if check["ExitCode"] == 0)
    # Nanoseconds are more than Python reads.
    started, ended = (datetime.fromisoformat(time[:26].rstrip("Z")) for time in (state["StartedAt"], healthy))
    return (ended - started).total_seconds()


def check_healthy() -> None:
    for service in (*REPLICAS, "balancer", "prometheus"):
        say(f"{service} was healthy after {seconds_to_healthy(compose('ps', '--quiet', service)):.1f} s")


def check_answers(target: str, version: str) -> None:
    """Both replicas serve the version (each gets its turn), and what it says is what its bundle says."""
    bundle = load_bundle(find_version(default_models(), version))
    with SentimentClient(target) as client:
        model = client.model()
        assert model.version == bundle.manifest.version, f"version {model.version} answers"
        golden = next(graph for graph in bundle.graphs if graph.variant.precision == model.precision).golden
        for _ in REPLICAS:
            for answer in golden:
                said = client.classify(answer.text).positive_probability
                assert abs(said - answer.positive_probability) <= TOLERANCE, f"{said} for {answer.text!r}"
    say(f"version {model.version} in {model.precision}: {len(golden)} golden answers, to {TOLERANCE:g}")


def check_kernel(target: str) -> None:
    """What the image has compiled runs the model where the processor can; no other check would miss it."""
    flags = compose("exec", "-T", "service", "cat", "/proc/cpuinfo").split()
    can = "avx2" in flags or "avx512_vnni" in flags
    with SentimentClient(target) as client:
        model = client.model()
    assert model.kernel == ("native" if can else "onnxruntime"), f"{model.kernel} runs the model"
    say(f"{model.kernel} runs the model, in batches of up to {model.max_batch_size}; AVX2 or AVX-512 VNNI: {can}")


def check_prometheus() -> None:
    up = urllib.parse.urlencode({"query": 'up{job="sentiment"}'})
    ones = [[1.0] * len(REPLICAS)]
    poll(
        "replicas in Prometheus",
        lambda: [[float(one["value"][1]) for one in ask_prometheus(f"query?{up}")["result"]]] == ones,
    )
    say(f"Prometheus sees {len(REPLICAS)} replicas up")
    poll("rules evaluated", lambda: all(rule["health"] != "unknown" for rule in rules()))
    failing = [(rule["name"], rule["lastError"]) for rule in rules() if rule["health"] != "ok"]
    assert rules() and not failing, f"rules that do not evaluate: {failing}"
    say(f"{len(rules())} rules evaluate, {sum(rule['type'] == 'alerting' for rule in rules())} of them alerts")


def rules() -> list[dict[str, str]]:
    return [rule for group in ask_prometheus("rules")["groups"] for rule in group["rules"]]


def kill_a_replica(load: Load) -> None:
    before, victim = load.answers, compose("ps", "--quiet", "replica")
    run("docker", "kill", victim)
    time.sleep(3)
    load.check("a replica killed", before)
    run("docker", "start", victim)
    poll("the killed replica again", lambda: serving() == len(REPLICAS))


def interrupt_a_rollout(load: Load) -> None:
    before = load.answers
    with subprocess.Popen(["deploy/roll.sh"], cwd=ROOT, env=os.environ | VARIABLES, start_new_session=True) as rolling:
        poll("a replica being replaced", lambda: serving() < len(REPLICAS))
        os.killpg(rolling.pid, signal.SIGINT)
    compose("up", "--detach", "--wait", *SERVICES)
    poll("both replicas again", lambda: serving() == len(REPLICAS))
    load.check("a rollout interrupted", before)


def serving() -> int:
    """Replicas, as the balancer finds them."""
    return int(compose("exec", "-T", "balancer", "/etc/haproxy/balancer", "up"))


def roll(load: Load, target: str) -> None:
    before = load.answers
    run("deploy/roll.sh", SENTIMENT_MODEL_VERSION="1")
    load.check("version 1 rolled out", before)
    check_answers(target, "1")


def main() -> int:
    """All of it; exits with 0 where there is no engine."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        print("compose-test skipped: no container engine answers `docker info`")
        return 0
    build()
    with stack():
        say("up")
        check_healthy()
        target = port("balancer", 50051)
        check_answers(target, "newest")
        check_kernel(target)
        check_prometheus()
        with Load(target) as load:
            time.sleep(1)
            kill_a_replica(load)
            interrupt_a_rollout(load)
            roll(load, target)
        load.check("all of it", 0)
    say("down")
    print("compose-test passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
