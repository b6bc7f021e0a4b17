"""How busy the GPU is, as nvidia-smi says."""

import subprocess
from statistics import fmean
from types import TracebackType
from typing import Self

_COMMAND = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200")
_PERCENT = 100


class GpuBusy:
    """Watches the first GPU while its block runs; `mean` is then the share of the time that a kernel ran on it."""

    def __init__(self, watch: bool) -> None:
        """Without `watch` there is nothing to see, and `mean` is None."""
        self._watch = watch
        self.mean: float | None = None

    def __enter__(self) -> Self:
        if self._watch:
            self._process = subprocess.Popen([*_COMMAND, "--id=0"], stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._watch:
            self._process.terminate()
            output, _ = self._process.communicate(timeout=10)
            seen = [int(line) / _PERCENT for line in output.splitlines() if line.strip().isdecimal()]
            self.mean = fmean(seen) if seen else None
