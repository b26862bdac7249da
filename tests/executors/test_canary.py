"""The start-up canary: its stored hash stands for results that numpy confirms."""

import numpy as np
import pytest

from oracle_node.errors import DeterminismError
from oracle_node.executors import canary


def _expected() -> dict[str, np.ndarray]:
    a = canary.some_floats(5)
    b = np.where(canary.some_floats(6) == 0, np.float32(3), canary.some_floats(6))
    small = np.float32(2.0**-60)
    with np.errstate(all="ignore"):
        floats = {
            "add": a + b, "subtract": a - b, "multiply": (a * small) * b, "divide": (a * small) / b,
            "square root": np.sqrt(np.abs(a)), "floor": np.floor(a), "round": np.rint(a),
        }  # fmt: skip
    q = np.arange(-8256, 8257)
    high = np.rint(q / 128)
    subnormal = (canary.scramble(1021, 23, 8).astype(np.uint32) | np.uint32(1 << 23)).view(np.float32)
    long_terms = canary.scramble(8 * 4093, 40, 9).astype(np.int64).reshape(8, 4093) - (1 << 39)
    dividends = canary.scramble(4099, 63, 11).astype(np.int64) - (1 << 62)
    divisors = canary.scramble(4099, 20, 12).astype(np.int64) - (1 << 19)
    divisors[divisors == 0] = 3
    quotients = np.abs(dividends) // np.abs(divisors) * np.sign(dividends) * np.sign(divisors)
    wide = canary.scramble(4099, 53, 10).astype(np.int64) - (1 << 52)
    left, right = canary.extreme_rows(67, 1031, 0, 128, 1), canary.extreme_rows(65, 1031, -127, 127, 2)
    return {
        **floats,
        "digit product": np.concatenate([left @ right.T, (left - 64) @ right.T]).astype(np.int32),
        "convolution": _convolution().astype(np.float32),
        "f32 product": _product((1 << 24) - 1).astype(np.float32),
        "f64 product": _product((1 << 53) - 1).astype(np.float64),
        "digits": np.concatenate([high + 64, q - 128 * high + 64]).astype(np.uint8),
        "minimum": np.zeros(4099, np.float32),
        "maximum": np.zeros(4099, np.float32),
        "subnormal product": subnormal * np.float32(0.375),
        "long sum": long_terms.sum(axis=1).astype(np.float64),
        "i64 to f32": wide.astype(np.float32),
        "f64 to f32": wide.astype(np.float64).astype(np.float32),
        "i32 to f32": (canary.scramble(4099, 32, 10).astype(np.int64) - (1 << 31)).astype(np.float32),
        "integer division": quotients,
        **_order(canary.edge_integers()),
    }


def _order(edges: np.ndarray) -> dict[str, np.ndarray]:
    column, windows = edges[:, None], np.lib.stride_tricks.sliding_window_view(edges, 5)
    pairs = [np.minimum(column, edges).ravel(), np.maximum(column, edges).ravel()]
    return {
        "integer order": np.concatenate(
            [*pairs, np.clip(edges, 0, (1 << 32) - 1), windows.max(1), windows.min(1)]
        ),
        "integer comparison": np.concatenate([column < edges, column <= edges, column == edges]),
    }


def _convolution() -> np.ndarray:
    image = canary.extreme_rows(2 * 5 * 19, 23, -127, 127, 13).reshape(2, 5, 19, 23)
    kernel = canary.extreme_rows(7 * 5, 9, -2900, 2900, 14).reshape(7, 5, 3, 3)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(2, 3))
    return np.einsum("ncxyhw,fchw->nfxy", windows, kernel)


def _product(largest: int) -> np.ndarray:
    left = canary.extreme_rows(33, 255, -1, 1, 3)
    right = canary.extreme_rows(17, 255, -largest // 255, largest // 255, 4)
    return (left.astype(object) @ right.T.astype(object)).astype(np.int64)


def test_canary__every_case__equals_numpy() -> None:
    found, expected = canary.run_cases(), _expected()
    assert found.keys() == expected.keys() == canary.CASES.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].tobytes() == np.ascontiguousarray(array).tobytes(), name


def test_canary__this_machine__passes_with_one_and_two_threads() -> None:
    canary.require_exact(1)
    canary.require_exact(2)


def test_canary__another_hash__stops_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "EXPECTED", "ab" * 32)
    with pytest.raises(DeterminismError, match="abab"):
        canary.require_exact(1)
