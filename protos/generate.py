"""Generates service/pb from the protos; with --check, says whether what is committed is current."""

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

import google.rpc
import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
PROTO = "sentiment.proto"
BIN = Path(sys.executable).parent
TYPE_PLUGINS = ("mypy", "mypy_grpc")
# Where google/rpc and google/protobuf lie.
IMPORTS = (f"-I{Path(google.rpc.__path__[0]).parent.parent}", f"-I{Path(grpc_tools.__path__[0]) / '_proto'}")
GENERATED = ("sentiment_pb2.py", "sentiment_pb2.pyi", "sentiment_pb2_grpc.py", "sentiment_pb2_grpc.pyi")


def generate(destination: Path) -> None:
    """Write service/pb/ below `destination`."""
    arguments = [
        "protoc",
        # The documented mapping from a proto's folder to a Python package, so that no import needs patching.
        f"-Iservice/pb={ROOT / 'protos/sentiment/v1'}",
        *IMPORTS,
        # By their place beside this interpreter, as its environment need not be on the path.
        *(f"--plugin={BIN / f'protoc-gen-{kind}'}" for kind in TYPE_PLUGINS),
        *(f"--{kind}_out={destination}" for kind in ("python", "grpc_python")),
        *(f"--{kind}_out=quiet:{destination}" for kind in TYPE_PLUGINS),
        f"service/pb/{PROTO}",
    ]
    if protoc.main(arguments):
        raise SystemExit("protoc failed")


def main() -> None:
    """Generate, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if service/pb is not what would be generated")
    if not parser.parse_args().check:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as temporary:
        generate(Path(temporary))
        fresh, committed = Path(temporary) / "service/pb", ROOT / "service/pb"
        _, stale, missing = filecmp.cmpfiles(fresh, committed, GENERATED, shallow=False)
    if stale or missing:
        sys.exit(f"not current, run `make proto`: {', '.join(stale + missing)}")


if __name__ == "__main__":
    main()
