"""The table of errors, in the code and in the docs."""

import re
from pathlib import Path

from service import errors
from service.cli import ExitStatus
from service.statuses import INTERNAL, INTERNAL_MESSAGE, RULES, rule_of, to_status

DOCS = (Path(__file__).parent.parent.parent / "docs/errors.md").read_text()


def test_every_refusal_has_a_rule_of_its_own() -> None:
    assert set(RULES) == set(errors.RequestError.__subclasses__())
    assert len({rule.code for rule in (*RULES.values(), INTERNAL)}) == len(RULES) + 1
    assert rule_of(errors.Draining()) is RULES[errors.Draining]
    assert to_status(RuntimeError("secret")).message == INTERNAL_MESSAGE


def test_the_docs_have_the_table() -> None:
    rows = [
        f"| {rule.code.name} | {rule.when} | {rule.remedy} | {'yes' if rule.retry else 'no'} |"
        for rule in (*RULES.values(), INTERNAL)
    ]
    assert re.findall(r"^\| [A-Z_]{4,} .*$", DOCS, re.MULTILINE) == rows


def test_the_docs_have_the_exit_statuses() -> None:
    documented = {int(number) for number in re.findall(r"^\| (\d+) ", DOCS, re.MULTILINE)}
    assert documented == {*ExitStatus, 2}  # which is argparse's
