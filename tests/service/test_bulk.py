"""Jobs over files: what they write, and how they go on after any end."""

import csv
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from bundle.store import Bundle
from service.bulk.errors import JobError
from service.bulk.folder import Folder
from service.bulk.job import Job, ModelId, run
from service.bulk.local import classify_locally
from service.bulk.outcomes import BLANK, Outcome
from service.bulk.parts import PART_ROWS, Part, classified
from service.bulk.remote import TEXTS_IN_FLIGHT, classify_remotely
from service.bulk.worker import Spec, Worker
from service.client import AsyncSentimentClient, ClientError
from service.config import Settings
from tests.service.running import Running, serving, until

ROWS = 3 * PART_ROWS + 100
MODEL = ModelId("imdb-lstm", "1", "fp32")
SCORE = (sys.executable, "-m", "service", "score")
NO_WORKER = "^a worker process was ended or could not be started, perhaps for want of memory; give the same"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture
def spec(shipped_path: Path) -> Spec:
    return Spec(shipped_path)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of ROWS reviews of up to 40 words, some of which have no answer."""
    return write_reviews(tmp_path_factory.mktemp("reviews") / "reviews.csv", ROWS)


def write_reviews(path: Path, rows: int) -> Path:
    moods = ("it was good. ", "the plot is dull, ", "never again; ", "what a film! ")
    texts = ["".join(moods[(row + word * word) % 4] for word in range(row % 11)) for row in range(rows)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([row, text] for row, text in enumerate(texts))])
    return path


def job(source: Path, output: Path, **changes: object) -> Job:
    """A job of the shipped model."""
    return Job(source, output, None, MODEL, Settings.max_text_bytes, **changes)  # type: ignore[arg-type]


def answered(path: Path) -> list[tuple[str, str, str]]:
    """Id, probability and error of each row of a CSV of answers."""
    with path.open(newline="") as file:
        return [(row["id"], row["positive_probability"], row["error"]) for row in csv.DictReader(file)]


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that nobody has waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_every_row_has_its_own_answer(reviews: Path, spec: Spec, tmp_path: Path, shipped: Bundle) -> None:
    run(job(reviews, tmp_path / "out.csv"), partial(classify_locally, spec, 1))
    rows = answered(tmp_path / "out.csv")
    assert [row[0] for row in rows] == [str(number) for number in range(ROWS)]
    assert {row[2] for row in rows[::11]} == {BLANK}
    assert {row[2] for row in rows[1::11]} == {""}
    assert list(tmp_path.iterdir()) == [tmp_path / "out.csv"]


def test_the_worker_gives_the_bundle_s_answers_in_the_texts_order(spec: Spec, shipped: Bundle) -> None:
    golden = shipped.graph_for("cpu").golden
    outcomes = Worker(spec).classify([*(answer.text for answer in golden), "<br />"])
    probabilities = [outcome.positive_probability for outcome in outcomes if not isinstance(outcome, str)]
    assert probabilities == pytest.approx([answer.positive_probability for answer in golden], abs=1e-6)
    assert outcomes[-1] == BLANK


def test_processes_and_a_server_answer_like_one_process(
    reviews: Path, spec: Spec, server: Running, tmp_path: Path
) -> None:
    connect = partial(AsyncSentimentClient, server.target)
    run(job(reviews, tmp_path / "one.csv"), partial(classify_locally, spec, 1))
    run(job(reviews, tmp_path / "two.csv"), partial(classify_locally, spec, 2))
    run(job(reviews, tmp_path / "server.csv"), partial(classify_remotely, connect))
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    for ours, theirs in zip(answered(tmp_path / "one.csv"), answered(tmp_path / "server.csv"), strict=True):
        assert (ours[0], ours[2]) == (theirs[0], theirs[2])
        assert float(ours[1] or 0) == pytest.approx(float(theirs[1] or 0), abs=1e-6)


def test_a_server_refuses_a_text_alone(server: Running, spec: Spec) -> None:
    parts = [["fine", "<br />"], [], ["x" * 70_000, "good"], ["bad"] * 2 * TEXTS_IN_FLIGHT]
    outcomes = list(classify_remotely(partial(AsyncSentimentClient, server.target), iter(parts)))
    assert [len(part) for part in outcomes] == [len(part) for part in parts]
    assert outcomes[0][1] == BLANK
    assert outcomes[2][0] == "text has 70000 bytes of UTF-8; send at most 65536"
    assert not isinstance(outcomes[2][1], str)


def test_a_server_that_is_not_there_ends_the_job(reviews: Path, tmp_path: Path) -> None:
    connect = partial(AsyncSentimentClient, "127.0.0.1:1", retries=0)
    with pytest.raises(ClientError, match="UNAVAILABLE"):
        run(job(reviews, tmp_path / "out.csv"), partial(classify_remotely, connect))


def test_a_job_that_fails_goes_on_where_it_was(
    reviews: Path, spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(parts: Iterator[list[str]]) -> Generator[list[Outcome]]:
        for outcomes, _ in zip(classify_locally(spec, 1, parts), range(2), strict=False):
            yield outcomes
        raise JobError("enough")

    asked = []

    def counts(parts: Iterator[list[str]]) -> Generator[list[Outcome]]:
        for outcomes in classify_locally(spec, 1, parts):
            asked.append(len(outcomes))
            yield outcomes

    with pytest.raises(JobError, match="enough"):
        run(job(reviews, tmp_path / "out.csv"), fails)
    assert not (tmp_path / "out.csv").exists()
    run(job(reviews, tmp_path / "out.csv"), counts)
    assert len(asked) == 2
    told = capsys.readouterr().err
    assert (
        f"{ROWS - 2 * PART_ROWS:,} rows, 382 without an answer (and {2 * PART_ROWS:,} rows by an earlier run), " in told
    )
    run(job(reviews, tmp_path / "whole.csv"), partial(classify_locally, spec, 1))
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_run_goes_on_and_loses_nothing(spec: Spec, tmp_path: Path, workers: str) -> None:
    reviews = write_reviews(tmp_path / "reviews.csv", 16 * PART_ROWS)  # so many that it is killed long before its end
    output, parts = tmp_path / "out.csv", tmp_path / "out.csv.parts"
    command = [*SCORE, str(reviews), str(output), "--workers", workers]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        until((parts / "000000.csv").exists)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    assert len(children) >= (2 if workers == "2" else 0)
    until(lambda: not any(map(is_alive, children)))
    assert not output.exists()
    written = {path: path.stat().st_mtime_ns for path in parts.glob("0*.csv")}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        until((parts / "000001.csv").exists)
        assert {path: path.stat().st_mtime_ns for path in written} == written  # none is made again
        assert process.wait(60) == 0
    run(job(reviews, tmp_path / "whole.csv"), partial(classify_locally, spec, 1))
    assert answered(output) == answered(tmp_path / "whole.csv")
    assert not parts.exists()


def test_a_worker_process_that_is_killed_ends_the_run_and_loses_nothing(
    reviews: Path, spec: Spec, tmp_path: Path
) -> None:
    def loses_a_worker(parts: Iterator[list[str]]) -> Generator[list[Outcome]]:
        yield from classify_locally(spec, 1, iter([next(parts)]))
        yield from classify_locally(spec, 2, kills_a_worker(parts))

    def kills_a_worker(parts: Iterator[list[str]]) -> Generator[list[str]]:
        yield next(parts)  # the processes are there once it is submitted
        victim = multiprocessing.active_children()[0]
        victim.kill()
        victim.join()
        yield from parts

    output = tmp_path / "out.csv"
    with pytest.raises(JobError, match=NO_WORKER):
        run(job(reviews, output), loses_a_worker)
    assert (tmp_path / "out.csv.parts" / "000000.csv").exists()
    assert not output.exists()
    run(job(reviews, output), partial(classify_locally, spec, 2))
    assert [row[0] for row in answered(output)] == [str(number) for number in range(ROWS)]


def test_a_worker_process_that_cannot_be_started_ends_the_run(spec: Spec) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def leaves_no_file_to_open() -> Iterator[list[str]]:
        yield ["The first process is there once this is submitted."]
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        yield ["The second would need pipes."]

    try:
        with pytest.raises(JobError, match=NO_WORKER):
            list(classify_locally(spec, 2, leaves_no_file_to_open()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert not multiprocessing.active_children()


def test_parts_of_another_run_are_not_mixed_in(reviews: Path, spec: Spec, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"

    def fails(parts: Iterator[list[str]]) -> Generator[list[Outcome]]:
        yield from (classify_locally(spec, 1, iter([next(parts)])))
        raise JobError("enough")

    with pytest.raises(JobError, match="enough"):
        run(job(reviews, output), fails)
    other = Job(reviews, output, None, ModelId("imdb-lstm", "1", "int8"), Settings.max_text_bytes)
    with pytest.raises(
        JobError, match=r"out\.csv\.parts belongs to another run \(precision: 'fp32' there, 'int8' here\)"
    ):
        run(other, partial(classify_locally, spec, 1))
    os.utime(reviews)
    with pytest.raises(JobError, match=r"belongs to another run .*delete it, or give --restart"):
        run(job(reviews, output), partial(classify_locally, spec, 1))
    run(job(reviews, output, restart=True), partial(classify_locally, spec, 1))
    assert len(answered(output)) == ROWS


def test_an_output_that_exists_is_replaced_only_when_asked(reviews: Path, spec: Spec, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("precious")
    with pytest.raises(JobError, match=r"out\.csv exists; name another output, or give --overwrite"):
        run(job(reviews, output), partial(classify_locally, spec, 1))
    assert output.read_text() == "precious"
    run(job(reviews, output, overwrite=True), partial(classify_locally, spec, 1))
    assert len(answered(output)) == ROWS
    with pytest.raises(JobError, match="is the input, too"):
        run(job(reviews, reviews, overwrite=True), partial(classify_locally, spec, 1))


def test_an_input_that_changes_meanwhile_is_noticed(spec: Spec, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("good\n")

    def changes(parts: Iterator[list[str]]) -> Generator[list[Outcome]]:
        yield from classify_locally(spec, 1, parts)
        source.write_text("good, and bad\n")

    with pytest.raises(JobError, match=r"in\.txt was changed while it was read"):
        run(job(source, tmp_path / "out.csv"), changes)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("rows", [[3, 2], [3, 4], [3], [3, 3, 1]])
def test_an_input_that_changes_between_its_two_readings_is_noticed(rows: list[int]) -> None:
    def parts(sizes: list[int]) -> Iterator[Part]:
        return (Part(number, [], ["good"] * size, 0) for number, size in enumerate(sizes))

    def answers(texts: Iterator[list[str]]) -> Generator[list[Outcome]]:
        for part in texts:
            yield [BLANK for _ in part]

    with pytest.raises(JobError, match="the input was changed while it was read; begin anew"):
        list(classified(parts([3, 3]), parts(rows), answers, Settings.max_text_bytes))


def test_a_disk_that_is_full_is_told_and_loses_nothing(reviews: Path, spec: Spec, tmp_path: Path) -> None:
    output, limits = tmp_path / "out.csv", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(
            JobError, match=r"cannot write .*/000000\.csv: File too large; mend that, and give the same"
        ):
            run(job(reviews, output), partial(classify_locally, spec, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    run(job(reviews, output), partial(classify_locally, spec, 1))
    assert len(answered(output)) == ROWS


def test_parts_that_nobody_answers_for_are_not_taken(reviews: Path, spec: Spec, tmp_path: Path) -> None:
    folder = tmp_path / "out.csv.parts"
    folder.mkdir()
    (folder / "000000.csv").write_text("not ours\n")
    run(job(reviews, tmp_path / "out.csv"), partial(classify_locally, spec, 1))
    assert len(answered(tmp_path / "out.csv")) == ROWS


def test_a_link_to_the_output_stays_one(reviews: Path, spec: Spec, tmp_path: Path) -> None:
    link, target = tmp_path / "link.csv", tmp_path / "out.csv"
    target.write_text("old")
    link.symlink_to(target)
    run(job(reviews, link, overwrite=True), partial(classify_locally, spec, 1))
    assert link.is_symlink()
    assert len(answered(target)) == ROWS


def test_a_run_killed_after_its_output_is_in_place_has_nothing_left_to_do(
    reviews: Path, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output, remove = tmp_path / "out.csv", Folder.remove

    def killed(folder: Folder) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Folder, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        run(job(reviews, output), partial(classify_locally, spec, 1))
    monkeypatch.setattr(Folder, "remove", remove)
    (tmp_path / "out.csv.parts" / "000000.csv").unlink()  # it had begun
    before = output.stat()
    run(job(reviews, output), partial(classify_locally, spec, 1))
    assert output.stat() == before
    assert "was done by an earlier run" in capsys.readouterr().err
    assert not (tmp_path / "out.csv.parts").exists()
    with pytest.raises(JobError, match="exists"):
        run(job(reviews, output), partial(classify_locally, spec, 1))


def test_two_runs_do_not_write_the_same_output(tmp_path: Path) -> None:
    with Folder(tmp_path / "out.csv", {}), pytest.raises(JobError, match=r"another run is writing .*out\.csv"):
        with Folder(tmp_path / "out.csv", {}):
            pass


def test_a_file_of_others_in_the_folder_is_never_deleted(reviews: Path, spec: Spec, tmp_path: Path) -> None:
    folder = tmp_path / "out.csv.parts"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    run(job(reviews, tmp_path / "out.csv", restart=True), partial(classify_locally, spec, 1))
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("notes.txt", "mine")]
    assert len(answered(tmp_path / "out.csv")) == ROWS


def test_what_a_job_writes_down_of_itself(reviews: Path, tmp_path: Path) -> None:
    def fails(parts: Iterator[list[str]]) -> Generator[list[Outcome]]:
        raise JobError("enough")
        yield []

    with pytest.raises(JobError, match="enough"):
        run(job(reviews, tmp_path / "out.jsonl"), fails)
    written = json.loads((tmp_path / "out.jsonl.parts" / "job.json").read_text())
    assert written == {
        "input": str(reviews),
        "input_size": reviews.stat().st_size,
        "input_modified_ns": reviews.stat().st_mtime_ns,
        "column": "text",
        "input_format": ".csv",
        "output_format": ".jsonl",
        "part_rows": PART_ROWS,
        "model_name": "imdb-lstm",
        "model_version": "1",
        "precision": "fp32",
    }
