"""The table of layers: output shapes and parameters."""

from bundle.manifest import Architecture
from export.model import ModelConfig

Row = tuple[str, tuple[int | str, ...] | None, int]

LSTM_PARTS = ("forget", "input", "candidate", "output")


def layers(config: ModelConfig) -> list[Row]:
    """(name, output shape, parameters) of each layer; the LSTM's four parts follow it, without a shape."""
    embedding, hidden = config.embedding_size, config.hidden_size
    part = hidden * (embedding + hidden) + hidden  # weights on input and state, and one bias
    return [
        ("embedding", ("?", config.max_length, embedding), config.vocabulary_size * embedding),
        ("lstm", ("?", hidden), len(LSTM_PARTS) * part),
        *((f"lstm.{name}", None, part) for name in LSTM_PARTS),
        ("dense", ("?", 1), hidden + 1),
    ]


def architecture(config: ModelConfig) -> Architecture:
    """The same for a manifest."""
    rows = [row for row in layers(config) if row[1]]
    return Architecture(
        vocabulary_size=config.vocabulary_size,
        embedding_size=config.embedding_size,
        hidden_size=config.hidden_size,
        output_shapes={name: list(shape) for name, shape, _ in rows if shape},
        parameters=sum(parameters for _, _, parameters in rows),
    )


def summary(config: ModelConfig) -> str:
    """The table as text, total included."""
    lines = [f"{'layer':<18}{'output shape':<18}{'parameters':>12}"]
    for name, shape, parameters in layers(config):
        name = f"  {name.partition('.')[2]}" if shape is None else name
        lines.append(f"{name:<18}{_shape(shape):<18}{parameters:>12,}")
    lines.append(f"{'total':<36}{architecture(config).parameters:>12,}")
    return "\n".join(lines)


def _shape(shape: tuple[int | str, ...] | None) -> str:
    return f"({', '.join(map(str, shape))})" if shape else ""
