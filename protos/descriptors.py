"""The protos as protoc understands them: one set of descriptors, which buf takes for an image."""

from pathlib import Path

import google.rpc
import grpc_tools
from grpc_tools import protoc

# Where google/rpc and google/protobuf lie.
IMPORTS = (f"-I{Path(google.rpc.__path__[0]).parent.parent}", f"-I{Path(grpc_tools.__path__[0]) / '_proto'}")


def run_protoc(*arguments: str) -> None:
    """Run protoc. Raises SystemExit if it fails; it has said why."""
    if protoc.main(["protoc", *arguments]):
        raise SystemExit("protoc failed")


def write_image(protos: Path, image: Path) -> None:
    """Write the descriptors of every proto below a folder, with their imports and comments, to `image`."""
    files = sorted(path.relative_to(protos).as_posix() for path in protos.rglob("*.proto"))
    run_protoc(
        f"-I{protos}", *IMPORTS, "--include_imports", "--include_source_info", f"--descriptor_set_out={image}", *files
    )
