"""The teachers on a small data set, and the student on what they say."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from bundle.store import load_bundle
from bundle.tokenizer import Tokenizer, TokenizerConfig, split
from export.checkpoint import Checkpoint
from export.cli import _parser, main
from export.data import Reviews, load
from export.examples import ReviewExamples
from export.ngrams import ABSENT, Ngrams, fit_ngram_model, read_corpus, running_sum
from export.soft_labels import STRIDE, SoftLabels, SoftLabelsError, places
from export.steps import recipe_of
from export.word_vectors import WordVectors, WordVectorsError
from tests.export.reviews import as_parquet, rows


def reviews_of(*texts: str) -> Reviews:
    return Reviews(np.arange(len(texts)), list(texts), np.arange(len(texts)) % 2)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set, and the soft labels of its teachers."""
    pytest.importorskip("gensim", reason="gensim has no wheel for this Python")
    data = as_parquet(rows(400), tmp_path_factory.mktemp("data"))
    path = tmp_path_factory.mktemp("teaching") / "soft_labels.npz"
    assert main(["teach", "--data", str(data), "--soft-labels", str(path)]) == 0
    return data, path


def test_ngrams_are_found_where_they_end_and_only_inside_a_review() -> None:
    corpus = read_corpus(reviews_of("a b a b", "b a"))
    ngrams = Ngrams(corpus, min_count=2)
    assert len(ngrams) == 4  # a, b, "a b", and "b a" once in each review
    found = ngrams.find(corpus)
    assert (found[0, 1:] == ABSENT).all()  # a review's first token ends no pair
    assert (found[4, 1:] == ABSENT).all()
    assert found[1, 1] == found[3, 1] != ABSENT
    assert (ngrams.first_finds(corpus)[3] == ABSENT).all()
    assert ngrams.matrix(corpus).toarray().sum(axis=1).tolist() == [4, 3]


def test_a_review_s_log_odds_are_the_sum_of_its_tokens_evidence() -> None:
    reviews = reviews_of(*("bad film bad", "good film", "bad plot", "good good plot") * 5)
    corpus = read_corpus(reviews)
    ngrams = Ngrams(corpus, min_count=2)
    matrix = ngrams.matrix(corpus)
    model = fit_ngram_model(matrix, reviews.labels.astype(float), strength=1.0)
    log_odds = model.log_odds(matrix)
    assert ((log_odds > 0) == reviews.labels).all()
    sums = running_sum(model.evidence(corpus, ngrams), corpus)
    assert sums[corpus.offsets[1:] - 1] + model.bias == pytest.approx(log_odds, abs=1e-5)


def test_the_teachers_learn_and_judge_every_review(taught: tuple[Path, Path]) -> None:
    data, path = taught
    soft_labels = SoftLabels.load(path)
    train, unlabelled = load(data, "train"), load(data, "unsupervised")
    soft_labels.check(train, unlabelled)
    assert ((soft_labels.log_odds[: len(train)] > 0) == train.labels).mean() > 0.9
    counts = [len(split(text)) for text in [*train.texts, *unlabelled.texts]]
    assert [len(sums) for sums in soft_labels.evidence] == [len(places(count)) for count in counts]
    reports = json.loads(path.with_name("teachers.json").read_text())
    assert len(reports) == 4
    assert all(report["cross_fitted_accuracy"] > 0.9 and report["bytes"] > 0 for report in reports)


def test_soft_labels_survive_the_file_to_a_sixteenth(tmp_path: Path) -> None:
    evidence = [np.array([0.5, -3.26, 7.0], dtype=np.float32), np.array([1.0], dtype=np.float32)]
    slopes = np.array([[1, 4], [100, 1]], dtype=np.float32)
    SoftLabels(np.array([1.5, -2], dtype=np.float32), evidence, slopes, "print").save(tmp_path / "a.npz")
    loaded = SoftLabels.load(tmp_path / "a.npz")
    assert loaded.log_odds.tolist() == [1.5, -2]
    assert all(np.abs(one - other).max() <= 1 / 32 for one, other in zip(loaded.evidence, evidence, strict=True))
    assert loaded.slope(100)[[0, 9, 99]].tolist() == [4, 2.5, 1]
    assert loaded.take(np.array([False, True])).evidence[0].tolist() == [1.0]


def test_the_digest_of_soft_labels_is_of_all_that_they_say(tmp_path: Path) -> None:
    evidence = [np.array([0.5, -3.26, 7.0], dtype=np.float32), np.array([1.0], dtype=np.float32)]
    slopes = np.array([[1, 4], [100, 1]], dtype=np.float32)
    labels = SoftLabels(np.array([1.5, -2], dtype=np.float32), evidence, slopes, "print")
    labels.save(tmp_path / "a.npz")
    assert SoftLabels.load(tmp_path / "a.npz").digest() == labels.digest()
    others = [
        replace(labels, log_odds=-labels.log_odds),
        replace(labels, evidence=[evidence[0] + 1, evidence[1]]),
        replace(labels, evidence=[evidence[0][:2], np.append(evidence[0][2] - evidence[0][1], evidence[1])]),
        replace(labels, slopes=slopes + 1),
        replace(labels, fingerprint="other"),
    ]
    assert len({one.digest() for one in [labels, *others]}) == 6


def test_soft_labels_of_other_reviews_are_refused(taught: tuple[Path, Path], tmp_path: Path) -> None:
    other = as_parquet(rows(400, seed=1), tmp_path)
    assert main(["train", "--data", str(other), "--run", str(tmp_path), "--soft-labels", str(taught[1])]) == 1
    with pytest.raises(SoftLabelsError, match=r"no soft labels at .*teach` makes them"):
        SoftLabels.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize("kind", [SoftLabels, WordVectors])
def test_a_file_of_another_kind_or_a_broken_one_is_refused(
    kind: type[SoftLabels | WordVectors], tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", other=np.zeros(100))
    np.savez(tmp_path / "b.npz", other=np.zeros(100))
    (tmp_path / "b.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:100])
    for name in ("a.npz", "b.npz"):
        with pytest.raises((SoftLabelsError, WordVectorsError), match=rf"at .*{name} \(.*\); `review-sentiment-export"):
            kind.load(tmp_path / name)


def test_running_targets_stand_where_the_evidence_was_written_down(taught: tuple[Path, Path]) -> None:
    data, path = taught
    train, unlabelled = load(data, "train"), load(data, "unsupervised")
    soft = SoftLabels.load(path)
    short = Tokenizer(["<pad>", "<unk>"], TokenizerConfig(max_length=16))
    examples = ReviewExamples(train, short, soft.take(np.arange(len(train) + len(unlabelled)) < len(train)))
    row = max(range(len(train)), key=lambda one: len(soft.evidence[one]))
    count = len(split(train.texts[row]))
    first = -(-(count - 16) // STRIDE) * STRIDE
    window = examples._window(row, first, count)
    assert window.running_targets is not None
    told = np.flatnonzero(~np.isnan(window.running_targets))
    assert told.tolist() == places(count - first).tolist()
    before = soft.evidence[row][first // STRIDE - 1]
    log_odds = soft.slope(500)[count - first - 1] * (soft.evidence[row][-1] - before)
    assert window.target == pytest.approx(expit(log_odds), abs=1e-5)


def test_the_student_learns_from_them_and_is_reported(
    taught: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, path = taught
    monkeypatch.chdir(tmp_path)
    flags = [
        *("--epochs", "2", "--batch-size", "16", "--learning-rate", "0.01", "--contrast-batches", "1"),
        *("--ema-decay", "0.9", "--vocabulary-size", "2000", "--seeds", "2", "--soft-labels", str(path)),
    ]
    assert main(["all", "--data", str(data), "--run", "run", *flags]) == 0
    bundle = load_bundle(tmp_path / "models/imdb-lstm/1")
    assert all(variant.metrics["accuracy"] > 0.9 for variant in bundle.manifest.variants)
    assert bundle.manifest.tokenizer.truncation_side == "middle"
    card, page = (bundle.path / "MODEL_CARD.md").read_text(), (tmp_path / "run/report/index.html").read_text()
    for words in ("blend of the last two: the teacher", "mean ± standard deviation", "pairs: irony", "student, int8"):
        assert words in card and words in page
    assert "400 labelled and 400 unlabelled reviews" in card and "by 42,030 lines of our own writing" in card
    (again,) = re.findall(r'make train ARGS="([^"]*)"', " ".join(card.split()))
    arguments = _parser().parse_args(["all", *again.split()])
    assert recipe_of(arguments) == Checkpoint.load(Path("run/checkpoint.pt")).train
    pictures = sorted(file.name for file in (tmp_path / "run/report").glob("*.png"))
    assert len(pictures) == 7 and all(f'src="{name}"' in page for name in pictures)
