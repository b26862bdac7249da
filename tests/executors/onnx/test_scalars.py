"""Every scalar operation at the ends of the intervals that choose its kernel, and where the sign of a zero shows."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from oracle_node.tape.expression import Scalar, ScalarFunction
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.types import DType
from tests.executors.onnx.checking import new_builder, require_exact

_LIMITS = (
    1,
    127,
    8191,
    (1 << 24) - 1,
    1 << 24,
    (1 << 24) + 1,
    (1 << 31) - 1,
    1 << 31,
    1 << 53,
    (1 << 53) + 1,
    1 << 61,
)
_FLOATS = np.array(
    [
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.5,
        -1.5,
        2.5,
        1e-45,
        -1e-45,
        1.1754942e-38,
        3.25,
        -7.75,
        8388609.0,
        16777216.0,
        -1e9,
        1e18,
    ],
    np.float32,
)


def _integers(limit: int) -> np.ndarray:
    near = [0, 1, -1, limit, -limit, limit - 1, 1 - limit, limit // 2, -limit // 3, limit // 7 + 1]
    halves = [
        n for n in (1 << 31, -(1 << 31) - 1, (1 << 32) - 1, 5 << 32, (5 << 32) + (1 << 31)) if abs(n) <= limit
    ]
    return np.array(near + halves, np.int64)


def _pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.meshgrid(a, b, indexing="ij")
    return first.reshape(-1).copy(), second.reshape(-1).copy()


def _map(function: Callable[..., Scalar], *arrays: np.ndarray) -> Counter[str]:
    builder = new_builder()
    dtype = DType.I64 if builder.map(function, *map(builder.const, arrays)).dtype is not DType.F32 else None
    return require_exact(builder, builder.map(function, *map(builder.const, arrays), dtype=dtype))


_INTEGER: dict[str, Callable[[Scalar, Scalar], Scalar]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "minimum": lambda a, b: a.minimum(b),
    "maximum": lambda a, b: a.maximum(b),
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "exclusive or": lambda a, b: a ^ b,
    "equal": lambda a, b: a.equals(b),
    "less": lambda a, b: a < b,
    "not greater": lambda a, b: a <= b,
    "where": lambda a, b: (a < b).where(a, b),
    "where any": lambda a, b: a.where(b, a - b),
    "where constants": lambda a, b: (a <= b).where(1, 0),
    "clamp": lambda a, b: (a + b).clamp(-100, 3),
    "to float": lambda a, b: (a - b).to_float(),
    "zero times": lambda a, b: (a.minimum(3).maximum(-3) * b.minimum(0).maximum(-5)).to_float(),
}


@pytest.mark.parametrize("limit", _LIMITS)
@pytest.mark.parametrize("name", _INTEGER)
def test_integer__at_a_carriers_limit__is_exact(name: str, limit: int) -> None:
    _map(_INTEGER[name], *_pairs(_integers(limit), _integers(limit)))


@pytest.mark.parametrize("limit", [1, 4095, 4096, 4097, 46340, 46341, (1 << 26) + 1, (1 << 31) - 1])
def test_multiply__at_a_carriers_limit__is_exact(limit: int) -> None:
    _map(lambda a, b: a * b, *_pairs(_integers(limit), _integers(limit)))


@pytest.mark.parametrize("limit", _LIMITS)
@pytest.mark.parametrize("low", [1, 1 << 10, -(1 << 20)])
def test_divide__both_signs__truncates(limit: int, low: int) -> None:
    divisors = np.array([low, low + 1, low + 2, low * 3 if low > 0 else -1], np.int64)
    _map(lambda a, b: a / b, *_pairs(_integers(limit), divisors))
    _map(lambda a, b: a.maximum(0) / b, *_pairs(_integers(limit), divisors))


@pytest.mark.parametrize("limit", _LIMITS)
@pytest.mark.parametrize("counts", [[0, 1, 5], [0, 31, 62], [62, 63, 0], [63, 63, 63]], ids=str)
def test_shift__right__rounds_down(limit: int, counts: list[int]) -> None:
    _map(lambda a, b: a >> b, *_pairs(_integers(limit), np.array(counts, np.int64)))


def test_to_float__beyond_53_bits__rounds_once() -> None:
    ties = [(1 << 62) + (1 << 38) + d for d in (-1, 0, 1)] + [
        (1 << 61) + (1 << 37),
        (1 << 54) + (1 << 30) + 1,
    ]
    numbers = np.array(
        [*ties, *(-t for t in ties), 0, 5, -(1 << 53), (1 << 53) + 1, (1 << 63) - 1, -(1 << 63)], np.int64
    )
    _map(lambda a: a.to_float(), numbers)


_FLOAT: dict[str, Callable[[Scalar, Scalar], Scalar]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * (b * 1e-9),
    "divide": lambda a, b: a / (b.abs() + 0.25),
    "minimum": lambda a, b: a.minimum(b),
    "maximum": lambda a, b: a.maximum(b),
    "clamp to zero": lambda a, b: (a + b).clamp(0.0, 5.0),
    "sign of a minimum's zero": lambda a, b: -(a.minimum(b).maximum(0.0)),
    "negate": lambda a, b: -a,
    "absolute": lambda a, b: a.abs(),
    "floor": lambda a, b: a.floor() + b * 0.0,
    "round": lambda a, b: a.round(),
    "square root": lambda a, b: a.abs().sqrt(),
    "square root of zeros": lambda a, b: (a * 0.0).abs().sqrt(),
    "equal": lambda a, b: a.equals(b),
    "less": lambda a, b: a < b,
    "where": lambda a, b: (a < b).where(a, b),
    "where zero": lambda a, b: (a <= b).where(a * 0.0, b),
    "to integer": lambda a, b: a.to_int(),
    "to small integer": lambda a, b: a.clamp(-9.5, 9.5).to_int(),
    "floor to integer": lambda a, b: a.abs().to_int(),
    "round to integer to float": lambda a, b: (a * 0.25).round().to_int().to_float(),
    "power of two": lambda a, b: a.clamp(-126.0, 127.0).to_int().pow2(),
    "small power of two": lambda a, b: a.clamp(-20.0, 0.0).floor().to_int().pow2() * b,
}


@pytest.mark.parametrize("name", _FLOAT)
def test_float__zeros_subnormals_and_ties__are_exact(name: str) -> None:
    _map(_FLOAT[name], *_pairs(_FLOATS, _FLOATS))


def test_quantising__rounded_clamped_integer__needs_no_cast_and_no_zero() -> None:
    used = _map(
        lambda a, s: (a * s).round().clamp(-8191.0, 8191.0).to_int(),
        *_pairs(_FLOATS, np.ones(2, np.float32) * 2),
    )
    assert used == {"Mul": 1, "Round": 1, "Clip": 1, "Cast": 1}


def test_short_rows__a_constant_for_each_column__are_widened() -> None:
    builder = new_builder()
    x = builder.const(np.arange(48 * 4, dtype=np.float32).reshape(48, 4) - 90)
    scale = builder.const(np.array([1.5, -2, 0.25, 3], np.float32))
    used = require_exact(builder, builder.map(lambda v, s: v * s, x, scale))
    assert used == {"Mul": 1}


def test_relu__of_a_sum_with_a_constant__needs_no_second_kernel_for_zeros() -> None:
    used = _map(lambda a, b: (a * b + 0.5).maximum(0.0), *_pairs(_FLOATS, _FLOATS))
    assert used == {"Mul": 1, "Add": 1, "Clip": 1}


@pytest.mark.parametrize("low", [0.0, -0.0])
def test_relu__of_what_may_be_minus_zero__is_plus_zero(low: float) -> None:
    used = _map(lambda a, b: (a * b).maximum(low), *_pairs(_FLOATS, _FLOATS))
    assert used == {"Mul": 1, "Clip": 1, "Add": 1}


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: (a + b).minimum(0.0),
        lambda a, b: (a - b).maximum(0.0),
        lambda a, b: (-a).maximum(b.abs() - 1.0),
        lambda a, b: (a.abs() * b.abs()).minimum(0.0),
        lambda a, b: (a / (b.abs() + 1.0)).maximum(-0.0),
        lambda a, b: (a.round() + b.floor()).maximum(0.0) * -1.0,
        lambda a, b: a.abs().sqrt().minimum(0.0) + b * 0.0,
        lambda a, b: (a < b).where(a.maximum(0.0), b.minimum(0.0)),
        lambda a, b: a.to_int().to_float().minimum(0.0) * b,
        lambda a, b: (a.abs() * (b.abs() - 10.0)).maximum(0.0),
        lambda a, b: (a.abs() - 0.5).round().maximum(b.abs() - 1.0),
        lambda a, b: (a.abs() - 1.0).maximum(-0.0) + b * 0.0,
        lambda a, b: (-a.abs() * b.abs()).round().to_int().to_float(),
    ],
)
def test_zeros__of_either_sign_on_the_way_to_an_extreme__are_exact(function: ScalarFunction) -> None:
    small = np.array([0.0, -0.0, 1e-45, -1e-45, 0.3, -0.3, 1.0, -1.0, 7.0], np.float32)
    _map(function, *_pairs(small, small))
    builder = new_builder()
    views = [builder.const(v) for v in _pairs(small, small)]
    require_exact(builder, builder.reduce(Reducer.MAX, *(v.reshape(9, 9) for v in views), function=function))
