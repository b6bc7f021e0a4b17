"""Compiles bundle/native when the package is installed or built, where there is a C compiler; goes on without."""

import os
import shlex
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("bundle/native")
# Without -ffp-contract=off the compiler would fuse multiplications and additions, and change the last digits.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wextra")


class NativeBuildHook(BuildHookInterface[Any]):
    """Adds the compiled library to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, in place, so that an editable installation has it as well."""
        folder = Path(self.root) / NATIVE
        library, sources = folder / "_native.so", sorted(folder.glob("*.c"))
        if not sources:  # an image's dependencies are installed before there is any code
            return
        try:
            _compile(sources, library)
        except (OSError, subprocess.CalledProcessError) as error:
            library.unlink(missing_ok=True)  # of other sources, perhaps
            self.app.display_warning(f"bundle/native was not compiled, the service will be slower: {error}")
            return
        build_data["artifacts"].append(str(NATIVE / library.name))
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"  # loaded by ctypes: any Python's


def _compile(sources: Sequence[Path], library: Path) -> None:
    compiler = shlex.split(os.environ.get("CC", "cc"))  # which may bring flags of its own
    fresh = library.with_suffix(".new")
    subprocess.run([*compiler, *FLAGS, "-o", fresh, *sources], check=True)
    fresh.replace(library)  # at once: a server may be starting from here
