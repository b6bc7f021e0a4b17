from collections.abc import Iterator

import grpc
import pytest

from bundle.store import Bundle
from service.client import ClientError, SentimentClient
from service.client.batches import CALLS_IN_FLIGHT, TEXTS_PER_CALL
from tests.service.running import Running, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving("--host", "::1") as running:  # the other family of addresses, as a change
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[SentimentClient]:
    with SentimentClient(f"[::1]:{server.grpc_port}") as opened:
        yield opened


def test_one_or_many_get_the_bundle_s_answers(client: SentimentClient, shipped: Bundle) -> None:
    golden = shipped.graph_for("cpu").golden
    texts = [answer.text for answer in golden] * 5
    assert len(texts) > TEXTS_PER_CALL
    answers = list(client.classify_many(texts))
    expected = [answer.positive_probability for answer in golden] * 5
    assert [answer.positive_probability for answer in answers] == pytest.approx(expected, abs=1e-5)
    assert client.classify(texts[0]) == answers[0]


def test_many_reads_no_further_ahead_than_its_calls(client: SentimentClient) -> None:
    read = []

    def texts() -> Iterator[str]:
        for number in range(10 * TEXTS_PER_CALL):
            read.append(number)
            yield f"film {number}"

    next(client.classify_many(texts()))
    assert len(read) == (CALLS_IN_FLIGHT + 1) * TEXTS_PER_CALL


def test_what_the_server_says_of_itself(client: SentimentClient, shipped: Bundle) -> None:
    assert client.health() == "SERVING"
    assert client.model().version == shipped.manifest.version


def test_a_refusal_carries_its_code(client: SentimentClient) -> None:
    with pytest.raises(ClientError, match=r"INVALID_ARGUMENT: texts\[1\] is blank") as refused:
        list(client.classify_many(["fine", " "]))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
