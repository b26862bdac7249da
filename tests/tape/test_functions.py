"""The stated errors of the elementary functions, measured against float64."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from oracle_node.executors.scalar import run_program
from oracle_node.tape import functions as f
from oracle_node.tape.expression import Scalar, record
from oracle_node.tape.interval import Interval
from oracle_node.tape.interval import run_program as run_intervals

_RNG = np.random.default_rng(7)


def _samples(lo: float, hi: float) -> np.ndarray:
    uniform = _RNG.uniform(lo, hi, 200_000)
    near_zero = _RNG.normal(0, 1e-3, 50_000).clip(lo, hi)
    return np.concatenate([uniform, near_zero, [lo, hi]]).astype(np.float32)


def _apply(function: Callable[[Scalar], Scalar], x: np.ndarray) -> np.ndarray:
    return run_program(record(function, ["float"]), [x]).astype(np.float64)


_ERF = np.vectorize(math.erf)


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


@pytest.mark.parametrize(
    ("function", "truth", "domain", "relative", "absolute"),
    [
        (f.exp, np.exp, (-87.33, 88.3), 2e-7, 0),
        (f.sigmoid, lambda x: 1 / (1 + np.exp(-x)), (-80.0, 80.0), 0, 2e-7),
        (f.tanh, np.tanh, (-20.0, 20.0), 4e-7, 0),
        (lambda x: f.log(x, 31), np.log, (1.0, 2.0**31), 1e-7, 3e-7),
        (f.silu, lambda x: x / (1 + np.exp(-x)), (-80.0, 80.0), 4e-7, 0),
        (f.hard_swish, lambda x: x * np.clip(x / 6 + 0.5, 0, 1), (-10.0, 10.0), 3e-7, 1e-6),
        (lambda x: f.leaky_relu(x, 0.1), lambda x: np.where(x < 0, x * 0.1, x), (-10.0, 10.0), 1e-7, 0),
        (f.expm1, np.expm1, (-80.0, 88.0), 8e-7, 0),
        (f.ln, np.log, (2.0**-63, 4.0), 2e-7, 1e-7),
        (f.ln, np.log, (1.0, 2.0**63), 2e-7, 1e-7),
        (f.erf, _ERF, (-6.0, 6.0), 4e-7, 0),
        (f.gelu, lambda x: x * (1 + _ERF(x / np.sqrt(2))) / 2, (-8.0, 8.0), 0, 2e-7 * 8),
        (f.gelu_tanh, _gelu_tanh, (-20.0, 20.0), 0, 4e-7 * 20),
        (f.softplus, lambda x: np.logaddexp(0, x), (-80.0, 80.0), 1e-7, 3e-7),
        (f.mish, lambda x: x * np.tanh(np.logaddexp(0, x)), (-80.0, 80.0), 1e-6, 1e-33),
        (lambda x: f.elu(x, 1.5), lambda x: np.where(x < 0, 1.5 * np.expm1(x), x), (-80.0, 80.0), 1e-6, 0),
        (lambda x: f.celu(x, 2.0), lambda x: np.where(x < 0, 2 * np.expm1(x / 2), x), (-20.0, 9.0), 2e-6, 0),
        (f.softsign, lambda x: x / (1 + abs(x)), (-80.0, 80.0), 2e-7, 0),
    ],
    ids=[
        "exp",
        "sigmoid",
        "tanh",
        "log",
        "silu",
        "hard_swish",
        "leaky_relu",
        "expm1",
        "ln_below_4",
        "ln_above_1",
        "erf",
        "gelu",
        "gelu_tanh",
        "softplus",
        "mish",
        "elu",
        "celu",
        "softsign",
    ],
)
def test_function__over_its_domain__stays_within_the_stated_error(
    function: Callable[[Scalar], Scalar],
    truth: Callable[[np.ndarray], np.ndarray],
    domain: tuple[float, float],
    relative: float,
    absolute: float,
) -> None:
    x = _samples(*domain)
    wanted = truth(x.astype(np.float64))
    error = np.abs(_apply(function, x) - wanted)
    excess = error - (relative * np.abs(wanted) + absolute)
    assert excess.max() <= 0, f"error {error[excess.argmax()]} at {x[excess.argmax()]}"


@pytest.mark.parametrize(
    "function",
    [
        f.exp,
        f.sigmoid,
        f.tanh,
        f.silu,
        lambda x: f.log(x, 31),
        f.expm1,
        f.ln,
        f.erf,
        f.gelu,
        f.gelu_tanh,
        f.softplus,
        f.mish,
        f.elu,
        f.celu,
        f.softsign,
    ],
)
def test_function__of_any_finite_float__is_proved_in_range_and_bounds_hold(
    function: Callable[[Scalar], Scalar],
) -> None:
    program = record(function, ["float"])
    wide = Interval(-1e30, 1e30)
    proved = run_intervals(program, [wide])[-1]
    values = run_program(
        program, [np.concatenate([_samples(-100, 100), np.float32([-1e30, 1e30, 0.0, -0.0])])]
    )
    assert proved.lo <= values.min() and values.max() <= proved.hi


def test_exp__at_zero__is_exactly_one() -> None:
    assert _apply(f.exp, np.float32([0.0, -0.0])).tolist() == [1.0, 1.0]
