"""Data movement against ONNX Runtime: always exact."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

X = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5) - 50


def _ints(*values: int) -> np.ndarray:
    return np.asarray(values, np.int64)


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], int]] = {
    "reshape": ("Reshape", {"s": _ints(6, -1)}, {}, 17),
    "reshape_zero": ("Reshape", {"s": _ints(0, 12, -1)}, {}, 17),
    "flatten": ("Flatten", {}, {"axis": 2}, 17),
    "flatten_negative": ("Flatten", {}, {"axis": -1}, 17),
    "flatten_zero": ("Flatten", {}, {"axis": 0}, 17),
    "transpose": ("Transpose", {}, {"perm": [2, 0, 3, 1]}, 17),
    "transpose_default": ("Transpose", {}, {}, 17),
    "unsqueeze_13": ("Unsqueeze", {"a": _ints(0, -1)}, {}, 13),
    "unsqueeze_11": ("Unsqueeze", {}, {"axes": [1, 3]}, 11),
    "expand": ("Expand", {"s": _ints(3, 1, 1, 4, 1)}, {}, 17),
    "slice_10": ("Slice", {"s": _ints(1, -4), "e": _ints(9, -1), "a": _ints(1, 3)}, {}, 13),
    "slice_steps": (
        "Slice",
        {"s": _ints(-1, 0), "e": _ints(-99, 99), "a": _ints(2, -1), "t": _ints(-1, 2)},
        {},
        13,
    ),
    "slice_9": ("Slice", {}, {"starts": [0, 1], "ends": [2, 2**31], "axes": [0, 3]}, 9),
    "slice_without_axes": ("Slice", {"s": _ints(1), "e": _ints(2)}, {}, 13),
    "pad": ("Pad", {"p": _ints(0, 1, 2, 0, 1, 0, 0, 3), "v": np.float32(7)}, {}, 13),
    "pad_axes": ("Pad", {"p": _ints(1, 2), "v": np.float32(0), "a": _ints(-1)}, {}, 18),
    "pad_cuts": ("Pad", {"p": _ints(0, 0, -1, 2, 0, -2, 0, -1)}, {}, 13),
    "pad_reflect": ("Pad", {"p": _ints(0, 0, 2, 1, 0, 0, 1, 3)}, {"mode": "reflect"}, 13),
    "pad_edge": ("Pad", {"p": _ints(0, 2, 2, 1, 0, 0, 1, 3)}, {"mode": "edge"}, 13),
    "pad_wrap": ("Pad", {"p": _ints(0, 0, 2, 1, 0, 0, 1, 3)}, {"mode": "wrap"}, 19),
    "pad_10": ("Pad", {}, {"pads": [0, 0, 1, 0, 0, 0, 0, 2], "value": 1.5}, 10),
    "gather_scalar": ("Gather", {"i": np.asarray(-1, np.int64)}, {"axis": 2}, 17),
    "gather_spaced": ("Gather", {"i": _ints(0, 2)}, {"axis": 1}, 17),
    "gather_any": ("Gather", {"i": _ints(3, 0, 0, -2).reshape(2, 2)}, {"axis": 2}, 17),
    "gather_first": ("Gather", {"i": _ints(1, 1, 0)}, {}, 17),
}


@pytest.mark.parametrize("case", CASES)
def test_movement__attributes_and_inputs__is_exact(case: str, compare: Callable[..., float]) -> None:
    operator, constants, attributes, opset = CASES[case]
    assert compare([(operator, ["x", *constants], ["y"], attributes)], X, constants, opset) == 0


@pytest.mark.parametrize("case", CASES)
def test_movement__after_arithmetic_and_transposition__is_exact(
    case: str, compare: Callable[..., float]
) -> None:
    """The same on an expression that is not in memory, over a layout that is not row-major."""
    operator, constants, attributes, opset = CASES[case]
    nodes = [
        ("Transpose", ["x"], ["turned"], {"perm": [1, 3, 0, 2]}),
        ("Relu", ["turned"], ["clipped"], {}),
        ("Transpose", ["clipped"], ["back"], {"perm": [2, 0, 3, 1]}),
        ("Mul", ["back", "back"], ["square"], {}),
        (operator, ["square", *constants], ["moved"], attributes),
        ("Neg", ["moved"], ["y"], {}),
    ]
    assert compare(nodes, X, constants, opset) == 0


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concat__tensors_and_constants__is_exact(axis: int, compare: Callable[..., float]) -> None:
    nodes = [("Relu", ["x"], ["r"], {}), ("Concat", ["x", "c", "r", "x"], ["y"], {"axis": axis})]
    shape = list(X.shape)
    shape[axis] = 2
    assert compare(nodes, X, {"c": np.full(shape, 3, np.float32)}) == 0


def test_concat__more_than_eight_parts__is_exact(compare: Callable[..., float]) -> None:
    assert compare([("Concat", ["x"] * 11, ["y"], {"axis": 1})], X) == 0


def test_concat__integers_of_different_ranges__share_one_type(compare: Callable[..., float]) -> None:
    nodes = [
        ("ArgMax", ["x"], ["a"], {"axis": 1, "keepdims": 1}),
        ("Cast", ["x"], ["i"], {"to": 7}),
        ("Concat", ["a", "i"], ["y"], {"axis": 1}),
    ]
    assert compare(nodes, X, output=np.int64) == 0


@pytest.mark.parametrize(
    ("constants", "attributes", "opset"),
    [({"s": _ints(1, 3, 1)}, {"axis": 3}, 13), ({}, {"axis": -1, "split": [1, 3, 1]}, 11)],
)
def test_split__sizes_as_input_or_attribute__is_exact(
    constants: dict[str, Any], attributes: dict[str, Any], opset: int, compare: Callable[..., float]
) -> None:
    nodes = [
        ("Split", ["x", *constants], ["a", "b", "c"], attributes),
        ("Concat", ["c", "b", "a"], ["y"], {"axis": 3}),
    ]
    assert compare(nodes, X, constants, opset) == 0


@pytest.mark.parametrize("axis", [1, 2])
def test_split__equal_parts__is_exact(axis: int, compare: Callable[..., float]) -> None:
    outputs = ["a", "b", "c"][: 3 if axis == 1 else 2]
    nodes = [("Split", ["x"], outputs, {"axis": axis}), ("Sub", ["a", "b"], ["y"], {})]
    assert compare(nodes, X, opset=13) == 0


@pytest.mark.parametrize(("axes", "opset"), [([0, 2], 13), (None, 13), ([0, -2], 11)])
def test_squeeze__axes__is_exact(axes: list[int] | None, opset: int, compare: Callable[..., float]) -> None:
    constants = {"a": _ints(*axes)} if axes and opset >= 13 else {}
    attributes = {"axes": axes} if axes and opset < 13 else {}
    assert compare([("Squeeze", ["x", *constants], ["y"], attributes)], X[:1, :, :1], constants, opset) == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_gather__computed_index__counts_negative_positions_from_the_end(
    axis: int, compare: Callable[..., float]
) -> None:
    x = np.asarray([[0, -1], [2, 1]], np.int64)
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    nodes = [("Gather", ["t", "x"], ["g"], {"axis": axis}), ("Neg", ["g"], ["y"], {})]
    assert compare(nodes, x, {"t": table}, input_range=(-3, 2)) == 0


def test_shape__subgraph_that_rebuilds_a_shape__folds_away(compare: Callable[..., float]) -> None:
    nodes = [
        ("Shape", ["x"], ["s"], {}),
        ("Gather", ["s", "i"], ["d"], {"axis": 0}),
        ("Unsqueeze", ["d", "z"], ["u"], {}),
        ("Slice", ["s", "b", "e"], ["tail"], {}),
        ("Mul", ["u", "tail"], ["p"], {}),
        ("Concat", ["p", "rest"], ["n"], {"axis": 0}),
        ("Reshape", ["x", "n"], ["y"], {}),
    ]
    constants = {
        "i": np.asarray(0, np.int64), "z": _ints(0), "b": _ints(1), "e": _ints(2), "rest": _ints(-1),
    }  # fmt: skip
    assert compare(nodes, X, constants) == 0


def test_constant__every_kind_of_value__is_read(compare: Callable[..., float]) -> None:
    nodes = [
        ("Constant", [], ["a"], {"value_floats": [1.0, 2.0, 3.0, 4.0, 5.0]}),
        ("Constant", [], ["b"], {"value_float": 0.5}),
        ("Constant", [], ["s"], {"value_ints": [2, 60]}),
        ("ConstantOfShape", ["c"], ["o"], {}),
        ("Add", ["x", "a"], ["p"], {}),
        ("Mul", ["p", "b"], ["q"], {}),
        ("Reshape", ["q", "s"], ["r"], {}),
        ("Add", ["r", "o"], ["y"], {}),
    ]
    assert compare(nodes, X, {"c": _ints(60)}) == 0
