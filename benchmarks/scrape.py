"""What goes on inside a server: as its /metrics say, or as is known of one that has none."""

import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

_NAMES = ("review_tokens", "batch_tokens", "batch_size", "tokenize_duration_seconds")
_MICROSECONDS = 1e6


@dataclass(frozen=True)
class Inside:
    """Means over the reviews of one load."""

    padding_ratio: float  # share of what the engine was given
    batch_size: float
    tokenize_us: float  # of the time; of CPU somewhat less, where other threads had their turn meanwhile


@dataclass(frozen=True)
class Scrape:
    """Sums and counts of the histograms."""

    sums: dict[str, float]
    counts: dict[str, float]

    def since(self, before: "Scrape") -> Inside:
        """What came after `before`."""
        sums = {name: value - before.sums[name] for name, value in self.sums.items()}
        counts = {name: value - before.counts[name] for name, value in self.counts.items()}
        return Inside(
            padding_ratio=1 - sums["review_tokens"] / sums["batch_tokens"],
            batch_size=sums["batch_size"] / counts["batch_size"],
            tokenize_us=_MICROSECONDS * sums["tokenize_duration_seconds"] / counts["tokenize_duration_seconds"],
        )


def scrape(port: int) -> Scrape:
    """The histograms of the server with this HTTP port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode())
        values = {sample.name: sample.value for family in families for sample in family.samples}
    sums = {name: values[f"sentiment_{name}_sum"] for name in _NAMES}
    return Scrape(sums, {name: values[f"sentiment_{name}_count"] for name in _NAMES})
