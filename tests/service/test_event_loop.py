"""What a server does to the scheduling of its threads."""

import os
import sys
import threading

import pytest

from service.event_loop import give_way


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness on Linux only")
@pytest.mark.parametrize(("platform", "given"), [("linux", 4), ("darwin", 0)])
def test_only_the_thread_that_asks_gives_way_and_only_on_linux(
    monkeypatch: pytest.MonkeyPatch, platform: str, given: int
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    before, found = os.getpriority(os.PRIO_PROCESS, 0), list[int]()

    def work() -> None:
        give_way()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before + given]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
