"""Two inner loops in C: tokenizing ASCII texts, and the int8 LSTM on processors with AVX-512 VNNI or AVX2.

Both give exactly what the code gives that they stand in for, Python's and onnxruntime's, and both are optional: they
are compiled when the package is installed where there is a C compiler (see hatch_build.py), and nothing but speed is
missing without them.
"""

import ctypes
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

_Kind = TypeVar("_Kind", bound=ctypes.CDLL)

LIBRARY = Path(__file__).with_name("_native.so")


@cache
def library() -> ctypes.PyDLL | None:
    """The compiled functions, which keep the interpreter's lock while they run; None where there are none."""
    return _open(ctypes.PyDLL)


@cache
def unlocked_library() -> ctypes.CDLL | None:
    """The same, giving the lock up for as long as they run: for those that take long."""
    return _open(ctypes.CDLL)


def _open(kind: type[_Kind]) -> _Kind | None:
    with suppress(OSError):
        return kind(str(LIBRARY))
    return None
