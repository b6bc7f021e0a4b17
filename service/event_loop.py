"""How the threads of a server share a core: the event loop first, for it feeds the others."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any

# Of niceness: the loop gets seven tenths of a core that both want, and the engine enough to get on in any case. Less
# forms smaller batches, more makes reviews wait while others are taken in.
_GIVING_WAY = 4


def run(main: Coroutine[Any, Any, int]) -> int:
    """`asyncio.run` on uvloop, where it is installed.

    gRPC's threads hand each message to the loop. As batch work they do not interrupt it for that when they share its
    core, but take their turn when it waits, and hand over several at a time. So does every thread begin; see
    `interrupt_others`.
    """
    with _where_allowed():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def interrupt_others() -> None:
    """Let the calling thread, the event loop's, have its core as soon as it has something to do, from now on.

    Threads that are made later are no batch work either.
    """
    with _where_allowed():
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def give_way() -> None:
    """Let the event loop go first, from now on, where the calling thread shares its core.

    An engine that runs each review as it comes, one by one, keeps the loop from taking the next ones in; one that
    waits for the loop to have nothing left to do finds a batch.
    """
    if sys.platform != "linux":  # elsewhere a thread has no niceness, and its number may be that of a process
        return
    with _where_allowed():
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _GIVING_WAY)


def _where_allowed() -> contextlib.AbstractContextManager[None]:
    """Linux has such policies; a sandbox may forbid to change them."""
    return contextlib.suppress(AttributeError, OSError)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
