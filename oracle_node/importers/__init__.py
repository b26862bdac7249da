"""Importers: a trained network's file in, a tape out."""

from oracle_node.importers.imported import ImportedModel, TensorInfo
from oracle_node.importers.onnx import import_onnx

__all__ = ["ImportedModel", "TensorInfo", "import_onnx"]
