"""Text to classification: checks, tokenizes, queues, and reads the answer. Knows nothing of gRPC."""

import asyncio
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from bundle.tokenizer import Encoding, Tokenizer
from service.classification import Classification, to_classification
from service.errors import Draining, InvalidRequest, blank_text, text_too_long
from service.metrics import Metrics
from service.request_queue import Entry, RequestQueue
from service.tracing import Tracer

# A long batch is tokenized in parts of so many texts (a few milliseconds each), so that others get their turn between.
_TOKENIZE_AT_ONCE = 32


@dataclass(frozen=True)
class Limits:
    """What one request may hold."""

    max_text_bytes: int
    max_texts: int


class Scorer:
    """Classifies texts with the engine behind a queue."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        threshold: float,
        queue: RequestQueue,
        limits: Limits,
        metrics: Metrics,
        tracer: Tracer | None = None,
    ) -> None:
        self.limits = limits
        self._tokenizer = tokenizer
        self._threshold = threshold
        self._queue = queue
        self._metrics = metrics
        self._tracer = tracer
        self.closed = False

    def close(self) -> None:
        """Take no new texts; those accepted are still answered."""
        self.closed = True

    async def classify(self, text: str, deadline: float | None = None) -> Classification:
        """Classify one text. `deadline` is a time of `time.monotonic`. Raises a RequestError if it is refused."""
        self._check_open()
        (classification,) = await self._score([self._encode(text, "text")], deadline)
        return classification

    async def classify_many(self, texts: Sequence[str], deadline: float | None = None) -> list[Classification]:
        """Classify all texts, in order, or none: one that is refused refuses the whole."""
        self._check_open()
        self._check_count(len(texts), "texts")
        encodings = []
        for index, text in enumerate(texts):
            if index and index % _TOKENIZE_AT_ONCE == 0:
                await asyncio.sleep(0)
            encodings.append(self._encode(text, f"texts[{index}]"))
        return await self._score(encodings, deadline)

    async def classify_ids(
        self, sequences: Sequence[Sequence[int]], deadline: float | None = None
    ) -> list[Classification]:
        """Classify texts that the caller has tokenized, in order, or none. Padding on the right is taken off."""
        self._check_open()
        self._check_count(len(sequences), "input_ids")
        return await self._score([self._read_ids(ids, f"input_ids[{n}]") for n, ids in enumerate(sequences)], deadline)

    def _check_open(self) -> None:
        if self.closed:
            raise Draining

    def _check_count(self, count: int, field: str) -> None:
        if count > self.limits.max_texts:
            reason = f"has {count} texts; send at most {self.limits.max_texts} at once"
            raise InvalidRequest("too_many_texts", field, reason)

    def _read_ids(self, ids: Sequence[int], field: str) -> Encoding:
        config, known = self._tokenizer.config, self._tokenizer.vocabulary_size
        length = len(ids)
        while length and ids[length - 1] == config.pad_id:
            length -= 1
        input_ids = ids[:length]
        if not length:
            raise InvalidRequest("blank_text", field, f"holds nothing but padding ({config.pad_id})")
        if length > config.max_length:
            raise InvalidRequest("text_too_long", field, f"has {length} ids; send at most {config.max_length}")
        if config.pad_id in input_ids:
            raise InvalidRequest("invalid_tensor", field, f"has padding ({config.pad_id}) before its end")
        if not (0 <= min(input_ids) and max(input_ids) < known):
            raise InvalidRequest("invalid_tensor", field, f"has ids that are not in the vocabulary, 0 to {known - 1}")
        return Encoding(array("i", input_ids), False, input_ids.count(config.unk_id))

    def _encode(self, text: str, field: str) -> Encoding:
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        if size > self.limits.max_text_bytes:
            raise text_too_long(field, size, self.limits.max_text_bytes)
        started = time.monotonic()
        encoding = self._tokenizer.encode(text)
        ended = time.monotonic()
        self._metrics.tokenize.observe(ended - started)
        if self._tracer:
            self._tracer.stage("tokenize", self._tracer.current(), started, ended)
        if not encoding.input_ids:
            raise blank_text(field)
        return encoding

    async def _score(self, encodings: Sequence[Encoding], deadline: float | None) -> list[Classification]:
        loop = asyncio.get_running_loop()
        trace = self._tracer.current() if self._tracer else None
        entries = [Entry(encoding, deadline, loop.create_future(), trace) for encoding in encodings]
        self._queue.put(entries)
        try:
            # Most requests are of one review, and gathering costs.
            probabilities = [await entries[0].future] if len(entries) == 1 else await _gather(entries)
        except BaseException:  # the caller has gone, or one failed: there is no answer in parts
            self._queue.discard(entries)
            raise
        pairs = zip(encodings, probabilities, strict=True)
        return [to_classification(encoding, probability, self._threshold) for encoding, probability in pairs]


async def _gather(entries: Sequence[Entry]) -> list[float]:
    return await asyncio.gather(*(entry.future for entry in entries))
