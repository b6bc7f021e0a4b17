"""Token ids to probabilities: by an onnxruntime session on the CPU or a GPU, or by the native LSTM that equals it."""

import logging
from typing import Literal

import onnxruntime

from bundle.manifest import EXACT_INTEGERS, BundleError, Provider, TensorSpec
from bundle.padding import Sequences, pad
from bundle.store import Bundle, Graph
from service.errors import KernelError, ProviderError
from service.native_lstm import NativeLstm, best_instruction_set

logger = logging.getLogger(__name__)

ProviderChoice = Literal["auto", "cpu", "cuda"]
PrecisionChoice = Literal["auto", "fp32", "int8"]
Kernel = Literal["native", "onnxruntime"]
KernelChoice = Literal["auto", "native", "onnxruntime"]

_ERRORS_ONLY = 3  # onnxruntime's log severities: 2 warning, 3 error
_DTYPES = {"tensor(int64)": "int64", "tensor(float)": "float32"}

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"


class Engine:
    """Runs one batch at a time on one thread; several engines side by side use several cores better than one does.

    `provider` is where the model runs, "cpu" or "cuda", `graph` the variant that runs there, and `kernel` what runs it;
    `fell_back` says that CUDA is installed, could not be used, and the CPU took its place. A `ragged` engine takes
    reviews of any lengths as they are; others pad a batch to `pad_to`, or to its longest review where that is None.
    """

    def __init__(
        self,
        bundle: Bundle,
        choice: ProviderChoice = "auto",
        fixed_length: bool = False,
        precision: PrecisionChoice = "auto",
        kernel: KernelChoice = "auto",
    ) -> None:
        """Load, check against the manifest, and warm up. `precision` auto is what the bundle names for the provider.

        Raises BundleError if the graph is not what the bundle says, ProviderError or KernelError if what was chosen
        cannot be had.
        """
        self.pad_to = bundle.manifest.tokenizer.max_length if fixed_length else None
        self._pad_id = bundle.manifest.tokenizer.pad_id
        self._input, self._output = bundle.manifest.input.name, bundle.manifest.output.name
        self.graph, session = _open_best(bundle, choice, precision)
        self.provider: Provider = "cuda" if _CUDA in session.get_providers() else "cpu"
        self.fell_back = choice == "auto" and self.provider == "cpu" and _CUDA in onnxruntime.get_available_providers()
        _check_signature(session, bundle, self.graph)
        native = self._open_native(kernel)
        self._runner: NativeLstm | onnxruntime.InferenceSession = native or session
        self.kernel: Kernel = "native" if native else "onnxruntime"
        self.ragged = native is not None
        self._warm_up()

    def run(self, sequences: Sequences) -> list[float]:
        """Positive probabilities (batch,) of token ids, each of at least one and at most `max_length` ids."""
        if isinstance(self._runner, NativeLstm):
            return self._runner.run(sequences)
        input_ids, _ = pad(sequences, self._pad_id, self.pad_to)  # (batch, time)
        (probabilities,) = self._runner.run([self._output], {self._input: input_ids})  # (batch, 1)
        answers: list[float] = probabilities[:, 0].tolist()
        return answers

    def _open_native(self, choice: KernelChoice) -> NativeLstm | None:
        """The native LSTM, where it can stand in for the session."""
        fits = self.provider == "cpu" and self.graph.variant.precision == "int8" and self.pad_to is None
        instructions = best_instruction_set()
        if choice == "onnxruntime" or (choice == "auto" and not (fits and instructions)):
            return None
        if not fits:
            raise KernelError("kernel native: it runs the int8 graph on the CPU, without padding; use auto")
        if not instructions:
            raise KernelError(
                "kernel native: it needs a C compiler when the package is installed, and a processor with AVX2 or "
                "AVX-512 VNNI; use auto or onnxruntime"
            )
        try:
            native = NativeLstm(self.graph.path, instructions)
            self.graph.check_golden(native.run([answer.input_ids for answer in self.graph.golden]))
            return native
        except (ValueError, BundleError) as error:
            if choice == "native":
                raise KernelError(f"kernel native: {error}; use auto or onnxruntime") from error
            logger.warning("kernel: onnxruntime runs this graph and not the native one: %s", error)
            return None

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
    options.add_session_config_entry(*EXACT_INTEGERS)
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
