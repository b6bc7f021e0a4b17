"""`score` as a Ray Data job, on a real Ray of this machine."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from service.bulk.parts import PART_ROWS

ROWS = 4 * PART_ROWS
COMMAND = (sys.executable, "-m", "service", "score")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ROWS reviews, a few of them blank."""
    path = tmp_path_factory.mktemp("reviews") / "reviews.txt"
    moods = ("it was good. ", "the plot is dull, ", "never again; ", "what a film! ")
    texts = ("".join(moods[(row + word * word) % 4] for word in range(row % 23)) for row in range(ROWS))
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def actors(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that have an engine."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "MapWorker" in " ".join(child.cmdline())]


@pytest.mark.timeout(240)
def test_a_cluster_answers_row_for_row_as_one_process_even_when_a_worker_is_killed(
    reviews: Path, tmp_path: Path
) -> None:
    alone, ray = tmp_path / "alone.csv", tmp_path / "ray.csv"
    subprocess.run([*COMMAND, str(reviews), str(alone), "--workers", "1"], check=True, stderr=subprocess.DEVNULL)
    command = [*COMMAND, str(reviews), str(ray), "--ray", "local", "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        first = tmp_path / "ray.csv.parts" / "000000.csv"
        while not first.exists():
            assert process.poll() is None
            time.sleep(0.01)
        working = actors(process)
        for worker in working:
            worker.kill()
        _, log = process.communicate()
    assert len(working) == 2
    assert process.returncode == 0, log
    assert ray.read_bytes() == alone.read_bytes()
    assert f"{ROWS:,} rows, " in log
