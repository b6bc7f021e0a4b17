"""One ClassifyStream for all reviews."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from benchmarks.errors import Refused
from benchmarks.methods import SERVICE
from service.pb import sentiment_pb2 as pb


class Stream:
    """A review's id is its index, which no two in flight share; use it as an async context manager."""

    reviews = 1

    def __init__(self, channel: grpc.aio.Channel, texts: Sequence[str]) -> None:
        requests = [pb.ClassifyStreamRequest(id=str(index), text=text) for index, text in enumerate(texts)]
        self._requests = [request.SerializeToString() for request in requests]
        self._call: Any = channel.stream_stream(f"{SERVICE}/ClassifyStream")()
        self._waiting: dict[str, asyncio.Future[pb.ClassifyStreamResponse]] = {}
        self._writing = asyncio.Lock()  # gRPC takes one write at a time
        self._reader = asyncio.create_task(self._read())

    async def ask(self, number: int) -> pb.ClassifyStreamResponse:
        """Send a request and return its answer."""
        index = number % len(self._requests)
        answer: asyncio.Future[pb.ClassifyStreamResponse] = asyncio.get_running_loop().create_future()
        self._waiting[str(index)] = answer
        async with self._writing:
            await self._call.write(self._requests[index])
        return await answer

    def probabilities(self, answer: pb.ClassifyStreamResponse) -> list[float]:
        """What an answer says; nothing if it is an error."""
        return [answer.classification.positive_probability] if answer.HasField("classification") else []

    async def close(self) -> None:
        """End the stream in order."""
        await self._call.done_writing()
        await self._reader

    async def _read(self) -> None:
        try:
            while (raw := await self._call.read()) is not grpc.aio.EOF:
                response = pb.ClassifyStreamResponse.FromString(raw)
                self._waiting.pop(response.id).set_result(response)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Refused("the stream ended before all was answered"))
