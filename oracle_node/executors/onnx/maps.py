"""MAP: a scalar program as kernels over long rows."""

from dataclasses import dataclass

from oracle_node.executors.onnx.context import Context, Result, widened
from oracle_node.executors.onnx.tensors import Reading
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Program


@dataclass(frozen=True, slots=True)
class Elementwise:
    """A scalar program in concrete terms; `intervals` are those of its registers."""

    program: Program
    readings: tuple[Reading, ...]
    shape: tuple[int, ...]
    intervals: tuple[Interval, ...]
    is_float: bool


def lower_map(context: Context, elementwise: Elementwise) -> Result:
    """The program's result for every element."""
    shape = elementwise.shape
    wide, readings = widened(context, shape, elementwise.readings) or (shape, elementwise.readings)
    registers = context.registers(
        elementwise.program, readings, elementwise.intervals, result_sign_matters=elementwise.is_float
    )
    value = context.full(registers.best(registers.result), wide)
    return Result(context.graph.reshape(value, shape), registers.signed_zero(registers.result))
