"""`review-sentiment score`: classify a file of reviews without a server, on all cores or on a Ray cluster."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any, get_args

from bundle.manifest import Precision, Provider
from bundle.store import Bundle, find_version, load_bundle
from service.bulk.flags import FORMATS, add_file_flags, to_job
from service.bulk.job import ModelId, run
from service.bulk.parts import Classify
from service.config import Settings, default_models
from service.cores import usable_cores

_EPILOG = f"""\
{FORMATS}

examples:
  review-sentiment score reviews.csv answers.csv
  review-sentiment score reviews.parquet answers.parquet --column body --workers 4
  review-sentiment score reviews.jsonl answers.jsonl --ray auto
"""


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "score",
        help="classify a file of reviews, without a server",
        description="Classify every row of a file, in this machine's processes or on a Ray cluster. A run that was "
        "stopped goes on where it was when the same command is given again.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", type=Path, metavar="INPUT", help="file of reviews")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="file to write")
    add_file_flags(parser)
    model = parser.add_argument_group("model")
    model.add_argument("--models", type=Path, metavar="DIR", help="folder of numbered versions (the shipped one)")
    model.add_argument("--model-version", default="newest", metavar="V", help="version to use (%(default)s)")
    model.add_argument(
        "--precision", choices=["auto", *get_args(Precision)], default="auto", help="number format (%(default)s)"
    )
    where = parser.add_argument_group("where it runs")
    where.add_argument(
        "--execution-provider", choices=get_args(Provider), default="cpu", help="what runs the model (%(default)s)"
    )
    where.add_argument("--workers", type=_count, metavar="N", help="processes (one for each core; with cuda one)")
    where.add_argument("--ray", metavar="ADDRESS", help="run as a Ray Data job: local, auto, or host:port of a cluster")
    parser.set_defaults(command=partial(_score, parser))


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{count} is less than 1")
    return count


def _score(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    if arguments.ray and arguments.execution_provider == "cuda":
        parser.error("--ray runs on CPUs; leave out --execution-provider cuda")
    bundle = load_bundle(find_version(arguments.models or default_models(), arguments.model_version))
    manifest = bundle.manifest
    model = ModelId(manifest.name, manifest.version, _precision(bundle, arguments))
    job = to_job(arguments, arguments.input, arguments.output, model, Settings.max_text_bytes)
    run(job, _classify(bundle, arguments))
    return 0


def _precision(bundle: Bundle, arguments: argparse.Namespace) -> Precision:
    wanted, provider = arguments.precision, arguments.execution_provider
    graph = bundle.graph_for(provider) if wanted == "auto" else bundle.graph(wanted)
    return graph.variant.precision


def _classify(bundle: Bundle, arguments: argparse.Namespace) -> Classify:
    from service.bulk.cluster import classify_on_ray  # these load onnxruntime, which no other command needs
    from service.bulk.local import classify_locally
    from service.bulk.worker import Spec

    spec = Spec(bundle.path.resolve(), _precision(bundle, arguments), arguments.execution_provider)
    if arguments.ray:
        return partial(classify_on_ray, spec, arguments.ray, arguments.workers)
    workers = arguments.workers or (1 if arguments.execution_provider == "cuda" else usable_cores())
    return partial(classify_locally, spec, workers)
