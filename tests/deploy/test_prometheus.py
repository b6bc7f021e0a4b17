"""A real Prometheus scrapes a real service and answers for every stage."""

from tests.deploy.conftest import Scraped

STAGES = ("request", "tokenize", "queue", "inference")


def test_prometheus_answers_percentiles_of_every_stage(scraped: Scraped) -> None:
    def ask(query: str) -> list[float]:
        return [series.points[0][1] for series in scraped.prometheus.at(query, scraped.span.end)]

    assert ask('up{job="sentiment"}') == [1]
    for stage in STAGES:
        for quantile in (0.5, 0.99):
            buckets = f"sum by (le) (rate(sentiment_{stage}_duration_seconds_bucket[1m]))"
            (seconds,) = ask(f"histogram_quantile({quantile}, {buckets})")
            assert 0 < seconds < 10
