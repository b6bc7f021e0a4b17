"""Text to classification: checks, tokenizes, queues, and reads the answer. Knows nothing of gRPC."""

import asyncio
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bundle.tokenizer import Encoding, Tokenizer
from service.classification import Classification, to_classification
from service.errors import Draining, InvalidRequest, blank_text, text_too_long
from service.metrics import Metrics
from service.request_queue import Entry, RequestQueue
from service.tracing import Tracer

_TURN = 0.005  # seconds for which a batch is tokenized before others get their turn


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
        self._check_open(1)
        (classification,) = await self._score([self._encode(text, "text")], deadline)
        return classification

    async def classify_many(
        self, texts: Sequence[str], deadline: float | None = None, field: str = "texts"
    ) -> list[Classification]:
        """Classify all texts, in order, or none: one that is refused refuses the whole. `field` is their name."""
        self.check_count(len(texts), field)
        self._check_open(len(texts))
        encodings, since = list[Encoding](), time.monotonic()
        for index, text in enumerate(texts):
            if time.monotonic() - since > _TURN:
                await asyncio.sleep(0)
                since = time.monotonic()
            encodings.append(self._encode(text, f"{field}[{index}]"))
        return await self._score(encodings, deadline)

    async def classify_ids(
        self, sequences: Sequence[Sequence[int]] | npt.NDArray[np.int64], deadline: float | None = None
    ) -> list[Classification]:
        """Classify texts that the caller has tokenized, in order, or none. Padding on the right is taken off."""
        self.check_count(len(sequences), "input_ids")
        self._check_open(len(sequences))
        return await self._score([self._read_ids(ids, f"input_ids[{n}]") for n, ids in enumerate(sequences)], deadline)

    def check_count(self, count: int, field: str) -> None:
        """Raises InvalidRequest if so many texts are too many for one request."""
        if count > self.limits.max_texts:
            reason = f"has {count} texts; send at most {self.limits.max_texts} at once"
            raise InvalidRequest("too_many_texts", field, reason)

    def check_length(self, length: int, field: str) -> None:
        """Raises InvalidRequest if so many ids are too many for one text."""
        most = self._tokenizer.config.max_length
        if length > most:
            raise InvalidRequest("text_too_long", field, f"has {length} ids for a text; send at most {most}")

    def _check_open(self, count: int) -> None:
        """Before any work is done for so many texts."""
        if self.closed:
            raise Draining
        self._queue.check_room(count)

    def _read_ids(self, ids: Sequence[int] | npt.NDArray[np.int64], field: str) -> Encoding:
        config, known = self._tokenizer.config, self._tokenizer.vocabulary_size
        padded = np.asarray(ids, dtype=np.int64)  # (time,)
        places = np.flatnonzero(padded != config.pad_id)
        if not len(places):
            raise InvalidRequest("blank_text", field, f"holds nothing but padding ({config.pad_id})")
        input_ids = padded[: places[-1] + 1]
        self.check_length(len(input_ids), field)
        if len(places) < len(input_ids):
            raise InvalidRequest("invalid_tensor", field, f"has padding ({config.pad_id}) before its end")
        if not (0 <= input_ids.min() and input_ids.max() < known):
            raise InvalidRequest("invalid_tensor", field, f"has ids that are not in the vocabulary, 0 to {known - 1}")
        return Encoding(array("i", input_ids.tolist()), False, int((input_ids == config.unk_id).sum()))

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
