"""Messages of the server as Python values."""

from dataclasses import dataclass

from service.classification import Classification
from service.pb import sentiment_pb2 as pb


@dataclass(frozen=True)
class ModelInfo:
    """The model that answers, and the limits of requests; the fields are those of `sentiment.v1.GetModelResponse`."""

    name: str
    version: str
    max_length: int  # tokens of a review that it reads at most
    vocabulary_size: int
    threshold: float  # probability from which a review counts as positive
    test_accuracy: float  # on the canonical 25,000 IMDB test reviews, 0 to 1
    execution_provider: str  # cpu or cuda
    max_text_bytes: int
    max_texts: int  # in one call
    precision: str  # fp32 or int8
    served_versions: list[str]  # the default first
    kernel: str  # native or onnxruntime
    max_batch_size: int  # most reviews that run together


def to_classification(message: pb.Classification) -> Classification:
    """One answer."""
    return Classification(
        sentiment="positive" if message.sentiment == pb.SENTIMENT_POSITIVE else "negative",
        positive_probability=message.positive_probability,
        token_count=message.token_count,
        truncated=message.truncated,
        unknown_token_ratio=message.unknown_token_ratio,
    )


def to_model_info(message: pb.GetModelResponse) -> ModelInfo:
    """The model's description."""
    fields = {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}
    return ModelInfo(**fields | {"served_versions": list(message.served_versions)})
