"""Elementwise operators against ONNX Runtime float32."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

EXACT = 0.0
X = np.asarray([[-3.5, -1.0, -0.25, 0.0, 1e-3, 0.7], [1.0, 2.5, 4.0, 6.5, 100.0, -80.0]], np.float32)
C = np.asarray([0.5, -2.0, 3.0, 1.5, 0.25, -1.0], np.float32)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("constant", [C, np.float32(3), C[:2, None], np.stack([C, C])])
@pytest.mark.parametrize("swap", [False, True])
def test_binary__with_a_constant__equals_float32(
    operator: str, constant: np.ndarray, swap: bool, compare: Callable[..., float]
) -> None:
    x = X + np.float32(200) if operator == "Div" and swap else X
    names = ["c", "x"] if swap else ["x", "c"]
    options: dict[str, Any] = {"input_range": (1.0, 1000.0)} if operator == "Div" and swap else {}
    # a division by a constant is a multiplication by its reciprocal, rounded once more
    assert compare([(operator, names, ["y"], {})], x, {"c": constant}, **options) <= (
        2e-7 if operator == "Div" else EXACT
    )


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Min", "Max"])
def test_binary__two_tensors_that_broadcast__equals_float32(
    operator: str, compare: Callable[..., float]
) -> None:
    nodes = [("Relu", ["x"], ["r"], {}), ("Transpose", ["r"], ["t"], {}), (operator, ["x", "t"], ["y"], {})]
    assert compare(nodes, np.ascontiguousarray(X[:, :2])) == EXACT


def test_div__two_tensors__equals_float32(compare: Callable[..., float]) -> None:
    nodes = [("Sigmoid", ["x"], ["s"], {}), ("Add", ["s", "c"], ["d"], {}), ("Div", ["x", "d"], ["y"], {})]
    assert compare(nodes, X, {"c": np.float32(0.5)}) < 1e-6


def test_add__chain_of_constants__folds_into_one_operation(compare: Callable[..., float]) -> None:
    nodes = [
        ("Add", ["x", "a"], ["p"], {}),
        ("Mul", ["p", "c"], ["q"], {}),
        ("Sub", ["a", "q"], ["r"], {}),
        ("Div", ["r", "c"], ["y"], {}),
    ]
    assert compare(nodes, X, {"a": np.float32(1.25), "c": C}) < 3e-7


UNARY: dict[str, tuple[dict[str, Any], float]] = {
    "Relu": ({}, EXACT),
    "Neg": ({}, EXACT),
    "Abs": ({}, EXACT),
    "Identity": ({}, EXACT),
    "Dropout": ({}, EXACT),
    "LeakyRelu": ({"alpha": 0.2}, EXACT),
    "Sigmoid": ({}, 3e-7),
    "Tanh": ({}, 5e-7),
    "HardSwish": ({}, 3e-7),
    "HardSigmoid": ({"alpha": 0.3, "beta": 0.4}, 3e-7),
}


@pytest.mark.parametrize("operator", UNARY)
def test_unary__values_of_both_signs__matches_float32(operator: str, compare: Callable[..., float]) -> None:
    attributes, tolerance = UNARY[operator]
    assert compare([(operator, ["x"], ["y"], attributes)], X) <= tolerance


def test_sqrt__non_negative_values__equals_float32(compare: Callable[..., float]) -> None:
    assert compare([("Abs", ["x"], ["a"], {}), ("Sqrt", ["a"], ["y"], {})], X) == EXACT


@pytest.mark.parametrize("exponent", [2.0, 3.0, 4.0, 0.5, 1.5, -1.0, -2.0, -0.5, 1.0])
def test_pow__small_constant__matches_float32(exponent: float, compare: Callable[..., float]) -> None:
    x = np.abs(X) + np.float32(0.3)
    error = compare(
        [("Pow", ["x", "e"], ["y"], {})], x, {"e": np.float32(exponent)}, input_range=(0.1, 200.0)
    )
    assert error < 1e-6


@pytest.mark.parametrize(
    ("names", "constants", "attributes", "opset"),
    [
        (["x", "lo", "hi"], {"lo": np.float32(-1), "hi": np.float32(2.5)}, {}, 13),
        (["x", "", "hi"], {"hi": np.float32(2.5)}, {}, 13),
        (["x", "lo"], {"lo": np.float32(-1)}, {}, 13),
        (["x"], {}, {}, 13),
        (["x"], {}, {"min": -1.0, "max": 2.5}, 7),
    ],
)
def test_clip__bounds_as_inputs_or_attributes__equals_float32(
    names: list[str],
    constants: dict[str, Any],
    attributes: dict[str, Any],
    opset: int,
    compare: Callable[..., float],
) -> None:
    assert compare([("Clip", names, ["y"], attributes)], X, constants, opset) == EXACT


@pytest.mark.parametrize(
    ("kind", "code"), [(np.int32, 6), (np.int64, 7), (np.int8, 3), (np.bool_, 9), (np.float32, 1)]
)
def test_cast__from_float__truncates(kind: type, code: int, compare: Callable[..., float]) -> None:
    assert compare([("Cast", ["x"], ["y"], {"to": code})], X, output=kind) == EXACT


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32, np.int64])
def test_cast__integer_input_to_float__is_exact(kind: type, compare: Callable[..., float]) -> None:
    x = np.asarray([[0, 1, 100], [7, 127, 3]], kind)
    nodes = [("Cast", ["x"], ["f"], {"to": 1}), ("Mul", ["f", "c"], ["y"], {})]
    assert compare(nodes, x, {"c": np.float32(0.1)}) == EXACT


def test_integers__arithmetic_of_int64__is_exact(compare: Callable[..., float]) -> None:
    nodes = [
        ("Add", ["x", "a"], ["p"], {}),
        ("Mul", ["p", "p"], ["q"], {}),
        ("Div", ["q", "b"], ["r"], {}),
        ("Sub", ["r", "x"], ["y"], {}),
    ]
    x = np.asarray([[-5, 0, 3, 1000]], np.int64)
    constants = {"a": np.asarray([2], np.int64), "b": np.asarray(-7, np.int64)}
    assert compare(nodes, x, constants, output=np.int64, input_range=(-5000, 5000)) == EXACT


def test_expression__longer_than_one_instruction__is_split(compare: Callable[..., float]) -> None:
    nodes = [("Tanh" if i % 2 else "Sigmoid", [f"t{i}" if i else "x"], [f"t{i + 1}"], {}) for i in range(6)]
    nodes.append(("Add", ["t6", "x"], ["y"], {}))
    assert compare(nodes, X) < 1e-6


def test_expression__many_operands__is_split(compare: Callable[..., float], rng: np.random.Generator) -> None:
    nodes, last = [], "x"
    for i in range(12):
        nodes += [("Relu", [last], [f"r{i}"], {}), ("Mul", [f"r{i}", f"c{i}"], [f"p{i}"], {})]
        nodes += [("Sub", [f"p{i}", "x"], [f"t{i}"], {})]
        last = f"t{i}"
    nodes.append(("Add", [last, "x"], ["y"], {}))
    constants = {f"c{i}": rng.normal(size=6).astype(np.float32) for i in range(12)}
    assert compare(nodes, X, constants) < 1e-5


def test_gated_branch__x_times_sigmoid_after_a_reshape__stays_fused(compare: Callable[..., float]) -> None:
    nodes = [
        ("Transpose", ["x"], ["t"], {}),
        ("Reshape", ["t", "s"], ["r"], {}),
        ("Sigmoid", ["r"], ["g"], {}),
        ("Mul", ["r", "g"], ["m"], {}),
        ("Add", ["m", "c"], ["y"], {}),
    ]
    assert compare(nodes, X, {"s": np.asarray([4, 3], np.int64), "c": np.ones((4, 3), np.float32)}) < 1e-6
