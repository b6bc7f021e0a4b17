"""What a bundle says of itself: the contract that a server checks before it serves."""

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from bundle.tokenizer import TokenizerConfig

FORMAT_VERSION = 2

Precision = Literal["fp32", "int8"]
Provider = Literal["cpu", "cuda"]

# An entry of the configuration of every onnxruntime session with an int8 graph. By default an x64 processor without
# VNNI adds int8 products up in 16 bits, where ours overflow: its answers were up to 0.03 off.
EXACT_INTEGERS = ("session.x64quantprecision", "1")


class BundleError(Exception):
    """A bundle that must not be served: names the file at fault and the reason."""

    def __init__(self, file: object, reason: str) -> None:
        super().__init__(f"{file}: {reason}")


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of the ONNX graph: `dtype` by its numpy name, a dimension of any size by its name."""

    name: str
    dtype: str
    shape: list[int | str]


@dataclass(frozen=True)
class Architecture:
    """Sizes of the layers, and their output shapes for reviews padded to `max_length`."""

    vocabulary_size: int
    embedding_size: int
    hidden_size: int
    output_shapes: dict[str, list[int | str]]
    parameters: int


@dataclass(frozen=True)
class Variant:
    """The model in one precision: its graph, what that graph must answer, and how good it is."""

    precision: Precision
    model: str  # file
    golden: str  # file
    golden_tolerance: float  # largest difference of a probability from its golden answer
    providers: list[Provider]  # where this is the variant to run
    metrics: dict[str, float]  # on the canonical test split


@dataclass(frozen=True)
class Profile:
    """The training reviews as the tokenizer reads them, to compare with what is served later."""

    reviews: int
    token_count_mean: float  # tokens read, so at most max_length
    token_count_quantiles: dict[str, float]
    truncated_ratio: float
    unknown_token_ratio_mean: float
    positive_ratio: float


@dataclass(frozen=True)
class Dataset:
    """Where the reviews came from; the checksums are over labels and texts, whatever file held them."""

    name: str
    url: str
    train_reviews: int
    train_sha256: str
    test_reviews: int
    test_sha256: str


@dataclass(frozen=True)
class Manifest:
    """All of manifest.json. `files` maps each other file of the bundle to its SHA-256."""

    format_version: int
    name: str
    version: str
    architecture: Architecture
    input: TensorSpec
    output: TensorSpec
    tokenizer: TokenizerConfig
    labels: list[str]  # by class index: negative, positive
    threshold: float  # probability from which a review counts as positive
    temperature: float  # that divides the logit, already applied in the graphs
    bias: float  # that is then added to it, likewise
    variants: list[Variant]  # one for each precision
    profile: Profile
    dataset: Dataset
    libraries: dict[str, str]
    files: dict[str, str]

    def to_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Parse manifest.json. Raises BundleError naming the field that is missing, unknown or of another type."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise BundleError("manifest.json", f"is not JSON: {error}") from error
        # The format comes first: a later format may have other fields, and that is the thing to say.
        found = document.get("format_version") if isinstance(document, dict) else None
        if found != FORMAT_VERSION:
            raise BundleError("manifest.json", f"has format_version {found!r}; this code reads {FORMAT_VERSION}")
        manifest: Manifest = _parse(cls, document, "the document")
        return manifest


def _parse(kind: Any, value: Any, where: str) -> Any:
    """`value`, out of JSON, as the annotated type `kind`."""
    if dataclasses.is_dataclass(kind):
        return _parse_fields(typing.cast(type, kind), _parse(dict, value, where), where)
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is typing.Literal:
        if value not in arguments:
            raise BundleError("manifest.json", f"{where} is {value!r}, not one of {list(arguments)}")
        return value
    accepted = {types.UnionType: arguments, float: (int, float)}.get(origin, origin)
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise BundleError("manifest.json", f"{where} is {value!r}, not {getattr(kind, '__name__', kind)}")
    if origin is list:
        return [_parse(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict and arguments:
        return {name: _parse(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    return value


def _parse_fields(kind: type, values: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    if missing := sorted(hints.keys() - values.keys()):
        raise BundleError("manifest.json", f"{where} lacks {', '.join(missing)}")
    if unknown := sorted(values.keys() - hints.keys()):
        raise BundleError("manifest.json", f"{where} has unknown {', '.join(unknown)}")
    return kind(**{name: _parse(hints[name], values[name], f"{where}.{name}") for name in hints})
