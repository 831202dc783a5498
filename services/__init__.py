"""Freshet: real-time recommendations on serverless pipelines."""

import os

# From 1.29 on, ONNX Runtime reports models and machine to its maker by default, beginning at its import. Ours
# does not, unless the operator asks for it with ORT_DISABLE_TELEMETRY=0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
