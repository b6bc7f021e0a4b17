"""Several workers on one port: real processes, as a user runs them."""

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import grpc
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

import service
from bundle.store import Bundle
from service.config import Settings
from service.cores import usable_cores
from service.errors import PortError
from service.pb import sentiment_pb2 as pb
from service.pb import sentiment_pb2_grpc
from service.workers.port import hold_port
from tests.service.running import SERVE, Running, serving, until

Stub = sentiment_pb2_grpc.SentimentServiceStub
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]  # by name and labels

TWO = ("--workers", "2")
PATIENCE = 60.0  # seconds for a machine that is busy with something else
CONNECTIONS = 24  # none of which reaches one of two workers once in 8 million times

WORKERS = "sentiment_workers", frozenset[tuple[str, str]]()
RESTARTS = "sentiment_worker_restarts_total", frozenset[tuple[str, str]]()
ANSWERED = "sentiment_request_duration_seconds_count", frozenset({("method", "Classify"), ("code", "OK")})


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Two workers, which tests may kill: others take their place."""
    with serving(*TWO) as running:
        yield running


def status(server: Running, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}{path}", timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def scrape(server: Running) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics", timeout=30) as response:
        families = text_string_to_metric_families(response.read().decode())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }


def total(samples: Samples, name: str) -> float:
    return sum(value for (sample, _), value in samples.items() if sample == name)


def is_counter(name: str) -> bool:
    return name.endswith(("_total", "_bucket", "_count", "_sum"))


def workers_of(server: Running) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children()


def metrics_folder(server: Running) -> Path:
    return Path(workers_of(server)[0].environ()["PROMETHEUS_MULTIPROC_DIR"])


def until_replaced(server: Running, gone: psutil.Process) -> None:
    until(lambda: gone not in workers_of(server) and scrape(server)[WORKERS] == 2)


@contextmanager
def connections(server: Running, count: int = CONNECTIONS) -> Iterator[list[Stub]]:
    """So many connections, all open at the same time."""
    with ExitStack() as stack:
        apart = [("grpc.use_local_subchannel_pool", 1)]  # or equal channels would share one
        channels = [stack.enter_context(grpc.insecure_channel(server.target, apart)) for _ in range(count)]
        for channel in channels:
            grpc.channel_ready_future(channel).result(PATIENCE)
        yield [Stub(channel) for channel in channels]


def ask_all(stubs: list[Stub]) -> int:
    """One review over each connection; returns how many were answered."""
    calls = [stub.Classify.future(pb.ClassifyRequest(text="good")) for stub in stubs]
    return sum(call.exception() is None for call in calls)


def test_all_workers_are_connected_to_and_answer_rightly(server: Running, shipped: Bundle) -> None:
    golden = shipped.graph_for("cpu").golden
    request = pb.ClassifyBatchRequest(texts=[answer.text for answer in golden])
    expected = pytest.approx([answer.positive_probability for answer in golden], abs=1e-5)
    with connections(server) as stubs:
        for stub in stubs:
            answer = stub.ClassifyBatch(request)
            assert [one.positive_probability for one in answer.classifications] == expected
        for worker in workers_of(server):
            assert "ESTABLISHED" in {connection.status for connection in worker.net_connections()}


def test_the_series_are_those_of_a_single_process(server: Running) -> None:
    def series(running: Running) -> set[tuple[str, frozenset[str]]]:
        """Names and names of labels; when a series began is not known where processes count together."""
        names = {(name, frozenset(dict(labels))) for name, labels in scrape(running)}
        return {(name, labels) for name, labels in names if not name.endswith("_created")}

    with serving() as single:
        assert series(server) == series(single)


def test_a_killed_worker_is_replaced_and_what_it_counted_stays(server: Running) -> None:
    before = scrape(server)
    with connections(server) as stubs:
        assert ask_all(stubs) == CONNECTIONS
    counted = scrape(server)
    assert counted[ANSWERED] == before[ANSWERED] + CONNECTIONS
    killed, other = workers_of(server)
    killed.kill()
    until_replaced(server, killed)
    assert other in workers_of(server)
    after = scrape(server)
    assert after[ANSWERED] == counted[ANSWERED]
    assert after[RESTARTS] == before[RESTARTS] + 1
    assert [key for key in counted if is_counter(key[0]) and after[key] < counted[key]] == []
    with connections(server) as stubs:
        assert ask_all(stubs) == CONNECTIONS
    assert scrape(server)[ANSWERED] == counted[ANSWERED] + CONNECTIONS


def test_a_killed_worker_loses_its_own_calls_only(server: Running) -> None:
    with connections(server) as stubs:
        killed, _ = workers_of(server)
        its_own = sum(connection.status == "ESTABLISHED" for connection in killed.net_connections())
        killed.kill()
        killed.wait(PATIENCE)
        assert ask_all(stubs) >= CONNECTIONS - its_own
        assert status(server, "/readyz") == 200
    until_replaced(server, killed)


def test_a_worker_that_hangs_is_replaced(server: Running) -> None:
    hanging, _ = workers_of(server)
    hanging.suspend()
    until_replaced(server, hanging)
    assert any("has fallen silent and is killed" in line for line in server.log)


def test_a_worker_that_ends_again_and_again_is_replaced_later_and_later(shipped_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shipped_path, tmp_path / shipped_path.name))
    with serving(*TWO, "--models", str(tmp_path), "--log-format", "json") as server:
        (copy / "manifest.json").unlink()  # which none can do without that starts from now on
        workers_of(server)[0].kill()
        until(lambda: sum("takes its place" in line for line in server.log) >= 3)
        ends = [json.loads(line) for line in server.log if "takes its place" in line][:3]
        after = scrape(server)
        assert status(server, "/readyz") == 200
    assert [end["message"].split(" in ")[-1] for end in ends] == ["0 s", "1 s", "2 s"]
    _, second, third = (datetime.fromisoformat(end["time"]).timestamp() for end in ends)
    assert third - second > 0.9  # by the log's clock, which others may set
    assert after[WORKERS] == 1
    assert after["sentiment_queue_capacity", frozenset()] == Settings.max_queue_size


def test_metrics_are_of_the_workers_that_live(server: Running) -> None:
    now = scrape(server)
    assert now[WORKERS] == 2
    assert now["sentiment_queue_capacity", frozenset()] == 2 * Settings.max_queue_size
    assert now["sentiment_ready", frozenset()] == 1
    memory = sum(worker.memory_info().rss for worker in workers_of(server))
    assert now["process_resident_memory_bytes", frozenset()] > memory / 2
    until(lambda: total(scrape(server), "python_gc_collections_total") > 0)


def test_reviews_that_wait_are_counted_in_the_workers(server: Running) -> None:
    request = pb.ClassifyBatchRequest(texts=["good " * 500] * 512)
    with connections(server, 1) as (stub,):
        calls = [stub.ClassifyBatch.future(request)]

        def is_seen() -> bool:
            calls[:] = [call for call in calls if not call.done()]
            calls.extend(stub.ClassifyBatch.future(request) for _ in range(4 - len(calls)))  # always some to wait
            return total(scrape(server), "sentiment_queue_depth") > 0

        until(is_seen)
        for call in calls:
            call.cancel()
        until(lambda: total(scrape(server), "sentiment_queue_depth") == 0)


def test_sigterm_answers_what_was_accepted_and_leaves_nothing() -> None:
    with serving(*TWO) as server, connections(server) as stubs:
        workers, folder = workers_of(server), metrics_folder(server)
        request = pb.ClassifyBatchRequest(texts=["good " * 500] * 16)
        calls = [stub.ClassifyBatch.future(request) for stub in stubs]
        until(lambda: any(call.done() for call in calls))
        assert server.stop() == 0
        codes = [call.code() for call in calls]
        assert grpc.StatusCode.OK in codes
        assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        assert not any(worker.is_running() for worker in workers)
        assert not folder.exists()


def test_each_line_of_a_worker_says_which() -> None:
    with serving(*TWO) as server:
        assert server.stop() == 0
        assert sum("INFO worker 2 service.server: " in line for line in server.log) == 3
    with serving(*TWO, "--log-format", "json") as server:
        assert server.stop() == 0
        assert {json.loads(line).get("worker") for line in server.log} == {None, 1, 2}


def test_workers_end_when_their_supervisor_is_killed() -> None:
    with serving(*TWO) as server:
        workers, folder = workers_of(server), metrics_folder(server)
        server.process.kill()
        _, alive = psutil.wait_procs(workers, PATIENCE)
        assert alive == []
        assert not folder.exists()
        assert sum("stopped after" in line for line in server.log) == 2


def test_sigterm_during_the_start_is_not_lost(shipped_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shipped_path, tmp_path / shipped_path.name))
    manifest = (copy / "manifest.json").read_text()
    (copy / "manifest.json").unlink()
    os.mkfifo(copy / "manifest.json")
    command = [*SERVE, *TWO, "--models", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        with (copy / "manifest.json").open("w") as pipe:  # opens when the first worker has come to load it
            process.send_signal(signal.SIGTERM)
            pipe.write(manifest)
        _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "stopped with all workers" in log
    assert "worker 2" not in log


def test_a_bundle_that_must_not_be_served_is_told_once(shipped_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shipped_path, tmp_path / shipped_path.name))
    (copy / "manifest.json").write_text("{}")
    done = subprocess.run([*SERVE, *TWO, "--models", str(tmp_path)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert "manifest.json" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["gRPC", "HTTP"])
def test_a_port_in_use_is_told(server: Running, port: str) -> None:
    taken = server.grpc_port if port == "gRPC" else server.http_port
    for workers in ("1", "2"):
        command = [*SERVE, "--workers", workers, f"--{port.lower()}-port", str(taken)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 1
        assert f"error: cannot listen on 127.0.0.1:{taken} for {port}" in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_address_of_another_machine_is_told(workers: str) -> None:
    command = [*SERVE, "--workers", workers, "--host", "192.0.2.1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "error: cannot listen on 192.0.2.1:0 for " in done.stderr
    assert ": Cannot assign requested address; choose another --host" in done.stderr


def test_workers_run_the_code_of_their_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "grpc.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(service.__file__).parent.parent))
    with serving(*TWO, command=[SERVE[0], "-P", *SERVE[1:]]) as running:
        with grpc.insecure_channel(running.target) as channel:
            assert Stub(channel).Classify(pb.ClassifyRequest(text="good")).classification.token_count == 1
        assert running.stop() == 0


def test_ctrl_c_is_the_supervisor_s() -> None:
    with serving(*TWO) as running:
        supervisor = psutil.Process(running.process.pid)
        assert supervisor.children()
        assert os.getpgid(supervisor.pid) not in {os.getpgid(worker.pid) for worker in supervisor.children()}
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(30) == 0


def test_auto_is_a_worker_for_each_core() -> None:
    with serving("--workers", "auto") as server:
        assert scrape(server)[WORKERS] == usable_cores()


@pytest.mark.parametrize(
    ("own", "above", "cores"),
    [
        ("max 100000", None, 8),
        ("250000 100000", None, 2),
        ("50000 100000", None, 1),
        ("max 100000", "300000 100000", 3),
    ],
)
def test_a_quota_bounds_the_cores(
    own: str, above: str | None, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    group = tmp_path / "sys/fs/cgroup/pods/one"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pods/one\n")
    (group / "cpu.max").write_text(own)
    if above:
        (group.parent / "cpu.max").write_text(above)
    assert usable_cores(tmp_path) == cores


def test_a_port_is_held_before_anybody_listens_there() -> None:
    with hold_port("127.0.0.1", 0) as port:
        with (
            pytest.raises(PortError, match=f"cannot listen on 127.0.0.1:{port} for gRPC"),
            hold_port("127.0.0.1", port),
        ):
            pass
    with hold_port("127.0.0.1", port) as again:
        assert again == port
