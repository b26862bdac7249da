"""The start-up check that this machine's ONNX Runtime is exact: a handful of kernels, one stored hash.

Each case sits at the edge of what a rule allows, where known processors and versions have gone wrong: saturating dot
products, the sign of zero, subnormals flushed to zero, sums at the end of a float's integers, casts that round twice,
64-bit integers that are ordered by their lower halves.
"""

from collections.abc import Callable
from functools import cache
from hashlib import sha256

import numpy as np

from oracle_node.errors import DeterminismError
from oracle_node.executors.onnx.extremes import clamp, largest, maximum, minimum, smallest
from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.session import Session

EXPECTED = "c859924771671ffb2693c4c2272aa77a02c534e2ff5e76d6d61e5587296cd6da"
"""SHA-256 over the outputs of all cases, in order."""

Case = Callable[[Graph, Callable[[np.ndarray], Value]], Value]


def require_exact(threads: int = 1) -> None:
    """DeterminismError where any kernel's result differs from the stored ones; checked once a process."""
    found = machine_hash(threads)
    if found != EXPECTED:
        raise DeterminismError(
            f"ONNX Runtime is not exact on this machine: its kernels hash to {found}, not {EXPECTED}; "
            "stop this node, and try another onnxruntime version"
        )


@cache
def machine_hash(threads: int = 1) -> str:
    """SHA-256 over the results of all cases on this machine."""
    digest = sha256()
    for result in run_cases(threads).values():
        digest.update(np.ascontiguousarray(result).astype(result.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def run_cases(threads: int = 1) -> dict[str, np.ndarray]:
    """Every case's result by name, all from one graph."""
    graph = Graph()
    feeds: dict[str, np.ndarray] = {}

    def feed(array: np.ndarray) -> Value:
        name = f"input{len(feeds)}"
        feeds[name] = array
        return graph.input(name, Elem.of(array.dtype), array.shape)

    names = {name: graph.output(case(graph, feed)) for name, case in CASES.items()}
    results = Session(graph, threads).run(feeds)
    return {name: results[output] for name, output in names.items()}


def scramble(count: int, bits: int, seed: int) -> np.ndarray:
    """`count` fixed pseudo-random integers of that many bits, u64: the same on every machine and version."""
    value = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return (value ^ (value >> np.uint64(31))) >> np.uint64(64 - bits)


def some_floats(seed: int, count: int = 4099) -> np.ndarray:
    """Finite binary32 numbers of every exponent, zeros of both signs and subnormals among them."""
    found = scramble(count, 32, seed).astype(np.uint32).view(np.float32)
    found = np.where(np.isfinite(found), found, np.float32(1.5))
    found[::7], found[3::11], found[5::13] = np.float32(-0.0), np.float32(0.0), np.float32(1e-40)
    return found


def extreme_rows(rows: int, columns: int, low: int, high: int, seed: int) -> np.ndarray:
    """A matrix of the two extremes; its first row is all `high`, its last all `low`."""
    picked = np.where(scramble(rows * columns, 1, seed).reshape(rows, columns) == 0, low, high)
    picked[0], picked[-1] = high, low
    return picked


def _digit_product(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
    """8-bit dot products that saturate on old processors if they go a little further."""
    left = feed(extreme_rows(67, 1031, 0, 128, 1).astype(np.uint8))
    right = graph.constant(np.ascontiguousarray(extreme_rows(65, 1031, -127, 127, 2).T).astype(np.int8))
    plain = graph.op("MatMulInteger", [left, right], Elem.I32, (67, 65))
    shifted = graph.op("MatMulInteger", [left, right, graph.scalar(64, Elem.U8)], Elem.I32, (67, 65))
    return graph.concat([plain, shifted], 0)


def _convolution(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
    """A float32 convolution of integers, Σ|a||b| just below 2^24."""
    image = feed(extreme_rows(2 * 5 * 19, 23, -127, 127, 13).astype(np.float32).reshape(2, 5, 19, 23))
    kernel = graph.constant(extreme_rows(7 * 5, 9, -2900, 2900, 14).astype(np.float32).reshape(7, 5, 3, 3))
    return graph.op("Conv", [image, kernel], shape=(2, 7, 17, 21))


def _float_product(kind: np.dtype[np.generic], largest: int) -> Case:
    """Σ|a||b| just below the last integer that the float holds."""

    def case(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
        left = feed(extreme_rows(33, 255, -1, 1, 3).astype(kind))
        right = feed(
            np.ascontiguousarray(extreme_rows(17, 255, -largest // 255, largest // 255, 4).T).astype(kind)
        )
        return graph.op("MatMul", [left, right], shape=(33, 17))

    return case


def _digits(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
    """The split of every 14-bit integer into digits."""
    value = feed(np.arange(-8256, 8257, dtype=np.float32))
    scale, zero = graph.scalar(128.0, Elem.F32), graph.scalar(64, Elem.U8)
    high = graph.op("QuantizeLinear", [value, scale, zero], Elem.U8, value.shape)
    back = graph.op("DequantizeLinear", [high, scale, zero], Elem.F32, value.shape)
    low = graph.op(
        "QuantizeLinear",
        [graph.op("Sub", [value, back]), graph.scalar(1.0, Elem.F32), zero],
        Elem.U8,
        value.shape,
    )
    return graph.concat([high, low], 0)


def _float(kind: str, scale: float = 1.0, magnitude: bool = False) -> Case:
    """One IEEE operation on floats of every size."""

    def case(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
        with np.errstate(all="ignore"):
            first = np.abs(some_floats(5)) if magnitude else some_floats(5) * np.float32(scale)
        count = 2 if kind in ("Add", "Sub", "Mul", "Div") else 1
        second = np.where(some_floats(6) == 0, np.float32(3), some_floats(6))
        return graph.op(kind, [feed(array) for array in (first, second)[:count]])

    return case


def _positive_zero(kind: str) -> Case:
    """Zeros of both signs through a minimum or maximum, then +0."""

    def case(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
        zeros = np.where(scramble(4099, 1, 7) == 0, np.float32(0.0), np.float32(-0.0))
        value = graph.op(kind, [feed(zeros), feed(zeros[::-1].copy())])
        return graph.op("Add", [value, graph.scalar(0.0, Elem.F32)])

    return case


def _subnormal_product(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
    """Products that only exist where subnormals are not flushed to zero."""
    small = (scramble(1021, 23, 8).astype(np.uint32) | np.uint32(1 << 23)).view(np.float32)
    return graph.op("Mul", [feed(small), graph.scalar(0.375, Elem.F32)])


def _long_sum(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
    """An integer sum through f64."""
    return graph.reduce(
        "ReduceSum",
        feed((scramble(8 * 4093, 40, 9).astype(np.int64) - (1 << 39)).astype(np.float64).reshape(8, 4093)),
        [1],
    )


def _cast(source: Elem, target: Elem, bits: int) -> Case:
    """Casts at the ends of their exact range."""

    def case(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
        numbers = scramble(4099, bits, 10).astype(np.int64) - (1 << (bits - 1))
        return graph.cast(feed(numbers.astype(source.numpy)), target)

    return case


def _integer_division(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
    """Truncation towards zero for both signs."""
    dividends = scramble(4099, 63, 11).astype(np.int64) - (1 << 62)
    divisors = scramble(4099, 20, 12).astype(np.int64) - (1 << 19)
    return graph.op("Div", [feed(dividends), feed(np.where(divisors == 0, 3, divisors))])


def edge_integers() -> np.ndarray:
    """i64 about the ends of i32, u32 and f64's integers, of both signs, and its own extremes."""
    edges = [
        sign * (1 << bits) + step
        for bits in (0, 31, 32, 33, 52, 53, 62)
        for sign in (1, -1)
        for step in (-1, 0, 1)
    ]
    return np.array([*edges, (1 << 63) - 1, -(1 << 63), 1 - (1 << 63)], np.int64)


def _ordering(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
    """The smaller and the larger of every two edges, every edge clamped, and the extremes of rows."""
    edges = edge_integers()
    column, row = feed(edges[:, None].copy()), feed(edges[None].copy())
    pairs = [minimum(graph, [column, row]), maximum(graph, [column, row])]
    flat = [graph.reshape(value, [value.count]) for value in (*pairs, clamp(graph, row, 0, (1 << 32) - 1))]
    rows = feed(np.lib.stride_tricks.sliding_window_view(edges, 5).copy())
    return graph.concat([*flat, largest(graph, rows, [1]), smallest(graph, rows, [1])], 0)


def _comparison(graph: Graph, feed: Callable[[np.ndarray], Value]) -> Value:
    """Which of two edges is less, not greater, equal."""
    edges = edge_integers()
    pair = [feed(edges[:, None].copy()), feed(edges[None].copy())]
    return graph.concat([graph.op(kind, pair, Elem.BOOL) for kind in ("Less", "LessOrEqual", "Equal")], 0)


CASES: dict[str, Case] = {
    "digit product": _digit_product,
    "convolution": _convolution,
    "f32 product": _float_product(np.dtype(np.float32), (1 << 24) - 1),
    "f64 product": _float_product(np.dtype(np.float64), (1 << 53) - 1),
    "digits": _digits,
    "add": _float("Add"),
    "subtract": _float("Sub"),
    "multiply": _float("Mul", 2.0**-60),
    "divide": _float("Div", 2.0**-60),
    "square root": _float("Sqrt", magnitude=True),
    "floor": _float("Floor"),
    "round": _float("Round"),
    "minimum": _positive_zero("Min"),
    "maximum": _positive_zero("Max"),
    "subnormal product": _subnormal_product,
    "long sum": _long_sum,
    "i64 to f32": _cast(Elem.I64, Elem.F32, 53),
    "f64 to f32": _cast(Elem.F64, Elem.F32, 53),
    "i32 to f32": _cast(Elem.I32, Elem.F32, 32),
    "integer division": _integer_division,
    "integer order": _ordering,
    "integer comparison": _comparison,
}
