"""The plain way from text to answer: what the baseline serves, and what every answer is checked against.

Of ours it takes the bundle and nothing that makes it fast: tokens in Python, and onnxruntime's own graph.
"""

import json
from collections.abc import Sequence

import numpy as np
import onnxruntime

from bundle.manifest import EXACT_INTEGERS, Precision
from bundle.padding import Sequences, pad
from bundle.store import VOCABULARY, Bundle
from bundle.tokenizer import Tokenizer

_AT_ONCE = 32


class PlainModel:
    """A bundle's graph in onnxruntime, with one thread."""

    def __init__(self, bundle: Bundle, precision: Precision) -> None:
        config = bundle.manifest.tokenizer
        self.tokenizer = Tokenizer(json.loads((bundle.path / VOCABULARY).read_text()), config, native=False)
        self.pad_to, self._pad_id = config.max_length, config.pad_id
        self._input, self._output = bundle.manifest.input.name, bundle.manifest.output.name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry(*EXACT_INTEGERS)
        path = bundle.graph(precision).path
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, sequences: Sequences, pad_to: int | None = None) -> list[float]:
        """Positive probabilities (batch,) of token ids, padded to `pad_to` or to the longest."""
        input_ids, _ = pad(sequences, self._pad_id, pad_to)
        (probabilities,) = self._session.run([self._output], {self._input: input_ids})  # (batch, 1)
        answers: list[float] = probabilities[:, 0].tolist()
        return answers

    def classify(self, texts: Sequence[str]) -> list[float]:
        """Positive probabilities of texts, in order; those of like length run together, which saves time only."""
        sequences = [self.tokenizer.encode(text).input_ids for text in texts]
        order = sorted(range(len(texts)), key=lambda index: len(sequences[index]))
        answers = np.empty(len(texts))
        for start in range(0, len(order), _AT_ONCE):
            chosen = order[start : start + _AT_ONCE]
            answers[chosen] = self.run([sequences[index] for index in chosen])
        probabilities: list[float] = answers.tolist()
        return probabilities
