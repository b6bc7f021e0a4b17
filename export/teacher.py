"""Teachers, and what they say of every review without having seen its label.

    n-grams -> first labels -> n-grams on all reviews -+-> blend -> soft labels, and evidence token by token
                           \\-> document vectors -------+

Every labelled review is judged by models that were fitted on other films; the validation part is judged by all of them
and fitted by none. The unlabelled reviews are twice as many as the labelled ones, and teach the weights of n-grams that
those lack: the second model is fitted once, to first labels alone, so a review's own label reaches it only by way of
what the others' judges made of it. The test reviews are judged too, for the record, and fitted by nobody.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from export.data import BLOCKS, Reviews, film_blocks
from export.document_vectors import DocumentVectors, Vectors
from export.metrics import classification_metrics
from export.ngrams import Corpus, NgramModel, Ngrams, fit_ngram_model, log_count_ratio, read_corpus, running_sum
from export.predict import timed
from export.soft_labels import SoftLabels, fingerprint, places

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

VALIDATION = BLOCKS - 1
UNKNOWN = -1  # the block of a review without a label

# Chosen by cross-fitting on the reviews that are fitted on; teaching/teachers.json has what they get there.
HARD_STRENGTH, SOFT_STRENGTH, VECTOR_STRENGTH = 0.1, 0.5, 0.001
LEANING = 0.5  # least log-count ratio, either way, of an n-gram that the document vectors learn
KNOTS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 400, 600)  # tokens read


@dataclass(frozen=True)
class TeacherReport:
    """How good one teacher is on reviews whose labels it was not fitted to, and what it costs."""

    name: str
    cross_fitted_accuracy: float  # on the train reviews but for the validation part
    validation_accuracy: float
    test_metrics: dict[str, float]
    bytes: int
    microseconds: float  # of CPU a review, once it is tokenized


@dataclass(frozen=True)
class _Class:
    """Who is taught: the reviews that may be learnt from, and then those that are only judged (the test split)."""

    corpus: Corpus
    labels: npt.NDArray[np.int64]  # (reviews,)
    blocks: npt.NDArray[np.int64]  # (reviews,) of the train reviews, else UNKNOWN
    known: int  # reviews before the test split

    @property
    def fitted(self) -> Mask:
        """Train reviews whose labels may be used (reviews,)."""
        return np.asarray((self.blocks != UNKNOWN) & (self.blocks != VALIDATION))

    @property
    def taught(self) -> Mask:
        """Reviews whose soft labels may be used (reviews,)."""
        return np.asarray((self.blocks != VALIDATION) & (np.arange(len(self.blocks)) < self.known))

    def cross_fit(self, judge: Callable[[Mask], Floats]) -> Floats:
        """Calibrated log-odds (reviews,): of fitted reviews by the model that left their block out, else by all.

        `judge` fits a model to the reviews that it is given (reviews,), and says what that makes of all of them.
        """
        by_block = np.stack([judge(self.fitted & (self.blocks != block)) for block in range(VALIDATION)])
        log_odds = by_block.mean(axis=0)
        for block in range(VALIDATION):
            log_odds[self.blocks == block] = by_block[block, self.blocks == block]
        return self.calibrate(log_odds[:, None])

    def calibrate(self, features: Floats) -> Floats:
        """Log-odds (reviews,) from features (reviews, n) by a logistic regression on the fitted reviews' labels."""
        model = LogisticRegression(C=1e6).fit(features[self.fitted], self.labels[self.fitted])
        log_odds: Floats = model.decision_function(features)
        return log_odds


def teach(train: Reviews, unlabelled: Reviews, test: Reviews) -> tuple[SoftLabels, list[TeacherReport]]:
    """Soft labels of `train` and `unlabelled`, and how good each teacher was."""
    pupils = _Class(
        corpus=read_corpus(train, unlabelled, test),
        labels=np.concatenate([train.labels, unlabelled.labels, test.labels]),
        blocks=np.concatenate([film_blocks(train), np.full(len(unlabelled) + len(test), UNKNOWN)]),
        known=len(train) + len(unlabelled),
    )
    reports: list[TeacherReport] = []

    def report(name: str, log_odds: Floats, size: int, seconds: float) -> None:
        reports.append(_report(pupils, name, log_odds, size, seconds * 1e6 / len(test)))
        print(f"{name}: cross-fitted {reports[-1].cross_fitted_accuracy:.2%}", flush=True)

    ngrams = Ngrams(pupils.corpus.part(0, len(train)), min_count=2)
    matrix = ngrams.matrix(pupils.corpus)
    _, ngram_seconds = timed(lambda: ngrams.matrix(pupils.corpus.part(pupils.known, len(pupils.corpus))))

    def by_ngrams(fitted: Mask) -> Floats:
        labels = pupils.labels[fitted].astype(float)
        return fit_ngram_model(matrix[fitted], labels, HARD_STRENGTH).log_odds(matrix)

    first = pupils.cross_fit(by_ngrams)
    ngram_bytes = (8 + 4) * len(ngrams)  # a key and a weight
    report("NB-weighted logistic regression on n-grams", first, ngram_bytes, ngram_seconds)
    second = _fit_soft(pupils, matrix, first).log_odds(matrix)
    report("the same on soft labels of all reviews", second, ngram_bytes, ngram_seconds)

    vectors, vector_bytes, vector_seconds = _document_vectors(pupils, first)
    third = pupils.cross_fit(lambda fitted: _by_vectors(vectors, pupils.labels, fitted))
    report("document vectors, logistic regression", third, vector_bytes, vector_seconds)

    blend = pupils.calibrate(np.stack([second, third], axis=1))
    report("blend of the last two: the teacher", blend, ngram_bytes + vector_bytes, ngram_seconds + vector_seconds)

    # The blend judges whole reviews. N-grams that repeat its judgement say it token by token.
    evidence = running_sum(_fit_soft(pupils, matrix, blend).evidence(pupils.corpus, ngrams), pupils.corpus)
    soft_labels = SoftLabels(
        log_odds=blend[: pupils.known].astype(np.float32),
        evidence=_at_strides(evidence, pupils.corpus.part(0, pupils.known)),
        slopes=_slopes(pupils, evidence),
        fingerprint=fingerprint(train, unlabelled),
    )
    return soft_labels, reports


def _fit_soft(pupils: _Class, matrix: sparse.csr_matrix, log_odds: Floats) -> NgramModel:
    taught = pupils.taught
    return fit_ngram_model(matrix[taught], expit(log_odds[taught]), SOFT_STRENGTH)


def _document_vectors(pupils: _Class, log_odds: Floats) -> tuple[Vectors, int, float]:
    """Standardised vectors (reviews, size), the bytes of what infers them, and the seconds that the test split took."""
    known = pupils.corpus.part(0, pupils.known)
    ngrams = Ngrams(known, min_count=5)
    ratio = log_count_ratio(ngrams.matrix(known), expit(log_odds[: pupils.known]))
    model = DocumentVectors(known, ngrams, np.abs(ratio) > LEANING)
    test = pupils.corpus.part(pupils.known, len(pupils.corpus))
    inferred, seconds = timed(lambda: model.infer(test))
    vectors = np.concatenate([model.vectors, inferred])
    standardised: Vectors = (vectors - model.vectors.mean(axis=0)) / model.vectors.std(axis=0)
    return standardised, model.bytes, seconds


def _by_vectors(vectors: Vectors, labels: npt.NDArray[np.int64], fitted: Mask) -> Floats:
    model = LogisticRegression(C=VECTOR_STRENGTH, max_iter=500).fit(vectors[fitted], labels[fitted])
    log_odds: Floats = model.decision_function(vectors)
    return log_odds


def _at_strides(evidence: Floats, corpus: Corpus) -> list[npt.NDArray[np.float32]]:
    """The running sum (tokens,) of each review after every STRIDE tokens, and after its last."""
    reviews = np.split(evidence.astype(np.float32)[: len(corpus.tokens)], corpus.offsets[1:-1])
    return [review[places(len(review))] for review in reviews]


def _slopes(pupils: _Class, evidence: Floats) -> npt.NDArray[np.float32]:
    """(knots, 2): tokens read, and how many log-odds a unit of evidence is then worth by the fitted reviews' labels."""
    corpus, fitted, labels = pupils.corpus, pupils.fitted, pupils.labels
    knots = []
    for knot in KNOTS:
        long_enough = fitted & (np.diff(corpus.offsets) >= knot)
        if len(np.unique(labels[long_enough])) == 2:
            sums = evidence[corpus.offsets[:-1][long_enough] + knot - 1]
            model = LogisticRegression(C=1e6).fit(sums[:, None], labels[long_enough])
            knots.append((knot, model.coef_[0, 0]))
    return np.array(knots, dtype=np.float32)


def _report(pupils: _Class, name: str, log_odds: Floats, size: int, microseconds: float) -> TeacherReport:
    right = (log_odds > 0) == pupils.labels
    test = slice(pupils.known, None)
    return TeacherReport(
        name=name,
        cross_fitted_accuracy=float(right[pupils.fitted].mean()),
        validation_accuracy=float(right[pupils.blocks == VALIDATION].mean()),
        test_metrics=classification_metrics(expit(log_odds[test]), pupils.labels[test]),
        bytes=size,
        microseconds=microseconds,
    )


def save_reports(reports: list[TeacherReport], path: Path) -> None:
    """Write as JSON."""
    path.write_text(json.dumps([asdict(report) for report in reports], indent=2) + "\n")
