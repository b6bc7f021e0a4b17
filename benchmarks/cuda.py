"""What only a GPU can say: whether CUDA answers as the CPU does, and how fast torch's own LSTM is there."""

from collections.abc import Sequence

import torch

from benchmarks.answers import Answers
from benchmarks.engine_curves import cells
from benchmarks.errors import Refused
from benchmarks.figures import EngineCell, Parity
from benchmarks.plan import Plan
from benchmarks.records import Records
from bundle.padding import Sequences, pad
from bundle.store import Bundle
from export.model import ModelConfig, SentimentModel
from service.engine import Engine

_REVIEWS = 1_000
_AT_ONCE = 250  # of all lengths, as they come


def measure_cuda(answers: Answers, texts: Sequence[str], plan: Plan, records: Records) -> None:
    """Parity first: a fast engine that is wrong is not fast. Raises Refused if CUDA's answers are others."""
    records.add(measure_parity(answers, texts))
    sequences = [answers.bundle.tokenizer.encode(text).input_ids for text in texts]
    run = TorchLstm(answers.bundle)
    for batch, length, cost in cells(run, answers.bundle, sequences, "cuda", plan):
        records.add(EngineCell("fp32", "torch", batch, length, cost))


def measure_parity(answers: Answers, texts: Sequence[str]) -> Parity:
    """The largest difference of a probability, over reviews of mixed lengths in one batch."""
    bundle = answers.bundle
    engine = Engine(bundle, "cuda", precision="fp32")
    sequences = [bundle.tokenizer.encode(text).input_ids for text in texts[:_REVIEWS]]
    starts = range(0, len(sequences), _AT_ONCE)
    found = [answer for start in starts for answer in engine.run(sequences[start : start + _AT_ONCE])]
    expected = answers.of("fp32")[: len(found)]
    largest = max(abs(one - other) for one, other in zip(found, expected, strict=True))
    if not largest <= engine.graph.variant.golden_tolerance:
        raise Refused(f"CUDA's answers are up to {largest:g} from the CPU's")
    return Parity(len(found), largest)


class TorchLstm:
    """The same layers in torch, untrained: what they say does not matter to how long they take."""

    def __init__(self, bundle: Bundle) -> None:
        torch.backends.cudnn.allow_tf32 = False  # as in service.engine
        sizes = bundle.manifest.architecture
        config = ModelConfig(sizes.vocabulary_size, sizes.embedding_size, sizes.hidden_size)
        self._model = SentimentModel(config).cuda().eval()
        self._pad_id = bundle.manifest.tokenizer.pad_id

    def __call__(self, sequences: Sequences) -> list[float]:
        """Probabilities of one batch, back in this process's memory."""
        input_ids, lengths = (torch.from_numpy(part).cuda() for part in pad(sequences, self._pad_id))
        with torch.inference_mode():
            answers: list[float] = torch.sigmoid(self._model(input_ids, lengths)).tolist()
        return answers
