"""What a reader of a report must know before the figures."""

from collections.abc import Iterator

from benchmarks.figures import Conditions

_READING = """\
One command measures everything here, in about 9 minutes:

    make bench DATA=path/to/imdb

Without `DATA` the reviews are made up, with the lengths of film reviews. `ARGS="--quick"` shows in a minute that it all
works, and its figures are worth nothing; `ARGS="--only served load start workers engine"` measures some parts. Every
figure is a line of `results.jsonl` in `runs/bench/<time>/`, beside this report and its pictures.

- The server has one core and the client, a process of its own, another; so what is compared is the work of one core.
- The baseline is a plain server of the same method (`benchmarks/baseline_server.py`): Python's tokenizer, one review at
  a time through the fp32 graph in onnxruntime, padded to 500. It runs in the same rounds as ours, because machines
  drift: compare the ratios between days, and microseconds only within one run.
- 16 callers and more are coroutines of one process. A caller who is alone uses gRPC's synchronous client, whose own
  part in a latency is smaller.
- The empty method does nothing. What it costs is gRPC's and Python's share, and tells how fast the machine was.
- CPU is user and system time of the server's processes. Latencies of closed loops flatter a server that stalls; those
  of open loops count from when a request was due.
- Every answer is compared with onnxruntime's own (within 1e-5), worked out beforehand; a run with an error or a wrong
  answer gives no figures."""

_NO_GPU = """\
- `make bench ARGS="--device cuda"` does the same on a GPU, with larger batches, torch's LSTM beside ours, and the share
  of the time that the GPU was busy. This has not been run: no GPU was at hand."""


def preface(conditions: Conditions) -> Iterator[str]:
    """How to read the figures, and where, when and of what they are."""
    if conditions.quick:
        yield "**A smoke run: these figures are worth nothing.**"
    yield _READING if conditions.device == "cuda" else f"{_READING}\n{_NO_GPU}"
    yield _about(conditions)


def _about(one: Conditions) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in one.packages.items())
    state = " and changes to it" if one.changed else ""
    return "\n".join(
        (
            f"- This run: {one.date}, commit {one.commit}{state}.",
            f"- {one.model} in {one.precision} on {one.device}.",
            f"- {one.reviews}, {one.mean_tokens:.0f} tokens in the mean.",
            f"- {one.cores} cores of {one.cpu}, Linux {one.kernel}, Python {one.python}; the native kernel's"
            f" instructions: {one.instructions}.",
            f"- {packages}.",
        )
    )
