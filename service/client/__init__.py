"""The Python client: texts in, `Classification`s out.

with SentimentClient("localhost:50051") as client:
    client.classify("I loved it.").sentiment

async with AsyncSentimentClient("localhost:50051") as client:
    await asyncio.gather(*map(client.classify, texts))
"""

from service.classification import Classification
from service.client.aio import AsyncSentimentClient
from service.client.answers import ModelInfo
from service.client.blocking import SentimentClient
from service.client.connection import DEFAULT_TARGET, Tls
from service.client.errors import ClientError

__all__ = [
    "DEFAULT_TARGET",
    "AsyncSentimentClient",
    "Classification",
    "ClientError",
    "ModelInfo",
    "SentimentClient",
    "Tls",
]
