"""Prometheus' rules: what promtool makes of them, and whether their words are those of the service."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import grpc
import pytest

from service.calls import METHODS
from service.cli import build_parser
from service.config import PREFIX, Settings
from service.metrics import PROBABILITIES, SECONDS
from service.statuses import INTERNAL, RULES

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy" / "prometheus"
CASES = Path(__file__).with_name("rules_test.yml")
ALERTS, RECORDING = ((CONFIG / "rules" / name).read_text() for name in ("alerts.yml", "recording.yml"))
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None and "CI" not in os.environ,
    reason="needs the program promtool (Debian: apt install prometheus)",
)


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_configuration_and_rules_are_valid() -> None:
    run("promtool", "check", "config", "--lint-fatal", CONFIG / "prometheus.yml")
    run("promtool", "check", "rules", "--lint-fatal", *(CONFIG / "rules").iterdir())


@needs_promtool
def test_rules_do_what_their_cases_say() -> None:
    run("promtool", "test", "rules", CASES)


def test_every_recording_rule_has_its_values_checked() -> None:
    checked = re.findall(r"expr: (?:round\()?([\w:]+).*\n +exp_samples:\n", CASES.read_text())
    assert set(re.findall(r"- record: (\S+)", RECORDING)) == set(checked) - {
        "ALERTS"
    }  # which Prometheus records itself


def test_every_alert_has_a_case_that_fires_and_one_that_must_not() -> None:
    """Alerts of one name are told apart by their labels."""
    cases = re.findall(r"alertname: (\w+)\n +exp_alerts:( \[\])?((?:\n {10}.*)*)", CASES.read_text())
    fired = {(name, word) for name, _, expected in cases for word in labels_in(expected)}
    assert {name for name, nothing, _ in cases if nothing} == set(re.findall(r"- alert: (\w+)", ALERTS))
    for name, labels in re.findall(r"- alert: (\w+)\n(?: {8}.*\n)*? {8}labels: \{(.*)\}", ALERTS):
        assert any(name == other and set(labels.split(", ")) <= words for other, words in fired), f"{name} {labels}"


def labels_in(expected: str) -> list[frozenset[str]]:
    return [frozenset(labels.split(", ")) for labels in re.findall(r"exp_labels: \{(.*)\}", expected)]


def test_windows_are_those_of_the_names() -> None:
    rules = re.findall(r"record: (\S+)\n {8}expr:(.*(?:\n {10}.*)*)", RECORDING)
    assert len(rules) == RECORDING.count("- record: ")
    for name, expression in rules:
        for window in re.findall(r"\[(\w+)\]", expression):
            assert name.endswith(window)


def test_every_status_code_counts_for_or_against_availability() -> None:
    (excluded,), (errors,) = (re.findall(rf'code{operator}"(.*?)"', RECORDING) for operator in ("!~", "=~"))
    codes = {rule.code for rule in (*RULES.values(), INTERNAL)} | {grpc.StatusCode.CANCELLED}
    assert sorted(f"{excluded}|{errors}".split("|")) == sorted(code.name for code in codes)


def test_labels_have_values_that_exist() -> None:
    fast, half = sorted(set(map(float, re.findall(r'le="(.*?)"', RECORDING))))
    assert fast in SECONDS and half in PROBABILITIES
    (methods,) = set(re.findall(r'method=~"(.*?)"', RECORDING))
    assert set(methods.split("|")) <= set(METHODS)


def test_every_alert_is_in_the_runbook_and_the_reverse() -> None:
    named = re.findall(r"- alert: (\w+)", ALERTS)
    assert set(re.findall(r"^## (Sentiment\w+)$", RUNBOOK, re.MULTILINE)) == set(named)
    # GitHub's anchor of such a heading is its text in small letters.
    links = re.findall(r"runbook: docs/runbook\.md#(\S+)\n", ALERTS)
    assert links == [name.lower() for name in named]


def test_commands_and_settings_of_the_runbook_exist() -> None:
    for command in re.findall(r"^    review-sentiment (.+)$", RUNBOOK, re.MULTILINE):
        build_parser().parse_args(shlex.split(command))  # exits if it cannot
    settings = {PREFIX + setting.name.upper() for setting in fields(Settings)}
    assert set(re.findall(rf"\b{PREFIX}\w+", RUNBOOK)) <= settings


@needs_promtool
def test_queries_of_the_runbook_parse(tmp_path: Path) -> None:
    queries = [
        query for block in re.findall(r"```promql\n(.*?)```", RUNBOOK, re.DOTALL) for query in block.splitlines()
    ]
    assert queries
    rules = "".join(f"  - {{record: 'a:b:c{number}', expr: '{query}'}}\n" for number, query in enumerate(queries))
    (tmp_path / "rules.yml").write_text("groups:\n- name: runbook\n  rules:\n" + rules)
    run("promtool", "check", "rules", tmp_path / "rules.yml")
