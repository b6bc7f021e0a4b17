"""Reviews as vectors that predict the n-grams they hold.

Paragraph vectors of n-grams (Li et al., Learning Document Embeddings by Predicting N-grams, 2016) in gensim, restricted
to the n-grams that lean to one class: a quarter of the tokens tell nearly all of the sentiment.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from gensim.models.callbacks import CallbackAny2Vec
from gensim.models.doc2vec import Doc2Vec, TaggedDocument
from tqdm import tqdm

from export.ngrams import ABSENT, Corpus, Ngrams

Vectors = npt.NDArray[np.float32]

SIZE = 150
PASSES = 20


class _Documents:
    """Each review's n-grams as words, which gensim goes through again and again."""

    def __init__(self, corpus: Corpus, ngrams: Ngrams, kept: npt.NDArray[np.bool_]) -> None:
        found = ngrams.find(corpus)
        there = (found != ABSENT) & kept[found]
        ends = np.cumsum(there.sum(axis=1))[corpus.offsets[1:] - 1]
        self._documents = np.split(found[there], ends[:-1])
        self._names = [str(number) for number in range(len(ngrams))]

    def __iter__(self) -> Iterator[TaggedDocument]:
        for number, found in enumerate(self._documents):
            yield TaggedDocument([self._names[ngram] for ngram in found], [number])


class _Progress(CallbackAny2Vec):  # type: ignore[misc]
    def __init__(self) -> None:
        self._bar = tqdm(total=PASSES, desc="document vectors", unit="pass", disable=None)

    def on_epoch_end(self, model: Doc2Vec) -> None:
        self._bar.update()


class DocumentVectors:
    """Vectors (reviews, SIZE) of a corpus, and what it takes to find those of another.

    `kept` (n-grams,) says which n-grams count. One thread, so that a seed gives the same vectors again.
    """

    def __init__(self, corpus: Corpus, ngrams: Ngrams, kept: npt.NDArray[np.bool_], seed: int = 1) -> None:
        self._ngrams, self._kept = ngrams, kept
        # "dm=0": the vector alone predicts each n-gram, among five others drawn at random.
        options: dict[str, Any] = {"dm": 0, "negative": 5, "sample": 0, "min_count": 1, "min_alpha": 0.0005}
        self._model = Doc2Vec(vector_size=SIZE, epochs=PASSES, workers=1, seed=seed, **options)
        documents = _Documents(corpus, ngrams, kept)
        self._model.build_vocab(documents)
        self._model.train(documents, total_examples=len(corpus), epochs=PASSES, callbacks=[_Progress()])
        self.vectors: Vectors = self._model.dv.vectors

    def infer(self, corpus: Corpus) -> Vectors:
        """Vectors (reviews, SIZE) of reviews that were not learnt from."""
        documents = tqdm(_Documents(corpus, self._ngrams, self._kept), total=len(corpus), desc="infer", disable=None)
        return np.stack([self._model.infer_vector(document.words) for document in documents])

    @property
    def bytes(self) -> int:
        """Size of what infers a vector: a key and a vector for each n-gram."""
        return int(self._model.syn1neg.nbytes) + 8 * len(self._model.wv)
