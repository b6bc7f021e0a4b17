"""MODEL_CARD.md, written from the same numbers as the manifest."""

import dataclasses
import textwrap

from bundle.manifest import Manifest
from export.checkpoint import Checkpoint
from export.contrast import hold_out_lines, load_bank
from export.recipes import RECIPES, RecipeName, TrainConfig
from export.verify import Verification

_CARD = """\
# {name} {version}

Says whether an English review is positive, from its text alone.

**Architecture.** Embedding of {embedding} for a vocabulary of {vocabulary:,}, one LSTM of {hidden} units read left to
right, its last state into one sigmoid unit: {parameters:,} parameters. It reads at most {max_length} tokens{reading}.

**Training.** {training} AdamW (peak learning rate {learning_rate}, one cycle), {epochs} passes in batches of
{batch_size}, exponentially averaged weights, seed {seed}. 10% of the labelled reviews were held out, film by film, to
choose by: there the accuracy is {validation:.2%}, and there the temperature ({temperature:.3f}) was fitted that divides
the logit in the graphs; the bias that is then added ({bias:+.3f}) is what all labelled reviews ask for.

## Measured on the canonical {test_reviews:,} test reviews, through the ONNX files

| figure | {precisions} |
| --- | {rules} |
{figures}

One core, batches of eight reviews of like length. Reproduce with `OMP_NUM_THREADS={threads} make train ARGS="{flags}"`,
or check a running service with `python -m benchmarks.accuracy`.

{tables}## The graphs against the torch model

{differences}

## Use and limits

{limits} It judges wording, not facts, and repeats whatever slant film reviewers of before 2011 had. As it reads them,
the labelled reviews have {tokens:.0f} tokens in the mean, {truncated:.1%} of them are cut at {max_length}, and
{unknown:.2%} of a review's tokens are not in the vocabulary: input far from that gets answers that mean less. Not for
decisions about people.
"""

_HARD = "{train:,} labelled reviews of the {dataset} (Maas et al., 2011), hard labels."
_SOFT = (
    "{train:,} labelled and {unlabelled:,} unlabelled reviews of the {dataset} (Maas et al., 2011). Teachers (n-grams "
    "and document vectors, fitted to other films' labels or to what models so fitted said) say of every review, and "
    "after every few tokens of it, how positive it is so far; the hard label has half a say in the whole. Beside them "
    "contrast pairs, by {lines:,} lines of our own writing and by rule, teach short texts, negation, and goods and "
    "services. Words share what is learnt through their GloVe vectors (Pennington et al., 2014)."
)
_LIMITS_HARD = (
    "Made for whole reviews in English, of films above all. It has seen no other domain and hardly any text below "
    "{short:.0f} tokens (a hundredth of the training reviews are shorter), so single sentences, negated praise and "
    "irony are read worse than the figures above suggest."
)
_LIMITS_SOFT = (
    "Made for reviews in English, of films above all, and for short ones of goods and services too. The suite says "
    "how well each manner of speaking is read. The contrast pairs that it learnt from and the suite were written in "
    "the same house, though apart, so other people's short texts may be read worse."
)
_NAMES = {
    "accuracy": ("accuracy", "{:.2%}"),
    "log_loss": ("log loss", "{:.4f}"),
    "expected_calibration_error": ("expected calibration error (15 bins)", "{:.4f}"),
}


def model_card(manifest: Manifest, checkpoint: Checkpoint, verifications: list[Verification], tables: str) -> str:
    """The card as Markdown; `tables` are further sections, from the report."""
    recipe, architecture, profile = checkpoint.train, manifest.architecture, manifest.profile
    recipe_name: RecipeName = "distilled" if checkpoint.unlabelled_reviews else "plain"
    sides = {"right": "", "left": ", the last ones", "middle": ", the first quarter of them from the beginning"}
    card = _CARD.format(
        name=manifest.name,
        version=manifest.version,
        embedding=architecture.embedding_size,
        vocabulary=architecture.vocabulary_size,
        hidden=architecture.hidden_size,
        parameters=architecture.parameters,
        max_length=manifest.tokenizer.max_length,
        reading=sides[manifest.tokenizer.truncation_side],
        training=(_SOFT if recipe_name == "distilled" else _HARD).format(
            train=manifest.dataset.train_reviews,
            unlabelled=checkpoint.unlabelled_reviews,
            dataset=manifest.dataset.name,
            lines=len(hold_out_lines(load_bank())[0]),
        ),
        test_reviews=manifest.dataset.test_reviews,
        learning_rate=recipe.learning_rate,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        validation=checkpoint.validation_accuracy,
        temperature=checkpoint.temperature,
        bias=checkpoint.bias,
        precisions=" | ".join(each.precision for each in verifications),
        rules=" | ".join("---" for _ in verifications),
        figures=_figures(verifications),
        threads=checkpoint.threads,
        flags=_flags(recipe_name, recipe),
        tables=tables and tables.rstrip() + "\n\n",
        differences=_differences(verifications),
        limits=(_LIMITS_SOFT if recipe_name == "distilled" else _LIMITS_HARD).format(
            short=profile.token_count_quantiles["0.01"]
        ),
        tokens=profile.token_count_mean,
        truncated=profile.truncated_ratio,
        unknown=profile.unknown_token_ratio_mean,
    )
    return _wrapped(card)


def _flags(name: RecipeName, trained: TrainConfig) -> str:
    """What trains that way again."""
    values, recipe = dataclasses.asdict(trained), dataclasses.asdict(RECIPES[name])
    changed = {field: value for field, value in values.items() if field == "seed" or value != recipe[field]}
    return " ".join(f"--{field.replace('_', '-')} {value}" for field, value in {"recipe": name, **changed}.items())


def _figures(verifications: list[Verification]) -> str:
    rows = [
        [title, *(form.format(each.metrics[name]) for each in verifications)] for name, (title, form) in _NAMES.items()
    ]
    rows.append(["microseconds of CPU a review", *(f"{each.microseconds:.0f}" for each in verifications)])
    rows.append(["short texts of the suite", *(f"{each.behaviour.short_texts:.1%}" for each in verifications)])
    rows.append(["pairs of the suite, both texts", *(f"{each.behaviour.pairs:.1%}" for each in verifications)])
    rows.append(["pairs of the suite, each text", *(f"{each.behaviour.pair_members:.1%}" for each in verifications)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _differences(verifications: list[Verification]) -> str:
    lines = ["| graph | check | largest difference of a probability |", "| --- | --- | --- |"]
    for each in verifications:
        lines += [f"| {each.precision} | {name} | {value:.1e} |" for name, value in each.differences.items()]
    return "\n".join(lines)


def _wrapped(card: str) -> str:
    """Paragraphs filled to the line; headings and tables as they are."""
    parts = card.split("\n\n")
    filled = [part if part[0] in "#|!" else textwrap.fill(part, 119, break_on_hyphens=False) for part in parts]
    return "\n\n".join(filled) + "\n"
