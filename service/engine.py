"""The onnxruntime session: token ids to probabilities, on the CPU or a GPU."""

import logging
from collections.abc import Sequence
from typing import Literal

import onnxruntime

from bundle.manifest import BundleError, TensorSpec
from bundle.padding import pad
from bundle.store import Bundle
from service.errors import ProviderError

logger = logging.getLogger(__name__)

ProviderChoice = Literal["auto", "cpu", "cuda"]

_ERRORS_ONLY = 3  # onnxruntime's log severities: 2 warning, 3 error
_DTYPES = {"tensor(int64)": "int64", "tensor(float)": "float32"}

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"


class Engine:
    """Runs one batch at a time on one thread; several engines side by side use several cores better than one does.

    `provider` is where the model runs, "cpu" or "cuda"; `fell_back` says that CUDA is installed, could not be used,
    and the CPU took its place; `pad_to` is the fixed length that every batch is padded to, or None for its longest.
    """

    def __init__(self, bundle: Bundle, choice: ProviderChoice = "auto", fixed_length: bool = False) -> None:
        """Load, check against the manifest, and warm up.

        Raises BundleError if the graph is not what the bundle says, ProviderError if `choice` cannot be had.
        """
        self.pad_to = bundle.manifest.tokenizer.max_length if fixed_length else None
        self._pad_id = bundle.manifest.tokenizer.pad_id
        self._input, self._output = bundle.manifest.input.name, bundle.manifest.output.name
        self._session = _open(bundle, choice)
        self.provider: Literal["cpu", "cuda"] = "cuda" if self._session.get_providers()[0] == _CUDA else "cpu"
        self.fell_back = choice == "auto" and self.provider == "cpu" and _CUDA in onnxruntime.get_available_providers()
        _check_signature(self._session, bundle)
        self._warm_up(bundle)

    def run(self, sequences: Sequence[Sequence[int]]) -> list[float]:
        """Positive probabilities (batch,) of token ids, each of at least one and at most `max_length` ids."""
        input_ids, _ = pad(sequences, self._pad_id, self.pad_to)  # (batch, time)
        (probabilities,) = self._session.run([self._output], {self._input: input_ids})  # (batch, 1)
        answers: list[float] = probabilities[:, 0].tolist()
        return answers

    def _warm_up(self, bundle: Bundle) -> None:
        """First runs are slow; these are the golden answers, alone and together, so that they prove something, too."""
        sequences = [answer.input_ids for answer in bundle.golden]
        bundle.check_golden([self.run([ids])[0] for ids in sequences])
        bundle.check_golden(self.run(sequences))


def _open(bundle: Bundle, choice: ProviderChoice) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # more slow an LSTM of this size down
    options.log_severity_level = _ERRORS_ONLY
    providers = [_CPU] if choice == "cpu" else _with_cuda(choice)
    try:
        session = onnxruntime.InferenceSession(bundle.model_path, options, providers=providers)
    except Exception as error:  # onnxruntime's own classes derive from nothing narrower
        raise BundleError(bundle.model_path, f"cannot be loaded by onnxruntime: {error}") from error
    if _CUDA in session.get_providers():
        return session
    if choice == "cuda":
        raise ProviderError(
            "execution provider cuda: onnxruntime has it, but no usable CUDA device or libraries were found "
            "(see its message above); check nvidia-smi and install review-sentiment[gpu], or use cpu"
        )
    if len(providers) > 1:
        logger.warning("execution provider: CUDA is installed but cannot be used, falling back to the CPU")
    return session


def _with_cuda(choice: ProviderChoice) -> list[str | tuple[str, dict[str, str]]]:
    if _CUDA in onnxruntime.get_available_providers():
        onnxruntime.preload_dlls()  # from the nvidia packages, where CUDA is not installed system-wide
        return [(_CUDA, {"use_tf32": "0"}), _CPU]  # TF32 would cost the golden answers their last digits
    if choice == "cuda":
        raise ProviderError(
            "execution provider cuda: this onnxruntime is a CPU build; in a fresh environment install "
            "review-sentiment[gpu] in place of review-sentiment[serve], or use cpu"
        )
    return [_CPU]


def _check_signature(session: onnxruntime.InferenceSession, bundle: Bundle) -> None:
    manifest, path = bundle.manifest, bundle.model_path
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
