"""How the threads of a server share a core: the event loop first, for it feeds the others."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Coroutine
from typing import Any

# Of niceness: the loop gets seven tenths of a core that both want, and the engine enough to get on in any case. Less
# forms smaller batches, more makes reviews wait while others are taken in.
_GIVING_WAY = 4


def run(main: Coroutine[Any, Any, int]) -> int:
    """`asyncio.run` on uvloop, where it is installed.

    gRPC's threads hand each message to the loop. As batch work they do not interrupt it for that when they share its
    core, but take their turn when it waits, and hand over several at a time.
    """
    with contextlib.suppress(AttributeError, OSError):  # Linux has it; a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def give_way() -> None:
    """Let the event loop go first, from now on, where the calling thread shares its core.

    An engine that runs each review as it comes, one by one, keeps the loop from taking the next ones in; one that
    waits for the loop to have nothing left to do finds a batch.
    """
    with contextlib.suppress(AttributeError, OSError):  # Linux has a niceness for each thread
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _GIVING_WAY)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
