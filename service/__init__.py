"""Serves a bundle: text in over gRPC, sentiment out, latency to Prometheus."""

import os

# Unless told otherwise before it is loaded, onnxruntime reports its use to its maker, under an id in the home folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
