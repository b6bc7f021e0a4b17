"""The commands as processes, as a user runs them."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from service.cli import main
from service.pb import sentiment_pb2 as pb
from tests.service.answering import answering
from tests.service.running import SERVE, Running, serving

COMMAND = (sys.executable, "-m", "service")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its output not a terminal."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )


def first_words(log: list[str]) -> list[str]:
    """The first word of each line's message."""
    return [line.split(": ", 1)[1].split()[0] for line in log]


def test_classify_prints_json_lines_when_piped(server: Running) -> None:
    done = run("classify", "--target", server.target, "I loved it.", "A complete waste of two hours.")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(answer["text"], answer["sentiment"]) for answer in answers] == [
        ("I loved it.", "positive"),
        ("A complete waste of two hours.", "negative"),
    ]
    assert answers[0].keys() == {
        *("text", "sentiment", "positive_probability", "token_count", "truncated", "unknown_token_ratio")
    }


def test_classify_prints_a_table_on_a_terminal(server: Running) -> None:
    ours, theirs = pty.openpty()
    subprocess.run(
        [*COMMAND, "classify", "--target", server.target, "I loved it."], stdout=theirs, check=True, timeout=60
    )
    os.close(theirs)
    row = os.read(ours, 10_000).decode()
    os.close(ours)
    assert row.split()[0] == "positive"
    assert row.split()[1].endswith("%")
    assert row.rstrip().endswith("I loved it.")


def test_classify_reads_standard_input_and_files_a_review_a_line(server: Running, tmp_path: Path) -> None:
    lines = "".join(f"film number {number}\n\n" for number in range(100))
    file = tmp_path / "reviews.txt"
    file.write_text(lines)
    piped = run("classify", "--target", server.target, stdin=lines)
    read = run("classify", "--target", server.target, "--file", str(file))
    assert [json.loads(line)["text"] for line in piped.stdout.splitlines()] == lines.split("\n\n")[:-1]
    assert read.stdout == piped.stdout
    assert "skipped 100 blank lines" in piped.stderr


def test_lines_are_answered_as_they_come(server: Running) -> None:
    command = [*COMMAND, "classify", "--target", server.target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        for text in ("the first", "the second"):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.write("no end of line")
        process.stdin.close()
        assert json.loads(process.stdout.readline())["text"] == "no end of line"
        assert process.wait(60) == 0


def test_bytes_that_are_not_utf_8_are_told(server: Running, tmp_path: Path) -> None:
    (tmp_path / "latin1.txt").write_bytes(b"caf\xe9\n")
    command = [*COMMAND, "classify", "--target", server.target]
    piped = subprocess.run(command, input=b"fine\ncaf\xe9\n", capture_output=True, timeout=60)
    named = subprocess.run([*command, "fine", b"caf\xe9"], capture_output=True, timeout=60)
    bench = run("bench", "--target", server.target, "--file", str(tmp_path / "latin1.txt"))
    assert (piped.returncode, named.returncode, bench.returncode) == (1, 1, 1)
    assert piped.stderr.startswith(b"error: standard input: line 2 has bytes that are not UTF-8 (at byte 4)")
    assert named.stderr.startswith(b"error: text 2 of the command line: line 1 has bytes that are not UTF-8")
    assert "latin1.txt: line 1 has bytes that are not UTF-8" in bench.stderr


def test_health_tells_and_exits_by_it(server: Running) -> None:
    assert (done := run("health", "--target", server.target)).returncode == 0
    assert done.stdout == "SERVING\n"


@pytest.mark.parametrize("command", [["classify", "fine"], ["health"]])
def test_no_server_is_an_error_without_a_traceback(command: list[str]) -> None:
    done = run(*command, "--target", "127.0.0.1:1", "--timeout", "2")
    assert done.returncode == 3
    assert done.stderr.startswith("error: UNAVAILABLE")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.UNAVAILABLE, 3),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 3),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 3),
        (grpc.StatusCode.INVALID_ARGUMENT, 1),
        (grpc.StatusCode.INTERNAL, 1),
    ],
)
def test_the_exit_status_says_whether_to_try_again(
    code: grpc.StatusCode, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(request: pb.ClassifyBatchRequest, context: grpc.ServicerContext) -> pb.ClassifyBatchResponse:
        context.abort(code, "not now")

    with answering(classify_batch=refuse) as port:
        assert main(["classify", "--target", f"127.0.0.1:{port}", "fine"]) == status
    assert capsys.readouterr() == ("", f"error: {code.name}: not now\n")


def test_ctrl_c_ends_the_reading_of_lines_without_a_word(server: Running) -> None:
    command = [*COMMAND, "classify", "--target", server.target]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write("fine\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == "fine"
        process.send_signal(signal.SIGINT)
        assert (process.wait(60), process.stderr.read()) == (-signal.SIGINT, "")


def test_a_command_that_is_interrupted_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("service.commands.health.connect", interrupted)
    assert main(["health"]) == 130


def test_a_missing_file_is_an_error_without_a_traceback(server: Running) -> None:
    done = run("classify", "--target", server.target, "--file", "/nowhere.txt")
    assert (done.returncode, done.stderr) == (1, "error: [Errno 2] No such file or directory: '/nowhere.txt'\n")


@pytest.mark.parametrize(
    ("flags", "environment", "reason"),
    [
        (["--max-batch-size", "none"], {}, "--max-batch-size is 'none'; it must be a whole number"),
        ([], {"SENTIMENT_GRCP_PORT": "1"}, "SENTIMENT_GRCP_PORT is not a setting"),
        (["--models", "/nowhere"], {}, "/nowhere: holds no model"),
        (["--model-version", "99"], {}, "holds no version 99"),
    ],
)
def test_a_server_that_cannot_start_says_why(flags: list[str], environment: dict[str, str], reason: str) -> None:
    done = run("serve", "--grpc-port", "0", "--http-port", "0", *flags, **environment)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told(server: Running) -> None:
    done = run("serve", "--grpc-port", str(server.grpc_port), "--http-port", "0")
    assert done.returncode == 1
    assert (
        f"error: cannot listen on {server.target} for gRPC: it may be in use; choose another --grpc-port" in done.stderr
    )


def test_sigterm_ends_with_status_0_and_a_line() -> None:
    with serving() as running:
        assert run("classify", "--target", running.target, "fine").returncode == 0
        assert running.stop() == 0
        assert first_words(running.log) == ["serving", "stopping:", "stopped"]


def test_sigterm_during_the_start_is_not_lost(shipped_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shipped_path, tmp_path / shipped_path.name))
    manifest = (copy / "manifest.json").read_text()
    (copy / "manifest.json").unlink()
    os.mkfifo(copy / "manifest.json")
    with subprocess.Popen([*SERVE, "--models", str(tmp_path)], stderr=subprocess.PIPE, text=True) as process:
        with (copy / "manifest.json").open("w") as pipe:  # opens when the server has come to load it
            process.send_signal(signal.SIGTERM)
            pipe.write(manifest)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert first_words(log.splitlines()) == ["serving", "stopping:", "stopped"]


def test_a_server_whose_engine_has_no_thread_any_more_ends_with_1() -> None:
    broken = "from service.request_queue import RequestQueue; RequestQueue.take = lambda *_: 1 / 0;"
    code = f"import sys; {broken} from service.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *SERVE[3:]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "CRITICAL service.server: the batcher died" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_logs_can_be_json() -> None:
    command = [*SERVE, "--log-format", "json"]
    with serving(command=command) as running:
        running.stop()
        assert [json.loads(line)["level"] for line in running.log] == ["info"] * 3


def test_serving_needs_neither_torch_nor_onnx() -> None:
    blocked = "import sys; sys.modules |= dict.fromkeys(('torch', 'onnx', 'pyarrow', 'tqdm'));"
    code = f"{blocked} from service.cli import main; sys.exit(main(sys.argv[1:]))"
    with serving(command=[sys.executable, "-c", code, *SERVE[3:]]) as running:
        done = run("classify", "--target", running.target, "I loved it.")
        assert json.loads(done.stdout)["sentiment"] == "positive"
        assert running.stop() == 0


def test_serving_leaves_nothing_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where onnxruntime would keep its telemetry
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    with serving() as running:
        assert run("classify", "--target", running.target, "fine").returncode == 0
        assert running.stop() == 0
    assert list(tmp_path.rglob("*")) == []


def test_model_describes_what_is_loaded(server: Running) -> None:
    done = run("model", "--target", server.target)
    assert json.loads(done.stdout)["name"] == "imdb-lstm"


def test_bench_reports_latencies(server: Running, tmp_path: Path) -> None:
    file = tmp_path / "reviews.txt"
    file.write_text("A fine film.\n\nA dull film.\n")
    for load in (["--concurrency", "4"], ["--rate", "200"]):
        done = run("bench", "--target", server.target, "--seconds", "0.5", "--file", str(file), *load)
        report = json.loads(done.stdout)
        assert (done.returncode, report["errors"]) == (0, {})
        assert report["answers"] > 10
        assert report["p50_ms"] <= report["p99_ms"] <= report["max_ms"]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--rate", "0"], "0 is not above 0"),
        (["--seconds", "x"], "invalid float value: 'x'"),
        (["--token-file", "x"], "--token-file needs --tls"),
    ],
)
def test_wrong_usage_ends_with_2(flags: list[str], reason: str) -> None:
    done = run("bench", *flags)
    assert done.returncode == 2
    assert reason in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_commands_and_flags(shell: str) -> None:
    done = run("completion", shell)
    assert done.returncode == 0
    for word in ("classify", "serve", "max-batch-size"):
        assert word in done.stdout


def test_the_port_of_a_container_s_settings_is_asked(server: Running) -> None:
    assert run("health", SENTIMENT_GRPC_PORT=str(server.grpc_port)).stdout == "SERVING\n"


def test_a_reader_who_leaves_ends_it_quietly(server: Running) -> None:
    process = subprocess.Popen(
        [*COMMAND, "classify", "--target", server.target], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    assert process.stdout
    process.stdout.close()
    _, log = process.communicate("film\n" * 1000, timeout=60)
    assert (process.returncode, log) == (1, "")
