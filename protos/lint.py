"""Lints the protos with buf, and says whether they break clients of an earlier version: by default, of the last tag."""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from descriptors import write_image

PROTOS = Path(__file__).parent
CONFIG = PROTOS / "buf.yaml"
BUF = Path(sys.executable).parent / "buf"


def main() -> None:
    """Lint, compare, and exit with 1 if buf finds anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("protos", nargs="?", type=Path, default=PROTOS, help="folder of protos (this one)")
    parser.add_argument("--against", type=Path, help="folder of the earlier protos (those of the last tag)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        image, earlier = Path(temporary) / "now.binpb", Path(temporary) / "earlier.binpb"
        write_image(arguments.protos, image)
        failed = _buf("lint", image)
        against = arguments.against or _of_the_last_tag(Path(temporary))
        if against is None:
            print("no tag has protos: there is nothing that could break")
        else:
            write_image(against, earlier)
            failed |= _buf("breaking", image, "--against", earlier)
    sys.exit(int(failed))


def _buf(command: str, image: Path, *more: str | Path) -> bool:
    """Whether buf finds fault; it says what."""
    return subprocess.run([BUF, command, image, *more, "--config", CONFIG]).returncode != 0


def _of_the_last_tag(temporary: Path) -> Path | None:
    """The protos of the last tag that leads here, unpacked, if there is one and it has any."""
    tag = _git("describe", "--tags", "--abbrev=0")
    archive = tag and _git("archive", tag.decode().strip(), "protos")
    if not archive:
        return None
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(temporary, filter="data")
    return temporary / "protos"


def _git(*arguments: str) -> bytes | None:
    done = subprocess.run(["git", *arguments], cwd=PROTOS.parent, capture_output=True)
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    main()
