"""`review-sentiment bench`: a load on a server, and the latencies under it."""

import argparse
import asyncio
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from service.bulk.errors import TableError
from service.bulk.lines import Lines
from service.client import AsyncSentimentClient
from service.client.load import PERCENTILES, LoadReport, closed_loop, open_loop, synthetic_reviews
from service.commands.connecting import add_connection_flags, connect

_EPILOG = """\
examples:
  review-sentiment bench                        64 callers, one request at a time each, for 10 seconds
  review-sentiment bench --rate 500             500 requests a second, whatever the server does: latency as users see it
  review-sentiment bench --file reviews.txt     your own reviews, one a line

A closed loop (--concurrency) finds the most that a server can do; its latencies flatter, because a stalled server is
asked less. An open loop (--rate) counts every latency from when its request was due. Nothing is tried again.
"""
_WIDTH = 40  # characters of the longest bar


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bench",
        help="put a load on a server",
        description="Put a load on a server and show the latencies; as JSON where it is piped.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    load = parser.add_mutually_exclusive_group()
    load.add_argument("--concurrency", type=_positive(int), default=64, help="callers of a closed loop (%(default)s)")
    load.add_argument("--rate", type=_positive(float), help="requests a second of an open loop")
    parser.add_argument("--seconds", type=_positive(float), default=10.0, help="how long (%(default)s)")
    parser.add_argument("--coalesce", action="store_true", help="let concurrent requests travel together")
    parser.add_argument("--file", type=Path, help="reviews, one a line (made-up ones of the lengths of film reviews)")
    add_connection_flags(parser)
    parser.set_defaults(command=_bench)


def _positive(kind: type) -> Any:
    def convert(text: str) -> Any:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    convert.__name__ = kind.__name__  # argparse says "invalid int value"
    return convert


def _bench(arguments: argparse.Namespace) -> int:
    texts = _texts(arguments.file)
    report = asyncio.run(_load(arguments, texts))
    if sys.stdout.isatty():
        _show(report, arguments.rate)
    else:
        print(json.dumps(_summary(report)))
    return 1 if report.errors else 0


def _texts(file: Path | None) -> list[str]:
    if not file:
        return synthetic_reviews()
    texts = [text for line in Lines(file) if (text := line.strip())]
    if not texts:
        raise TableError(file, "holds no reviews")
    return texts


async def _load(arguments: argparse.Namespace, texts: list[str]) -> LoadReport:
    async with connect(AsyncSentimentClient, arguments, retries=0, coalesce=arguments.coalesce) as client:
        await client.classify(texts[0])  # connects; ends at once where there is no server
        if arguments.rate:
            return await open_loop(client, texts, arguments.rate, arguments.seconds)
        return await closed_loop(client, texts, arguments.concurrency, arguments.seconds)


def _summary(report: LoadReport) -> dict[str, Any]:
    latencies = {f"p{share:g}_ms": 1e3 * report.percentile(share) for share in PERCENTILES if report.latencies}
    return {
        "answers": len(report.latencies),
        "per_second": report.per_second,
        **latencies,
        "max_ms": 1e3 * max(report.latencies) if report.latencies else None,
        "errors": dict(report.errors),
        "most_late_ms": 1e3 * report.most_late,
    }


def _show(report: LoadReport, rate: float | None) -> None:
    print(f"{len(report.latencies):,} answers in {report.seconds:.1f} s, {report.per_second:,.0f} a second")
    for code, count in report.errors.items():
        print(f"{count:,} ended with {code}")
    if not report.latencies:
        return
    print("latency, counted from when a request was due" if rate else "latency of a closed loop")
    for share in PERCENTILES:
        print(f"  p{share:<5g}{1e3 * report.percentile(share):9.2f} ms")
    print(f"  max   {1e3 * max(report.latencies):9.2f} ms")
    if rate:
        print(f"sent at worst {1e3 * report.most_late:.1f} ms late, which the latencies include")
    # Three bars for each factor of two: fine enough to see two humps.
    bars = Counter(math.floor(3 * math.log2(1e3 * latency)) for latency in report.latencies)
    most = max(bars.values())
    for bar in range(min(bars), max(bars) + 1):
        limit, mark = 2 ** ((bar + 1) / 3), "#" * round(_WIDTH * bars[bar] / most)
        print(f"  up to {limit:8.2f} ms {bars[bar]:7,} {mark}")
