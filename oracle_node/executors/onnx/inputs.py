"""INPUT in numpy: NaN and all else that the graph cannot be trusted with is settled before it is fed."""

from collections.abc import Callable

import numpy as np

from oracle_node.executors.onnx.views import View, read_array
from oracle_node.tape.affine import Symbols
from oracle_node.tape.instruction import Clamp, Instruction

Reader = Callable[[np.ndarray], np.ndarray]


def input_reader(instruction: Instruction, symbols: Symbols) -> Reader:
    """What makes the INPUT's tensor of its source, in its shape and type."""
    shape = instruction.concrete_shape(symbols)
    (operand,) = instruction.operands
    strides = tuple(0 if n == 1 else s.at(symbols) for n, s in zip(shape, operand.strides, strict=True))
    view, clamp = View(operand.offset.at(symbols), shape, strides), instruction.tail
    assert isinstance(clamp, Clamp)
    sanitise = _float_sanitiser(clamp) if instruction.dtype.kind == "float" else _integer_sanitiser(clamp)

    def read(source: np.ndarray) -> np.ndarray:
        if view.is_identity_of(source.size):
            return sanitise(source.reshape(shape))
        return np.ascontiguousarray(np.broadcast_to(sanitise(read_array(source, view)), shape))

    return read


def _float_sanitiser(clamp: Clamp) -> Reader:
    """Clamped to the declared range; NaN is 0, and a zero +0."""
    zero, bounds = np.float32(0), (np.float32(clamp.lo), np.float32(clamp.hi))

    def sanitise(raw: np.ndarray) -> np.ndarray:
        if not raw.size or not (
            bounds[0] <= raw.min() and raw.max() <= bounds[1]
        ):  # so too where there is a NaN
            raw = np.clip(np.where(np.isnan(raw), zero, raw), *bounds)
        return np.asarray(raw + zero)

    return sanitise


def _integer_sanitiser(clamp: Clamp) -> Reader:
    """Clamped to the declared range."""

    def sanitise(raw: np.ndarray) -> np.ndarray:
        ends = np.iinfo(raw.dtype)
        low, high = (max(min(int(v), int(ends.max)), int(ends.min)) for v in (clamp.lo, clamp.hi))
        return np.asarray(np.clip(raw, raw.dtype.type(low), raw.dtype.type(high)))

    return sanitise
