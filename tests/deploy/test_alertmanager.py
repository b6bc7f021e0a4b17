"""Alertmanager's configuration: who hears of what, and what is kept quiet, by the real programs."""

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import free_port

CONFIG = Path(__file__).parents[2] / "deploy" / "alertmanager" / "alertmanager.yml"
SERVER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")

pytestmark = pytest.mark.skipif(
    SERVER is None or shutil.which("amtool") is None,
    reason="needs the programs amtool and alertmanager (Debian: apt install prometheus-alertmanager)",
)


def amtool(*arguments: str) -> str:
    done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_configuration_is_valid() -> None:
    assert "SUCCESS" in amtool("check-config", str(CONFIG))


@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_each_severity_has_a_receiver(severity: str) -> None:
    assert amtool("config", "routes", "test", f"--config.file={CONFIG}", f"severity={severity}").strip() == severity


def test_no_secret_is_in_the_file() -> None:
    assert not re.search(r"(?:_key|_url|password|token|credentials):", CONFIG.read_text())


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a running Alertmanager."""
    address = f"127.0.0.1:{free_port()}"
    where = f"--storage.path={tmp_path_factory.mktemp('alertmanager')}", f"--web.listen-address={address}"
    command = [str(SERVER), f"--config.file={CONFIG}", *where, "--cluster.listen-address="]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not is_up(f"http://{address}/-/ready"):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield f"http://{address}/api/v2/alerts"
        finally:
            process.terminate()


def is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return False
    except urllib.error.URLError:
        return False


def test_pages_and_targets_that_are_down_silence_what_follows_from_them(api: str) -> None:
    quiet = [
        ("SentimentLatencyBudgetBurn", "ticket", "a job", None),
        ("SentimentQueueSaturated", "ticket", "b job", "b1"),
        ("SentimentAvailabilityBudgetBurn", "page", "c job", None),
    ]
    loud = [
        # A page quietens the tickets of its own name only.
        ("SentimentLatencyBudgetBurn", "page", "a job", None),
        ("SentimentAvailabilityBudgetBurn", "ticket", "a job", None),
        # One replica of two is down: the other's alerts and those of the job go on.
        ("SentimentTargetDown", "ticket", "b job", "b1"),
        ("SentimentQueueSaturated", "ticket", "b job", "b2"),
        ("SentimentLatencyBudgetBurn", "ticket", "b job", None),
        # All are down.
        ("SentimentTargetDown", "page", "c job", None),
    ]
    send(api, [*quiet, *loud])
    deadline = time.monotonic() + 5
    while len(list(inhibited(api))) < len(quiet) and time.monotonic() < deadline:
        time.sleep(0.05)  # it takes alerts in after it has answered
    assert sorted(inhibited(api)) == sorted(f"{name} {severity} {job}" for name, severity, job, _ in quiet)


def send(api: str, alerts: list[tuple[str, str, str, str | None]]) -> None:
    names = ("alertname", "severity", "job", "instance")
    body = [{"labels": {key: value for key, value in zip(names, alert, strict=True) if value}} for alert in alerts]
    request = urllib.request.Request(api, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5):
        pass


def inhibited(api: str) -> Iterator[str]:
    with urllib.request.urlopen(api, timeout=5) as response:
        alerts: list[dict[str, Any]] = json.load(response)
    for alert in alerts:
        if alert["status"]["inhibitedBy"]:
            yield "{alertname} {severity} {job}".format(**alert["labels"])
