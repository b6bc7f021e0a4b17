import json
import logging
import sys

import pytest

from service.logs import JsonFormatter, RefusalLog


def test_a_json_line_carries_its_traceback() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        record = logging.LogRecord("service", logging.ERROR, "f.py", 1, "failed on %d", (3,), sys.exc_info())
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["message"]) == ("error", "failed on 3")
    assert line["exception"].endswith("ValueError: no")


def test_a_json_line_says_whose_it_is_where_there_are_several() -> None:
    record = logging.LogRecord("service", logging.INFO, "f.py", 1, "fine", (), None)
    assert json.loads(JsonFormatter(3).format(record))["worker"] == 3
    assert "worker" not in json.loads(JsonFormatter().format(record))


def test_a_flood_of_refusals_is_a_line_a_class(caplog: pytest.LogCaptureFixture) -> None:
    refusals = RefusalLog(logging.getLogger("test"), interval=3600)
    for _ in range(1000):
        refusals.add("Classify", "queue_full")
    refusals.add("Classify", "blank_text")
    assert caplog.messages == ["refused Classify: queue_full (x1)", "refused Classify: blank_text (x1)"]


def test_after_the_interval_the_next_line_counts_what_was_left_out(caplog: pytest.LogCaptureFixture) -> None:
    refusals = RefusalLog(logging.getLogger("test"), interval=3600)
    for _ in range(5):
        refusals.add("Classify", "queue_full")
    refusals._next_line["Classify", "queue_full"] = 0.0
    refusals.add("Classify", "queue_full")
    assert caplog.messages == ["refused Classify: queue_full (x1)", "refused Classify: queue_full (x5)"]
