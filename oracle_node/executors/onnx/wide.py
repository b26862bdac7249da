"""i64 operations for which ONNX Runtime has no single kernel that is right everywhere."""

from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.tensors import EXACT


def rounded_to_f32(graph: Graph, value: Value) -> Value:
    """i64 → f32 rounded once: casts round twice above 2^53 on some processors.

    Above 2^53, the low 11 bits are folded into one sticky bit, which leaves 53: exact in f64, rounded by one cast.
    """
    i64 = Elem.I64
    low = graph.op("BitwiseAnd", [value, graph.scalar(2047, i64)])
    high = graph.op("Div", [graph.op("Sub", [value, low]), graph.scalar(2048, i64)])
    sticky = graph.cast(graph.cast(low, Elem.BOOL), i64)
    folded = graph.cast(graph.cast(graph.op("BitwiseOr", [high, sticky]), Elem.F64), Elem.F32)
    large = graph.op("Mul", [folded, graph.scalar(2048.0, Elem.F32)])
    small = graph.cast(graph.cast(value, Elem.F64), Elem.F32)
    magnitude = graph.op("Abs", [value])  # −2^63 stays negative: exact in every float, so either will do
    fits = graph.op("LessOrEqual", [magnitude, graph.scalar(EXACT[Elem.F64], i64)], Elem.BOOL)
    return graph.op("Where", [fits, small, large], Elem.F32)


def shifted_right(graph: Graph, value: Value, power: Value) -> Value:
    """⌊value / power⌋ for powers of two: the low bits cleared, and an exact division."""
    mask = graph.op("Sub", [power, graph.scalar(1, Elem.I64)])
    low = graph.op("BitwiseAnd", [value, mask])
    return graph.op("Div", [graph.op("Sub", [value, low]), power])
