"""MODEL_CARD.md, written from the same numbers as the manifest."""

import textwrap

from bundle.manifest import Manifest
from export.train import Checkpoint
from export.verify import Verification

_CARD = """\
# {name} {version}

Says whether an English review is positive, from its text alone.

**Architecture.** Embedding of {embedding} for a vocabulary of {vocabulary:,}, one LSTM of {hidden} units read left to
right, its last state into one sigmoid unit: {parameters:,} parameters. It reads the first {max_length} tokens.

**Training.** {train_reviews:,} labelled reviews of the {dataset} (Maas et al., 2011), hard labels, of which 10% were
held out, film by film, to choose the pass that is kept. AdamW (peak learning rate {learning_rate}, one cycle),
{epochs} passes in batches of {batch_size}, dropout of {embedding_dropout} on embeddings, {channel_dropout} on their
channels and {state_dropout} on the last state, {word_dropout:.0%} of words hidden, exponentially averaged weights, seed
{seed}. Validation accuracy {validation:.2%}.

## Measured on the canonical {test_reviews:,} test reviews, through the ONNX file

| figure | value |
| --- | --- |
| accuracy | {accuracy:.2%} |
| log loss | {log_loss:.4f} |
| expected calibration error (15 bins) | {calibration:.4f} |

Reproduce with `make train`, or check a running service with `python -m benchmarks.accuracy`.

## The graph against the torch model

| check | largest difference of a probability |
| --- | --- |
{differences}

## Use and limits

Made for whole reviews in English, of films above all. It has seen no other domain and hardly any text below
{short:.0f} tokens (a hundredth of the training reviews are shorter), so single sentences, negated praise and irony are
read worse than the figures above suggest. It judges wording, not facts, and repeats whatever slant film reviewers of
before 2011 had. In training a review had {tokens:.0f} tokens in the mean, {truncated:.1%} were cut at {max_length}, and
{unknown:.2%} of a review's tokens were not in the vocabulary: input far from that gets answers that mean less. Not for
decisions about people.
"""


def _wrapped(card: str) -> str:
    """Paragraphs filled to the line; headings and tables as they are."""
    parts = card.split("\n\n")
    return "\n\n".join(part if part[0] in "#|" else textwrap.fill(part, 119) for part in parts) + "\n"


def model_card(manifest: Manifest, checkpoint: Checkpoint, verification: Verification) -> str:
    """The card as Markdown."""
    recipe, architecture, profile = checkpoint.train, manifest.architecture, manifest.profile
    card = _CARD.format(
        name=manifest.name,
        version=manifest.version,
        embedding=architecture.embedding_size,
        vocabulary=architecture.vocabulary_size,
        hidden=architecture.hidden_size,
        parameters=architecture.parameters,
        max_length=manifest.tokenizer.max_length,
        train_reviews=manifest.dataset.train_reviews,
        test_reviews=manifest.dataset.test_reviews,
        dataset=manifest.dataset.name,
        learning_rate=recipe.learning_rate,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        embedding_dropout=recipe.embedding_dropout,
        channel_dropout=recipe.channel_dropout,
        state_dropout=recipe.state_dropout,
        word_dropout=recipe.word_dropout,
        seed=recipe.seed,
        validation=checkpoint.validation_accuracy,
        accuracy=manifest.metrics["accuracy"],
        log_loss=manifest.metrics["log_loss"],
        calibration=manifest.metrics["expected_calibration_error"],
        differences="\n".join(f"| {name} | {value:.1e} |" for name, value in verification.differences.items()),
        short=profile.token_count_quantiles["0.01"],
        tokens=profile.token_count_mean,
        truncated=profile.truncated_ratio,
        unknown=profile.unknown_token_ratio_mean,
    )
    return _wrapped(card)
