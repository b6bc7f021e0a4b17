"""Many callers of one async client: each review a call of its own, against calls that travel together.

    .venv/bin/python -m benchmarks.coalescing --data path/to/imdb

The server, a process of its own, has one core and this client another.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.answers import Answers
from benchmarks.conditions import choose_cores
from benchmarks.figures import Served
from benchmarks.opening import ALONE, COALESCED
from benchmarks.plan import FULL
from benchmarks.reviews import choose_reviews
from benchmarks.served import Case, measure, median_of
from benchmarks.subject import OURS, Subject, start
from bundle.store import find_version, load_bundle
from service.config import default_models

CALLERS = (1, 16, 64, 256)


def compare(callers: int, subject: Subject, texts: Sequence[str]) -> tuple[Served, Served]:
    """The medians of each its own call, and of calls together, in turn: machines drift."""
    rounds: dict[str, list[Served]] = {ALONE: [], COALESCED: []}
    for _ in range(FULL.rounds):
        for method, measured in rounds.items():
            measured.append(measure(Case(OURS, method, callers), subject, texts, FULL))
    return median_of(rounds[ALONE]), median_of(rounds[COALESCED])


def main() -> None:
    """Measure both at several numbers of callers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="IMDB: archive, folder or Parquet (synthetic reviews)")
    server_core, client_core = choose_cores()
    os.sched_setaffinity(0, {client_core})
    bundle = load_bundle(find_version(default_models()))
    texts = choose_reviews(parser.parse_args().data, bundle, FULL.reviews).texts
    with start(OURS, Answers(bundle, texts), [server_core]) as subject:
        for callers in CALLERS:
            alone, together = compare(callers, subject, texts)
            print(alone.summary())
            print(f"{together.summary()}, {together.per_second / alone.per_second:.2f} times as many", flush=True)


if __name__ == "__main__":
    main()
