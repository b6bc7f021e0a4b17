"""Generates service/pb from the protos; with --check, says whether what is committed is current."""

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

from descriptors import IMPORTS, run_protoc

ROOT = Path(__file__).parent.parent
FOLDERS = ("protos/sentiment/v1", "protos/inference")
BIN = Path(sys.executable).parent
TYPE_PLUGINS = ("mypy", "mypy_grpc")


def generate(destination: Path) -> None:
    """Write service/pb/ below `destination`."""
    for folder in FOLDERS:
        for proto in sorted((ROOT / folder).glob("*.proto")):
            run_protoc(
                # The documented mapping from a proto's folder to a Python package, so that no import needs patching.
                f"-Iservice/pb={ROOT / folder}",
                *IMPORTS,
                # By their place beside this interpreter, as its environment need not be on the path.
                *(f"--plugin={BIN / f'protoc-gen-{kind}'}" for kind in TYPE_PLUGINS),
                *(f"--{kind}_out={destination}" for kind in ("python", "grpc_python")),
                *(f"--{kind}_out=quiet:{destination}" for kind in TYPE_PLUGINS),
                f"service/pb/{proto.name}",
            )


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
        generated = [path.name for path in fresh.iterdir()]
        _, stale, missing = filecmp.cmpfiles(fresh, committed, generated, shallow=False)
    if stale or missing:
        sys.exit(f"not current, run `make proto`: {', '.join(stale + missing)}")


if __name__ == "__main__":
    main()
