"""ONNX Runtime, imported here and nowhere else: without its telemetry."""

import os

# From 1.29 on the official Linux builds keep a device id in the home directory and report every session to their maker.
# The variable is read when the library is loaded (`disable_telemetry_events` comes too late); who has set it is heard.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["ort"]
