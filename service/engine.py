"""The onnxruntime session: token ids to probabilities, on the CPU or a GPU."""

import logging
from collections.abc import Sequence
from typing import Literal

import onnxruntime

from bundle.manifest import BundleError, Provider, TensorSpec
from bundle.padding import pad
from bundle.store import Bundle, Graph
from service.errors import ProviderError

logger = logging.getLogger(__name__)

ProviderChoice = Literal["auto", "cpu", "cuda"]
PrecisionChoice = Literal["auto", "fp32", "int8"]

_ERRORS_ONLY = 3  # onnxruntime's log severities: 2 warning, 3 error
_DTYPES = {"tensor(int64)": "int64", "tensor(float)": "float32"}

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"


class Engine:
    """Runs one batch at a time on one thread; several engines side by side use several cores better than one does.

    `provider` is where the model runs, "cpu" or "cuda", and `graph` the variant that runs there; `fell_back` says that
    CUDA is installed, could not be used, and the CPU took its place; `pad_to` is the fixed length that every batch is
    padded to, or None for its longest.
    """

    def __init__(
        self,
        bundle: Bundle,
        choice: ProviderChoice = "auto",
        fixed_length: bool = False,
        precision: PrecisionChoice = "auto",
    ) -> None:
        """Load, check against the manifest, and warm up. `precision` auto is what the bundle names for the provider.

        Raises BundleError if the graph is not what the bundle says, ProviderError if `choice` cannot be had.
        """
        self.pad_to = bundle.manifest.tokenizer.max_length if fixed_length else None
        self._pad_id = bundle.manifest.tokenizer.pad_id
        self._input, self._output = bundle.manifest.input.name, bundle.manifest.output.name
        self.graph, self._session = _open_best(bundle, choice, precision)
        self.provider: Provider = "cuda" if _CUDA in self._session.get_providers() else "cpu"
        self.fell_back = choice == "auto" and self.provider == "cpu" and _CUDA in onnxruntime.get_available_providers()
        _check_signature(self._session, bundle, self.graph)
        self._warm_up()

    def run(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        """Positive probabilities (batch,) of token ids, each of at least one and at most `max_length` ids."""
        input_ids, _ = pad(sequences, self._pad_id, self.pad_to)  # (batch, time)
        (probabilities,) = self._session.run([self._output], {self._input: input_ids})  # (batch, 1)
        answers: list[float] = probabilities[:, 0].tolist()
        return answers

    def _warm_up(self) -> None:
        """First runs are slow; these are the golden answers, alone and together, so that they prove something, too."""
        sequences = [answer.input_ids for answer in self.graph.golden]
        self.graph.check_golden([self.run([ids])[0] for ids in sequences])
        self.graph.check_golden(self.run(sequences))


def _open_best(
    bundle: Bundle, choice: ProviderChoice, precision: PrecisionChoice
) -> tuple[Graph, onnxruntime.InferenceSession]:
    """A graph and its session, where `choice` says or at best. Raises ProviderError if `choice` cannot be had."""
    if _wants_cuda(choice):
        onnxruntime.preload_dlls()  # from the nvidia packages, where CUDA is not installed system-wide
        graph = _choose(bundle, "cuda", precision)
        session = _open(graph, "cuda")
        # onnxruntime only knows by trying: a session that cannot have CUDA comes back without it.
        if _CUDA in session.get_providers():
            return graph, session
        if choice == "cuda":
            raise ProviderError(
                "execution provider cuda: onnxruntime has it, but no usable CUDA device or libraries were found "
                "(see its message above); check nvidia-smi and install review-sentiment[gpu], or use cpu"
            )
        logger.warning("execution provider: CUDA is installed but cannot be used, falling back to the CPU")
    graph = _choose(bundle, "cpu", precision)
    return graph, _open(graph, "cpu")


def _wants_cuda(choice: ProviderChoice) -> bool:
    installed = _CUDA in onnxruntime.get_available_providers()
    if choice == "cuda" and not installed:
        raise ProviderError(
            "execution provider cuda: this onnxruntime is a CPU build; in a fresh environment install "
            "review-sentiment[gpu] in place of review-sentiment[serve], or use cpu"
        )
    return installed and choice != "cpu"


def _choose(bundle: Bundle, provider: Provider, precision: PrecisionChoice) -> Graph:
    return bundle.graph_for(provider) if precision == "auto" else bundle.graph(precision)


def _open(graph: Graph, provider: Provider) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # more slow an LSTM of this size down
    options.log_severity_level = _ERRORS_ONLY
    cuda = (_CUDA, {"use_tf32": "0"})  # TF32 would cost the golden answers their last digits
    providers = [cuda, _CPU] if provider == "cuda" else [_CPU]
    try:
        return onnxruntime.InferenceSession(graph.path, options, providers=providers)
    except Exception as error:  # onnxruntime's own classes derive from nothing narrower
        raise BundleError(graph.path, f"cannot be loaded by onnxruntime: {error}") from error


def _check_signature(session: onnxruntime.InferenceSession, bundle: Bundle, graph: Graph) -> None:
    manifest, path = bundle.manifest, graph.path
    for kind, found, expected in (
        ("inputs", session.get_inputs(), manifest.input),
        ("outputs", session.get_outputs(), manifest.output),
    ):
        specs = [TensorSpec(tensor.name, _DTYPES.get(tensor.type, tensor.type), tensor.shape) for tensor in found]
        if specs != [expected]:
            raise BundleError(path, f"has {kind} {specs}, the manifest says {expected}")
    rows = session.get_modelmeta().custom_metadata_map.get("embedding_rows")
    if rows != str(manifest.architecture.vocabulary_size):
        raise BundleError(path, f"has {rows} embedding rows, the manifest {manifest.architecture.vocabulary_size}")
