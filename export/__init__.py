"""Makes a bundle: trains the classifier on IMDB reviews in torch, exports it to ONNX, and proves the two agree."""

import os

# As in `service`: onnxruntime's reports to its maker must be off before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
