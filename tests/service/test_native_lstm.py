import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import service.engine
from bundle.store import Bundle
from service.engine import Engine
from service.errors import KernelError
from service.native_lstm import INSTRUCTION_SETS, InstructionSet, NativeLstm, best_instruction_set

needs_native = pytest.mark.skipif(
    not best_instruction_set(), reason="needs a C compiler and a processor with AVX2 or AVX-512 VNNI"
)

# More reviews than lanes, and ends at every turn.
SEQUENCES = st.lists(st.lists(st.integers(1, 29_999), min_size=1, max_size=60), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def standard(shipped: Bundle) -> Engine:
    return Engine(shipped, "cpu", kernel="onnxruntime")


@pytest.fixture(scope="module", params=INSTRUCTION_SETS, ids=lambda instructions: instructions.name)
def native(shipped: Bundle, request: pytest.FixtureRequest) -> NativeLstm:
    instructions: InstructionSet = request.param
    if not instructions.is_supported():
        pytest.skip(f"needs a C compiler and a processor with {instructions.name}")
    return NativeLstm(shipped.graph("int8").path, instructions)


@settings(max_examples=50, deadline=None)
@given(sequences=SEQUENCES)
def test_it_gives_what_the_standard_operator_gives(
    native: NativeLstm, standard: Engine, sequences: list[list[int]]
) -> None:
    assert native.run(sequences) == pytest.approx(standard.run(sequences), abs=1e-6)


def test_it_agrees_over_the_longest_reviews(native: NativeLstm, standard: Engine) -> None:
    rng = np.random.default_rng(1)
    sequences = [rng.integers(1, 30_000, length).tolist() for length in (500, 1, 499, 250, 500, 3, 77, 400)]
    assert native.run(sequences) == pytest.approx(standard.run(sequences), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(sequences=SEQUENCES)
def test_company_changes_nothing_at_all(native: NativeLstm, sequences: list[list[int]]) -> None:
    assert native.run(sequences) == [native.run([ids])[0] for ids in sequences]


@needs_native
def test_it_is_chosen_where_it_fits(shipped: Bundle, standard: Engine) -> None:
    native = Engine(shipped, "cpu", kernel="native")
    assert (native.kernel, native.ragged) == ("native", True)
    assert (standard.kernel, standard.ragged) == ("onnxruntime", False)
    assert Engine(shipped, "cpu").kernel == "native"
    assert Engine(shipped, "cpu", precision="fp32").kernel == "onnxruntime"
    assert Engine(shipped, "cpu", fixed_length=True).kernel == "onnxruntime"


def test_it_is_refused_where_it_does_not_fit(shipped: Bundle) -> None:
    with pytest.raises(KernelError, match="runs the int8 graph on the CPU, without padding; use auto"):
        Engine(shipped, "cpu", precision="fp32", kernel="native")


def test_onnxruntime_runs_where_it_is_not_supported(shipped: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.engine, "best_instruction_set", lambda: None)
    assert Engine(shipped, "cpu").kernel == "onnxruntime"
    with pytest.raises(KernelError, match="needs a C compiler when the package is installed, and a processor with"):
        Engine(shipped, "cpu", kernel="native")


@needs_native
def test_a_graph_that_it_does_not_know_is_refused(shipped: Bundle) -> None:
    instructions = best_instruction_set()
    assert instructions
    with pytest.raises(ValueError, match=r"model\.onnx has no 'lstm\.W_scale'|an LSTM of"):
        NativeLstm(shipped.graph("fp32").path, instructions)


@needs_native
def test_one_that_answers_wrongly_is_not_used(
    shipped: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(NativeLstm, "run", lambda self, sequences: [0.5] * len(sequences))
    assert Engine(shipped, "cpu").kernel == "onnxruntime"
    assert "onnxruntime runs this graph and not the native one" in caplog.text
    with pytest.raises(KernelError, match="the model answers"):
        Engine(shipped, "cpu", kernel="native")
