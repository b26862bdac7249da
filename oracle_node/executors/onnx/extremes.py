"""Minima, maxima and clamps of every element type, chosen so that no processor and no version errs.

Up to 1.31, ONNX Runtime on x86-64 takes two i64 that agree in the upper 32 bits for less and greater by the *signed*
lower 32: `Max(2^31, 0)` is 0. Every i64 kernel made of that comparison is wrong (`Min`, `Max`, `Clip`, `ReduceMin`,
`ReduceMax`, `Sign`); `Less`, `ArgMin` and `ArgMax` compare otherwise. Here i64 goes through those. It is still the
slowest carrier: whoever knows that its numbers fit f64 should ask for that.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np

from oracle_node.executors.onnx.graph import Elem, Graph, Value

_LARGEST = float(np.finfo(np.float32).max)


def minimum(graph: Graph, values: Sequence[Value]) -> Value:
    """The smallest of one or more values of one type, elementwise; either zero for floats."""
    return _extreme(graph, values, "Min")


def maximum(graph: Graph, values: Sequence[Value]) -> Value:
    """The largest of one or more values of one type, elementwise; either zero for floats."""
    return _extreme(graph, values, "Max")


def clamp(graph: Graph, value: Value, low: int | float, high: int | float) -> Value:
    """The value within low…high, low ≤ high."""
    bounds = [graph.scalar(bound, value.elem) for bound in (low, high)]
    if value.elem is Elem.I64:
        return minimum(graph, [maximum(graph, [value, bounds[0]]), bounds[1]])
    return graph.op("Clip", [value, *bounds])


def at_least(graph: Graph, value: Value, low: float) -> Value:
    """A finite f32 value where it is not below the bound; either zero. Two thirds of the time of `maximum`."""
    return clamp(graph, value, low, _LARGEST)


def at_most(graph: Graph, value: Value, high: float) -> Value:
    """A finite f32 value where it is not above the bound; either zero."""
    return clamp(graph, value, -_LARGEST, high)


def smallest(graph: Graph, value: Value, axes: Sequence[int]) -> Value:
    """The minimum over the axes, which vanish."""
    return _reduced(graph, value, axes, "Min")


def largest(graph: Graph, value: Value, axes: Sequence[int]) -> Value:
    """The maximum over the axes, which vanish."""
    return _reduced(graph, value, axes, "Max")


def _extreme(graph: Graph, values: Sequence[Value], kind: str) -> Value:
    if len(values) == 1:
        return values[0]
    if values[0].elem is not Elem.I64:
        return graph.op(kind, values)
    return reduce(lambda a, b: _chosen(graph, a, b, kind), values)


def _chosen(graph: Graph, a: Value, b: Value, kind: str) -> Value:
    """b + [a is preferred]·(a − b), which may wrap on the way: kernels far faster than Where."""
    preferred = graph.op("Less", [a, b] if kind == "Min" else [b, a], Elem.BOOL)
    gain = graph.op("Mul", [graph.cast(preferred, Elem.I64), graph.op("Sub", [a, b])])
    return graph.op("Add", [b, gain])


def _reduced(graph: Graph, value: Value, axes: Sequence[int], kind: str) -> Value:
    """i64: every row's element at the position that is its extreme."""
    if value.elem is not Elem.I64:
        return graph.reduce(f"Reduce{kind}", value, axes)
    kept = [a for a in range(len(value.shape)) if a not in axes]
    shape = [value.shape[a] for a in kept]
    rows = graph.reshape(
        graph.transpose(value, [*kept, *axes]), [prod(shape), prod(value.shape[a] for a in axes)]
    )
    position = graph.op(f"Arg{kind}", [rows], shape=(prod(shape), 1), axis=1, keepdims=1)
    found = graph.op("GatherElements", [rows, position], shape=position.shape, axis=1)
    return graph.reshape(found, shape)
