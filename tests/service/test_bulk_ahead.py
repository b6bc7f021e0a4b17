"""How far a job's input is read ahead of its answers."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import grpc

from service.bulk.local import classify_locally
from service.bulk.remote import TEXTS_IN_FLIGHT, classify_remotely
from service.bulk.worker import Spec
from service.client import AsyncSentimentClient
from service.pb import sentiment_pb2 as pb
from tests.service.answering import POSITIVE, answering


def parts(read: list[int], size: int) -> Iterator[list[str]]:
    """Twenty parts; `read` are the numbers of those that have been asked for."""
    for number in range(20):
        read.append(number)
        yield ["fine"] * size


def test_no_more_texts_are_read_than_may_be_out_with_a_server() -> None:
    def agree(request: pb.ClassifyBatchRequest, context: grpc.ServicerContext) -> pb.ClassifyBatchResponse:
        return pb.ClassifyBatchResponse(classifications=[POSITIVE] * len(request.texts))

    read = list[int]()
    with answering(classify_batch=agree) as port:
        connect = partial(AsyncSentimentClient, f"127.0.0.1:{port}")
        with closing(classify_remotely(connect, parts(read, 64))) as answers:
            assert len(next(answers)) == 64
            # Those that are out, and the one that takes the first's place.
            assert len(read) == TEXTS_IN_FLIGHT // 64 + 1


def test_no_more_parts_are_read_than_keep_the_processes_busy(shipped_path: Path) -> None:
    read = list[int]()
    with closing(classify_locally(Spec(shipped_path), 2, parts(read, 1))) as answers:
        assert len(next(answers)) == 1
        assert len(read) == 2 * 2 + 1
