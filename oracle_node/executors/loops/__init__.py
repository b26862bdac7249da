"""Scalar programs as machine code: one pass over the data where ONNX Runtime makes one an operation."""

from importlib.util import find_spec


def available() -> bool:
    """Whether LLVM is here (the extra `fast`)."""
    return find_spec("llvmlite") is not None
