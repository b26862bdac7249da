"""What the lowering of one instruction needs: the graph, the tensors so far, and operands as concrete views."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.scalars import Operand, Registers
from oracle_node.executors.onnx.tensors import Joined, Reading, Tensor, Tensors
from oracle_node.executors.onnx.views import View, contiguous
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Program

_WIDE = 1536
"""Elements of a row beyond which broadcasting costs no less."""


@dataclass(frozen=True, slots=True)
class Context:
    """The state that lowerings share."""

    graph: Graph
    tensors: Tensors

    def read(self, reading: Reading, elem: Elem) -> Value:
        if reading.block is not None:
            row = View(reading.view.offset, reading.view.shape[-1:], reading.view.strides[-1:])
            return self.tensors.repeated(reading.ref, row, reading.block, elem)
        value = self.tensors.read(reading.ref, reading.view, elem)
        return value if reading.rows is None else self.graph.reshape(value, reading.rows)

    def tensor(self, reading: Reading) -> Tensor:
        return self.tensors[reading.ref]

    def registers(
        self,
        program: Program,
        readings: Sequence[Reading],
        intervals: Sequence[Interval],
        result_sign_matters: bool,
    ) -> Registers:
        """The program at work on the readings; every register broadcasts over the readings' axes."""
        operands = []
        for reading in readings:
            tensor = self.tensor(reading)
            load = lambda elem, reading=reading: self.read(reading, elem)  # noqa: E731
            operands.append(Operand(tensor.dtype, load, tensor.ready, tensor.signed_zero))
        return Registers(self.graph, program, operands, intervals, result_sign_matters)

    def full(self, value: Value, shape: Sequence[int]) -> Value:
        """The value with size-1 axes (and missing leading ones) repeated to the shape."""
        if len(value.shape) < len(shape):
            value = self.graph.reshape(value, [1] * (len(shape) - len(value.shape)) + list(value.shape))
        return self.graph.expand(value, shape)


@dataclass(frozen=True, slots=True)
class Result:
    """A lowered tensor: its value in full shape, and whether a float carrier of integers may hold −0."""

    value: Value
    signed_zero: bool = False
    parts: Joined | None = None


def widened(
    context: Context, shape: Sequence[int], readings: Sequence[Reading]
) -> tuple[tuple[int, ...], list[Reading]] | None:
    """An elementwise instruction over longer rows, where its own are short and some operands are one row only.

    ONNX Runtime broadcasts a row at a time, so rows of 16 cost three times what rows of 1,000 do. None where that gains
    nothing.
    """
    width = shape[-1] if shape else 1
    single = [r for r in readings if width > 1 and r.view.strides[-1] and not any(r.view.strides[:-1])]
    others = [r for r in readings if r not in single and any(r.view.strides)]
    if not single or 2 * width > _WIDE or not all(r.view.core == tuple(shape) for r in others):
        return None
    if not all(r.view.is_identity_of(context.tensor(r).count) for r in others):
        for kept in range(1, len(shape) - 1):
            if 3 * prod(shape[kept:]) >= _WIDE and prod(shape[kept:]) <= 3 * _WIDE:
                block = tuple(shape[kept:])
                return tuple(shape), [replace(r, block=block) if r in single else r for r in readings]
    rows = prod(shape) // width
    repeat = next(n for n in range(min(rows, _WIDE // width), 0, -1) if rows % n == 0)
    wide = (rows // repeat, repeat * width)
    return None if repeat == 1 else (wide, [_reshaped(context, r, r in single, wide) for r in readings])


def _reshaped(context: Context, reading: Reading, is_row: bool, wide: tuple[int, int]) -> Reading:
    """The reading for rows of another length; a row is repeated, a single value stays one."""
    view = reading.view
    if is_row:
        return Reading(reading.ref, view, block=(1, wide[1]))
    if view.is_identity_of(context.tensor(reading).count):
        return Reading(reading.ref, View(0, wide, contiguous(wide)))
    if any(view.strides):
        return Reading(reading.ref, view, rows=wide)
    return Reading(reading.ref, View(view.offset, (1, 1), (0, 0)))
