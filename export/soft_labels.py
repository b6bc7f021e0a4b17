"""What the teachers say of every review, and after every few tokens of it: all that the student needs of them.

A file of two megabytes stands for all the teaching, so the student can be trained again without it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from export.data import Reviews

Floats = npt.NDArray[np.float32]

STRIDE = 8  # tokens between two places where the evidence is written down
_STEP = 1 / 16  # of a nat: what the file rounds evidence to


class SoftLabelsError(Exception):
    """The file is missing or belongs to other reviews; the message says what to do."""


@dataclass(frozen=True)
class SoftLabels:
    """Teachers' answers for the train reviews and then the unlabelled ones, in the order in which `load` gives them.

    The evidence is a running sum over tokens; `slopes` turns it into log-odds, as a review's first words say more about
    the whole than their number suggests: log-odds = slope(tokens read) x evidence.
    """

    log_odds: Floats  # (reviews,) of a whole review
    evidence: list[Floats]  # of each review (places,): the sum after STRIDE, 2 x STRIDE, ... tokens and the last
    slopes: Floats  # (knots, 2): tokens read, slope
    fingerprint: str  # of the reviews

    def save(self, path: Path) -> None:
        """Write atomically, evidence rounded to a 16th of a nat."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez_compressed(file, **self._arrays())
        partial.replace(path)

    def _arrays(self) -> dict[str, Any]:
        """What the file holds."""
        rounded = [np.rint(evidence / _STEP).astype(np.int64) for evidence in self.evidence]
        # Differences are small numbers, which deflate well; rounding the sums first keeps errors from adding up.
        steps = np.concatenate([np.diff(sums, prepend=0) for sums in rounded])
        return {
            "log_odds": self.log_odds.astype(np.float16),
            "steps": steps.astype(np.int16),
            "places": np.array([len(sums) for sums in rounded], dtype=np.uint16),
            "slopes": self.slopes,
            "fingerprint": np.array(self.fingerprint),
        }

    @classmethod
    def load(cls, path: Path) -> "SoftLabels":
        """Read what `save` wrote. Raises SoftLabelsError if it is not there or another kind of file."""
        try:
            with path.open("rb") as content, np.load(content) as file:
                fields = {name: file[name] for name in ("log_odds", "steps", "places", "slopes", "fingerprint")}
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            reason = f"no soft labels at {path} ({error}); `review-sentiment-export teach` makes them"
            raise SoftLabelsError(reason) from error
        ends = np.cumsum(fields["places"].astype(np.int64))
        parts = np.split(fields["steps"].astype(np.float32), ends[:-1])
        return cls(
            log_odds=fields["log_odds"].astype(np.float32),
            evidence=[np.cumsum(steps) * np.float32(_STEP) for steps in parts],
            slopes=fields["slopes"],
            fingerprint=str(fields["fingerprint"]),
        )

    def slope(self, tokens: int) -> Floats:
        """Log-odds that a unit of evidence is worth after 1 to `tokens` tokens (tokens,)."""
        read = np.arange(1, tokens + 1)
        slope: Floats = np.interp(np.log(read), np.log(self.slopes[:, 0]), self.slopes[:, 1]).astype(np.float32)
        return slope

    def take(self, chosen: npt.NDArray[np.bool_]) -> "SoftLabels":
        """Those of the reviews where `chosen` (reviews,) is true."""
        evidence = [sums for sums, keep in zip(self.evidence, chosen, strict=True) if keep]
        return SoftLabels(self.log_odds[chosen], evidence, self.slopes, self.fingerprint)

    def digest(self) -> str:
        """SHA-256 of all that the file holds."""
        return hashlib.sha256(b"".join(array.tobytes() for array in self._arrays().values())).hexdigest()

    def check(self, *parts: Reviews) -> None:
        """Raises SoftLabelsError if they were made from other reviews than these."""
        if self.fingerprint != fingerprint(*parts):
            raise SoftLabelsError(
                "the soft labels are of other reviews; `review-sentiment-export teach` makes new ones"
            )


def places(tokens: int) -> npt.NDArray[np.int64]:
    """Where the evidence of a review of so many tokens is written down: indices of the last token read."""
    if tokens == 0:
        return np.zeros(0, dtype=np.int64)
    return np.append(np.arange(STRIDE - 1, tokens - 1, STRIDE), tokens - 1)


def fingerprint(*parts: Reviews) -> str:
    """SHA-256 over all the reviews of all the parts."""
    return hashlib.sha256(" ".join(reviews.fingerprint() for reviews in parts).encode()).hexdigest()
