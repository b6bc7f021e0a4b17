"""Measures the service beside a plain one, and writes figures, tables and pictures into a folder.

    make bench                                  all of it, 9 minutes
    make bench DATA=path/to/imdb                with real reviews
    make bench ARGS="--quick"                   shows in a minute that everything works; figures worth nothing
    make bench ARGS="--only load start"         some parts

Ends with status 1 if a bound is missed, an answer is wrong or anything fails; a quick run is not held to the bounds.
"""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from benchmarks import report, tables
from benchmarks.bench import PARTS, Bench
from benchmarks.errors import Refused
from benchmarks.figures import Judged
from benchmarks.plan import DEVICES
from benchmarks.records import Records
from export.data import DataError


def main() -> None:
    """Measure, report, and judge."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.quick and arguments.document:
        parser.error("the figures of --quick are worth no --document")
    try:
        bench = Bench(arguments)
        bench.describe(arguments.quick)
        bench.measure()
    except (Refused, DataError, FileExistsError) as error:
        sys.exit(f"no figures: {error}")
    _report(bench.records, arguments)
    print(f"written to {arguments.output}/report.md")
    if arguments.quick:
        print("everything works; the figures of --quick are worth nothing")
        return
    print(tables.bounds(bench.records))
    if missed := sum(one.ok is False for one in bench.records.of(Judged)):
        sys.exit(f"{missed} bounds missed")


def _report(records: Records, arguments: argparse.Namespace) -> None:
    report.write(records, arguments.output / "report.md", arguments.output, arguments.core_hour_price)
    if arguments.document:
        document: Path = arguments.document
        report.write(records, document, document.with_suffix(""), arguments.core_hour_price)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="IMDB: archive, folder or Parquet (synthetic reviews)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where the model runs (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a smoke run of about a minute")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}"
    )
    folder = Path("runs/bench") / datetime.now().strftime("%Y%m%d-%H%M%S")
    parser.add_argument("--output", type=Path, default=folder, help="new folder for all that is written (%(default)s)")
    parser.add_argument("--document", type=Path, help="write the report there, too, its pictures to a folder beside it")
    parser.add_argument(
        "--core-hour-price", type=float, default=report.CORE_HOUR_PRICE, help="US dollars, assumed (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    main()
