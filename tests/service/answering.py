"""A real gRPC server that answers as a test wants."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc

from service.pb import sentiment_pb2 as pb
from service.pb import sentiment_pb2_grpc

Handler = Callable[[pb.ClassifyRequest, grpc.ServicerContext], pb.ClassifyResponse]
BatchHandler = Callable[[pb.ClassifyBatchRequest, grpc.ServicerContext], pb.ClassifyBatchResponse]

POSITIVE = pb.Classification(sentiment=pb.SENTIMENT_POSITIVE)
ANSWER = pb.ClassifyResponse(classification=POSITIVE)


@contextmanager
def answering(
    classify: Handler | None = None,
    classify_batch: BatchHandler | None = None,
    credentials: grpc.ServerCredentials | None = None,
    address: str = "127.0.0.1:0",
) -> Iterator[int]:
    """A server whose methods do what these say, on the port that this gives."""

    class Servicer(sentiment_pb2_grpc.SentimentServiceServicer):  # the other methods are not called
        def Classify(self, request: pb.ClassifyRequest, context: grpc.ServicerContext) -> pb.ClassifyResponse:
            assert classify
            return classify(request, context)

        def ClassifyBatch(
            self, request: pb.ClassifyBatchRequest, context: grpc.ServicerContext
        ) -> pb.ClassifyBatchResponse:
            assert classify_batch
            return classify_batch(request, context)

    with futures.ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(Servicer(), server)  # type: ignore[abstract]
        secure = credentials and server.add_secure_port(address, credentials)
        port = secure or server.add_insecure_port(address)
        server.start()
        yield port
        server.stop(None).wait()
