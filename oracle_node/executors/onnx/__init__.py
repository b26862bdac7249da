"""The `onnx` executor: tapes lowered to ONNX graphs that stock ONNX Runtime runs fast and exactly."""

from oracle_node.executors.onnx.executor import OnnxExecutor

__all__ = ["OnnxExecutor"]
