import json
from pathlib import Path

import numpy as np
import pytest
import torch

from export.model import ModelConfig, SentimentModel, plain_weights
from export.word_vectors import SIZE, SPREAD, WordVectors, WordVectorsError, own_values, share


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Vectors of a, b and c as the npm package has them: the values, their norm, their index."""
    rng = np.random.default_rng(0)
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps({"vectors": {word: [*rng.normal(size=SIZE).tolist(), 1.0, 0] for word in "abc"}}))
    return path


def test_vectors_come_back_from_their_file(source: Path, tmp_path: Path) -> None:
    kept = WordVectors.of_words(source, {"a", "c", "missing"})
    assert len(kept) == 2
    kept.save(tmp_path / "kept.npz")
    loaded = WordVectors.load(tmp_path / "kept.npz")
    assert loaded.digest() == kept.digest()
    matrix = loaded.matrix(["<pad>", "a", "c", "c's", "missing"])
    assert torch.equal(matrix, kept.matrix(["<pad>", "a", "c", "c's", "missing"]))
    assert not matrix[[0, 4]].any()
    assert torch.equal(matrix[2], matrix[3])
    assert matrix[1:4].std(correction=0).item() == pytest.approx(SPREAD)


def test_vectors_keep_their_directions(source: Path) -> None:
    whole = json.loads(source.read_text())["vectors"]
    true = np.array([whole[word][:SIZE] for word in "abc"])
    found = WordVectors.of_words(source, set("abc")).matrix(list("abc")).numpy()
    for exact, kept in zip(true - true.mean(axis=0), found, strict=True):
        assert exact @ kept / np.linalg.norm(exact) / np.linalg.norm(kept) > 0.999


@pytest.mark.parametrize("content", ["no JSON", "{}", '{"vectors": {"a": 1}}'])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(WordVectorsError, match="is not wink-embeddings"):
        WordVectors.of_words(path, {"a"})
    with pytest.raises(WordVectorsError, match="`review-sentiment-export vectors` makes them"):
        WordVectors.load(tmp_path / "missing.npz")


def test_words_share_what_is_learnt_and_the_export_is_one_table(source: Path) -> None:
    model = SentimentModel(ModelConfig(vocabulary_size=5))
    own = model.embedding.weight.detach().clone()
    vectors = WordVectors.of_words(source, set("abc")).matrix(["<pad>", "<unk>", "a", "b", "c"])
    assert own_values(model.embedding) is model.embedding.weight
    share(model.embedding, vectors)
    assert torch.equal(own_values(model.embedding), own)
    weight = model.embedding.weight
    assert torch.equal(weight[:2], own[:2])
    assert (weight[2:] != own[2:]).any(dim=1).all()
    weight[2].sum().backward()  # type: ignore[no-untyped-call]  # learning from one word moves the others, by the projection
    assert sum(parameter.grad is not None for parameter in model.parameters()) == 2

    weights = plain_weights(model)
    plain = SentimentModel(model.config)
    plain.load_state_dict(weights)
    ids, lengths = torch.tensor([[2, 3, 4]]), torch.tensor([3])
    assert torch.equal(plain(ids, lengths), model(ids, lengths))
