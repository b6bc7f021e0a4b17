"""Writes the constraints files: one exact version of everything that an extra or group installs. Run by `make lock`."""

import json
import subprocess
import sys
from pathlib import Path

# Apart from each other, because onnxruntime and onnxruntime-gpu cannot share an environment, nor torch's CUDA
# libraries and onnxruntime-gpu's a version, nor our protobuf and other people's clients'.
SELECTIONS = {
    "constraints.txt": [".[serve,export,bulk,ray,tracing]", "--group", "test", "--group", "lint", "pip"],
    "constraints-gpu.txt": [".[gpu,bulk,tracing]", "pip"],
    "constraints-clients.txt": ["tritonclient[grpc]"],
}
HEADER = "# Exact versions for `pip install -c`; written by `make lock`.\n"


def resolve(selection: list[str]) -> dict[str, str]:
    """Name to version of what pip would install in an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "-q", "--report", "-"]
    report = subprocess.run([*command, *selection], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = (item["metadata"] for item in json.loads(report)["install"])
    # A local version, such as torch's "+cpu", is a build of the same release: whoever installs picks the build.
    return {item["name"].lower(): item["version"].partition("+")[0] for item in found}


def main() -> None:
    """Resolve every selection and write its file."""
    for file, selection in SELECTIONS.items():
        versions = resolve(selection)
        versions.pop("review-sentiment", None)
        lines = [f"{name}=={version}\n" for name, version in sorted(versions.items())]
        Path(file).write_text(HEADER + "".join(lines))


if __name__ == "__main__":
    main()
