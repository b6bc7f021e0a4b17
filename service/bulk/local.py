"""Classifies on this machine: a process for each core, a part the unit of work."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from service.bulk.errors import JobError
from service.bulk.outcomes import Outcome
from service.bulk.worker import Spec, classify

_PARTS_AHEAD = 2  # for each process: the one that it works on, and one more


def classify_locally(spec: Spec, workers: int, parts: Iterator[list[str]]) -> Generator[list[Outcome]]:
    """The outcomes of each part, in order. One worker is this process itself.

    Raises JobError if a worker cannot be made, or ends unasked.
    """
    if workers > 1:
        yield from _in_processes(spec, workers, parts)
    else:
        for texts in parts:
            yield classify(spec, texts)


def _in_processes(spec: Spec, workers: int, parts: Iterator[list[str]]) -> Generator[list[Outcome]]:
    spawn = multiprocessing.get_context("spawn")  # gRPC's and onnxruntime's threads do not survive a fork
    pool = ProcessPoolExecutor(workers, spawn, _begin_worker)
    waiting = deque[Future[list[Outcome]]]()
    try:
        waiting.extend(_submit(pool, spec, texts) for texts in islice(parts, _PARTS_AHEAD * workers))
        while waiting:
            outcomes = waiting.popleft().result()
            waiting.extend(_submit(pool, spec, texts) for texts in islice(parts, 1))
            yield outcomes
    except BrokenProcessPool as error:
        _end_workers()  # the pool forgets one that it was just starting, and would wait for it for ever
        reason = "a worker process was ended or could not be started, perhaps for want of memory"
        raise JobError(f"{reason}; give the same command again to go on, with fewer --workers") from error
    except BaseException:  # the job has failed or is interrupted: nobody waits for what is under way
        _end_workers()
        raise
    finally:
        pool.shutdown()


def _submit(pool: ProcessPoolExecutor, spec: Spec, texts: list[str]) -> Future[list[Outcome]]:
    try:
        return pool.submit(classify, spec, texts)
    except (OSError, ValueError) as error:  # no process to be had, or a broken pool closed its pipes while starting one
        raise BrokenProcessPool from error


def _end_workers() -> None:
    for child in multiprocessing.active_children():
        child.terminate()


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it, even if that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
