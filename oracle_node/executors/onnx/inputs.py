"""INPUT in numpy: NaN and all else that the graph cannot be trusted with is settled before it is fed."""

import numpy as np

from oracle_node.executors.onnx.views import View, read_array
from oracle_node.tape.affine import Symbols
from oracle_node.tape.instruction import Clamp, Instruction


def read_input(instruction: Instruction, symbols: Symbols, source: np.ndarray) -> np.ndarray:
    """The INPUT's tensor, in its shape and type."""
    shape = instruction.concrete_shape(symbols)
    (operand,) = instruction.operands
    strides = tuple(0 if n == 1 else s.at(symbols) for n, s in zip(shape, operand.strides, strict=True))
    view, clamp = View(operand.offset.at(symbols), shape, strides), instruction.tail
    assert isinstance(clamp, Clamp)
    return np.ascontiguousarray(np.broadcast_to(_sanitised(read_array(source, view), clamp), shape))


def _sanitised(raw: np.ndarray, clamp: Clamp) -> np.ndarray:
    """Clamped to the declared range; f32: NaN is 0, and a zero +0."""
    if raw.dtype != np.float32:
        low, high = (
            max(min(int(v), int(np.iinfo(raw.dtype).max)), int(np.iinfo(raw.dtype).min))
            for v in (clamp.lo, clamp.hi)
        )
        return np.asarray(np.clip(raw, raw.dtype.type(low), raw.dtype.type(high)))
    zero, bounds = np.float32(0), (np.float32(clamp.lo), np.float32(clamp.hi))
    if not raw.size or not (bounds[0] <= raw.min() and raw.max() <= bounds[1]):  # so too where there is a NaN
        raw = np.clip(np.where(np.isnan(raw), zero, raw), *bounds)
    return np.asarray(raw + zero)
