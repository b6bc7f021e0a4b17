"""The clients against real servers."""

import asyncio
import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from bundle.store import Bundle
from service.client import AsyncSentimentClient, ClientError, SentimentClient, Tls
from service.client.batches import CALLS_IN_FLIGHT, TEXTS_PER_CALL
from service.pb import sentiment_pb2 as pb
from tests.service.answering import ANSWER, POSITIVE, Handler, answering
from tests.service.running import Running, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving("--host", "::1") as running:  # the other family of addresses, as a change
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[SentimentClient]:
    with SentimentClient(f"[::1]:{server.grpc_port}") as opened:
        yield opened


@pytest.fixture
async def async_client(server: Running) -> AsyncIterator[AsyncSentimentClient]:
    async with AsyncSentimentClient(f"[::1]:{server.grpc_port}") as opened:
        yield opened


def test_one_or_many_get_the_bundle_s_answers(client: SentimentClient, shipped: Bundle) -> None:
    golden = shipped.graph_for("cpu").golden
    texts = [answer.text for answer in golden] * 10
    assert len(texts) > CALLS_IN_FLIGHT * TEXTS_PER_CALL
    answers = list(client.classify_many(texts))
    expected = [answer.positive_probability for answer in golden] * 10
    assert [answer.positive_probability for answer in answers] == pytest.approx(expected, abs=1e-5)
    assert client.classify(texts[0]) == answers[0]


async def test_the_async_client_gives_the_same(async_client: AsyncSentimentClient, client: SentimentClient) -> None:
    texts = [f"a {word} film, number {number}" for number in range(100) for word in ("good", "bad")]
    expected = await asyncio.to_thread(lambda: list(client.classify_many(texts)))
    assert await asyncio.gather(*map(async_client.classify, texts)) == expected
    assert [answer async for answer in async_client.classify_many(texts)] == expected
    assert await async_client.health() == "SERVING"
    assert await async_client.model() == await asyncio.to_thread(client.model)


def test_many_reads_no_further_ahead_than_its_calls(client: SentimentClient) -> None:
    read = []

    def texts() -> Iterator[str]:
        for number in range(10 * TEXTS_PER_CALL):
            read.append(number)
            yield f"film {number}"

    answers = client.classify_many(texts())
    next(answers)
    assert len(read) == (CALLS_IN_FLIGHT + 1) * TEXTS_PER_CALL
    answers.close()  # type: ignore[attr-defined]  # it is a generator


async def test_a_server_that_takes_fewer_texts_a_call_gets_fewer() -> None:
    texts = [f"film {number}" for number in range(50)]
    with serving("--max-texts", "10") as server:
        with SentimentClient(server.target) as client:
            expected = await asyncio.to_thread(lambda: list(client.classify_many(texts)))
            with pytest.raises(ClientError, match=r"texts\[47\] is blank"):
                await asyncio.to_thread(lambda: list(client.classify_many([*texts[:47], " ", *texts])))
        async with AsyncSentimentClient(server.target) as async_client:
            assert [answer async for answer in async_client.classify_many(texts)] == expected
            assert await asyncio.gather(*map(async_client.classify, texts)) == expected


async def test_closing_tells_everybody_who_waits() -> None:
    with serving() as server:
        client = AsyncSentimentClient(server.target, timeout=60)
        calls = [asyncio.create_task(client.classify(f"film {number}")) for number in range(1000)]
        for _ in range(3):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await client.close()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {str(outcome) for outcome in outcomes} == {"CANCELLED: the client was closed"}
        with pytest.raises(ClientError, match="the client was closed"):
            await client.classify("late")


def test_progress_is_told_on_request(client: SentimentClient, capfd: pytest.CaptureFixture[str]) -> None:
    list(client.classify_many(["fine"] * 3, progress=True))
    assert "3/3" in capfd.readouterr().err
    list(client.classify_many(["fine"] * 3))
    assert capfd.readouterr().err == ""


def test_what_the_server_says_of_itself(client: SentimentClient, shipped: Bundle) -> None:
    assert client.health() == "SERVING"
    model = client.model()
    assert (model.name, model.version, model.max_length) == ("imdb-lstm", shipped.manifest.version, 500)
    assert model.served_versions == [shipped.manifest.version]


def test_a_refusal_names_the_text_among_all(client: SentimentClient) -> None:
    texts = ["fine"] * (TEXTS_PER_CALL + 3) + [" "]
    with pytest.raises(ClientError, match=r"INVALID_ARGUMENT: texts\[67\] is blank") as refused:
        list(client.classify_many(texts))
    assert (refused.value.code, refused.value.field) == (grpc.StatusCode.INVALID_ARGUMENT, "texts[67]")


def test_a_version_that_is_not_served_is_refused(server: Running) -> None:
    with (
        SentimentClient(f"[::1]:{server.grpc_port}", model_version="99") as client,
        pytest.raises(ClientError, match="NOT_FOUND"),
    ):
        client.classify("fine")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run([*made, *names], check=True, capture_output=True)
    return paths


def test_tls_proves_the_server_and_carries_the_token(certificate: tuple[Path, Path]) -> None:
    seen = []

    def classify(_: pb.ClassifyRequest, context: grpc.ServicerContext) -> pb.ClassifyResponse:
        seen.append(dict(context.invocation_metadata())["authorization"])
        return ANSWER

    public, key = certificate
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), public.read_bytes())])
    with answering(classify, credentials=credentials, address="localhost:0") as port:
        with SentimentClient(f"localhost:{port}", tls=Tls(public), token="secret") as client:
            assert client.classify("fine").sentiment == "positive"
        with (
            SentimentClient(f"localhost:{port}", timeout=2, tls=Tls()) as distrustful,
            pytest.raises(ClientError, match="UNAVAILABLE"),
        ):
            distrustful.classify("fine")
    assert seen == ["Bearer secret"]


def test_a_token_does_not_travel_in_the_open() -> None:
    with pytest.raises(ValueError, match="a token needs TLS"):
        SentimentClient("localhost:1", token="secret")


def test_calls_go_to_every_address_in_turn() -> None:
    counts = {"127.0.0.1": 0, "127.0.0.2": 0}

    def counting(host: str) -> Handler:
        def classify(_: pb.ClassifyRequest, context: grpc.ServicerContext) -> pb.ClassifyResponse:
            counts[host] += 1
            return ANSWER

        return classify

    with answering(counting("127.0.0.1")) as port, answering(counting("127.0.0.2"), address=f"127.0.0.2:{port}"):
        # What a name with two addresses resolves to.
        with SentimentClient(f"ipv4:127.0.0.1:{port},127.0.0.2:{port}") as client:
            for _ in range(20):  # the second connection may come later than the first
                client.classify("fine")
                time.sleep(0.01)
    assert all(count >= 5 for count in counts.values()), json.dumps(counts)


def count_batches(server: Running) -> float:
    """ClassifyBatch calls that the server has answered."""
    with urllib.request.urlopen(f"http://[::1]:{server.http_port}/metrics") as response:
        lines = response.read().decode().splitlines()
    name = 'sentiment_request_duration_seconds_count{code="OK",method="ClassifyBatch"}'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def test_concurrent_calls_travel_together(server: Running, async_client: AsyncSentimentClient) -> None:
    before = await asyncio.to_thread(count_batches, server)
    await asyncio.gather(*(async_client.classify(f"film {number}") for number in range(256)))
    assert await asyncio.to_thread(count_batches, server) - before <= 256 / 16
    await async_client.classify("alone")


async def test_a_refused_text_is_its_caller_s_alone(async_client: AsyncSentimentClient) -> None:
    texts = [" " if number % 20 == 7 else f"film {number}" for number in range(100)]
    outcomes = await asyncio.gather(*map(async_client.classify, texts), return_exceptions=True)
    for text, outcome in zip(texts, outcomes, strict=True):
        if text == " ":
            assert isinstance(outcome, ClientError)
            assert (outcome.field, str(outcome)[:32]) == ("text", "INVALID_ARGUMENT: text is blank;")
        else:
            assert not isinstance(outcome, BaseException)


async def test_a_caller_who_leaves_disturbs_nobody(async_client: AsyncSentimentClient) -> None:
    calls = [asyncio.create_task(async_client.classify(f"film {number}")) for number in range(100)]
    await asyncio.sleep(0)
    for call in calls[::3]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::3])
    assert not any(isinstance(outcome, BaseException) for outcome in outcomes[1::3] + outcomes[2::3])


async def test_texts_of_callers_who_have_left_are_not_sent() -> None:
    sent = list[str]()

    def note(request: pb.ClassifyBatchRequest, context: grpc.ServicerContext) -> pb.ClassifyBatchResponse:
        sent.extend(request.texts)
        return pb.ClassifyBatchResponse(classifications=[POSITIVE] * len(request.texts))

    texts = [f"film {number}" for number in range(30)]
    with answering(classify_batch=note) as port:
        async with AsyncSentimentClient(f"127.0.0.1:{port}") as client:
            calls = [asyncio.create_task(client.classify(text)) for text in texts]
            await asyncio.sleep(0)
            for call in calls[::3]:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(sent) == sorted(texts[1::3] + texts[2::3])


async def test_many_of_which_one_fails_leave_nothing_running() -> None:
    def refuse_the_first(request: pb.ClassifyBatchRequest, context: grpc.ServicerContext) -> pb.ClassifyBatchResponse:
        if request.texts[0] == "film 0":
            context.abort(grpc.StatusCode.INTERNAL, "not this one")
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(30)
        return pb.ClassifyBatchResponse()

    with answering(classify_batch=refuse_the_first) as port:
        async with AsyncSentimentClient(f"127.0.0.1:{port}", timeout=60) as client:
            before = asyncio.all_tasks()
            with pytest.raises(ClientError, match="not this one"):
                async for _ in client.classify_many(f"film {number}" for number in range(10 * TEXTS_PER_CALL)):
                    pass
            async with asyncio.timeout(10):
                while left := asyncio.all_tasks() - before:
                    await asyncio.wait(left)


async def test_waiting_for_company_ends_with_the_timeout() -> None:
    async with AsyncSentimentClient("127.0.0.1:1", timeout=0.2, retries=1000) as client:
        outcomes = await asyncio.gather(*(client.classify("fine") for _ in range(300)), return_exceptions=True)
    assert all(isinstance(outcome, ClientError) for outcome in outcomes)
