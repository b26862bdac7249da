"""Comparisons, booleans, choices and integer bits against ONNX Runtime: always exact."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_node.errors import AdmissionError, ModelError
from oracle_node.importers.onnx import import_onnx

COMPARISONS = ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]
Compare = Callable[..., float]


def _bits(rng: np.random.Generator, kind: type, *shape: int) -> np.ndarray:
    low, high = (0, 256) if kind is np.uint8 else (-100, 100)
    return rng.integers(low, high, shape).astype(kind)


@pytest.mark.parametrize("operator", COMPARISONS)
@pytest.mark.parametrize("kind", [np.float32, np.int32, np.int64])
@pytest.mark.parametrize("names", [["x", "c"], ["c", "x"], ["x", "t"], ["x", "one"], ["one", "x"]])
def test_comparison__of_two_tensors_or_with_constants__is_exact(
    operator: str, kind: type, names: list[str], compare: Compare, rng: np.random.Generator
) -> None:
    nodes = [("Transpose", ["x"], ["t"], {}), (operator, names, ["y"], {})]
    constants = {"c": rng.integers(-2, 3, 5).astype(kind), "one": np.asarray(1, kind)}
    assert compare(nodes, rng.integers(-2, 3, (5, 5)).astype(kind), constants, output=np.bool_) == 0


@pytest.mark.parametrize("operator", ["And", "Or", "Xor"])
@pytest.mark.parametrize("names", [["p", "q"], ["p", "c"], ["one", "p"]])
def test_join__of_booleans__is_exact(
    operator: str, names: list[str], compare: Compare, rng: np.random.Generator
) -> None:
    nodes = [
        ("Cast", ["x"], ["p"], {"to": 9}),
        ("Transpose", ["p"], ["t"], {}),
        ("Not", ["t"], ["q"], {}),
        (operator, names, ["y"], {}),
    ]
    constants = {"c": rng.integers(0, 2, 5).astype(bool), "one": np.asarray(True)}
    assert compare(nodes, rng.integers(0, 2, (5, 5)), constants, output=np.bool_) == 0


@pytest.mark.parametrize("operator", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32, np.int64])
def test_join__of_integers__is_exact(
    operator: str, kind: type, compare: Compare, rng: np.random.Generator
) -> None:
    nodes = [
        ("Transpose", ["x"], ["t"], {}),
        ("BitwiseNot", ["t"], ["n"], {}),
        (operator, ["x", "n"], ["m"], {}),
        (operator, ["c", "m"], ["y"], {}),
    ]
    x = _bits(rng, kind, 6, 6)
    assert compare(nodes, x, {"c": _bits(rng, kind, 6)}, opset=18, output=kind) == 0


@pytest.mark.parametrize("kind", [np.float32, np.int64])
@pytest.mark.parametrize("names", [["x", "t"], ["x", "one"], ["one", "x"], ["one", "two"], ["c", "x"]])
def test_where__computed_condition__is_exact(
    kind: type, names: list[str], compare: Compare, rng: np.random.Generator
) -> None:
    nodes = [
        ("Transpose", ["x"], ["t"], {}),
        ("Less", ["x", "t"], ["l"], {}),
        ("Where", ["l", *names], ["y"], {}),
    ]
    constants = {
        "one": np.asarray(1, kind), "two": np.asarray(2, kind), "c": rng.integers(-9, 9, 5).astype(kind),
    }  # fmt: skip
    assert compare(nodes, rng.integers(-9, 9, (5, 5)).astype(kind), constants, output=kind) == 0


@pytest.mark.parametrize("condition", [np.asarray(True), np.asarray([[True, False, True, False, True]])])
def test_where__constant_condition__is_exact(
    condition: np.ndarray, compare: Compare, rng: np.random.Generator
) -> None:
    nodes = [("Transpose", ["x"], ["t"], {}), ("Where", ["k", "x", "t"], ["y"], {})]
    assert compare(nodes, rng.normal(size=(5, 5)).astype(np.float32), {"k": condition}) == 0


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("names", [["x", "s"], ["x", "t"], ["x", "three"], ["c", "x"], ["seven", "x"]])
def test_shift__of_bytes__is_exact(
    direction: str, names: list[str], compare: Compare, rng: np.random.Generator
) -> None:
    nodes = [("Transpose", ["x"], ["t"], {}), ("BitShift", names, ["y"], {"direction": direction})]
    constants = {
        "s": np.arange(6, dtype=np.uint8), "three": np.asarray(3, np.uint8), "c": _bits(rng, np.uint8, 6),
        "seven": np.asarray(7, np.uint8),
    }  # fmt: skip
    x = rng.integers(0, 8, (6, 6)).astype(np.uint8)
    assert compare(nodes, x, constants, output=np.uint8) == 0


@pytest.mark.parametrize("fmod", [0, 1])
@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32, np.int64])
@pytest.mark.parametrize("divisor", [[7], [3, 1, 100, 5, 2], [-7], [-3, 1, 100, -5, 2]])
def test_mod__constant_divisor__is_exact(
    kind: type, divisor: list[int], fmod: int, compare: Compare, rng: np.random.Generator
) -> None:
    d = np.abs(divisor) if kind is np.uint8 else np.asarray(divisor)
    x = _bits(rng, kind, 8, 5)
    nodes = [("Mod", ["x", "d"], ["y"], {"fmod": fmod})]
    assert compare(nodes, x, {"d": d.astype(kind)}, output=kind) == 0


def test_mod__computed_divisor_of_one_sign__is_exact(compare: Compare, rng: np.random.Generator) -> None:
    nodes = [
        ("Transpose", ["x"], ["t"], {}),
        ("Sub", ["t", "c"], ["d"], {}),
        ("Mod", ["x", "d"], ["y"], {}),
    ]
    constants = {"c": np.asarray(101, np.int64)}
    x = _bits(rng, np.int64, 6, 6)
    assert compare(nodes, x, constants, output=np.int64, input_range=(-100, 100)) == 0


REFUSED: dict[str, tuple[list[Any], type[ModelError], str]] = {
    "mod_floats": ([("Mod", ["x", "x"], ["y"], {"fmod": 1})], ModelError, "only integers"),
    "mod_zero": ([("Mod", ["i", "zero"], ["y"], {})], ModelError, "constant zero"),
    "mod_maybe_zero": ([("Mod", ["i", "i"], ["y"], {})], AdmissionError, "contains zero"),
    "types": ([("Less", ["x", "i"], ["y"], {})], ModelError, "not of one type"),
    "and_floats": ([("And", ["x", "x"], ["y"], {})], ModelError, "float32"),
    "not_floats": ([("Not", ["x"], ["y"], {})], ModelError, "float32"),
    "shift_signed": ([("BitShift", ["i", "i"], ["y"], {"direction": "LEFT"})], ModelError, "unsigned"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_node__that_cannot_be_lowered__is_named(case: str, network: Callable[..., Path]) -> None:
    nodes, error, expected = REFUSED[case]
    x = np.ones((2, 3), np.float32)
    path = network(
        [("Cast", ["x"], ["i"], {"to": 6}), *nodes], {"x": x}, {"y": np.float32}, {"zero": np.int32(0)}, 18
    )
    with pytest.raises(error, match=expected) as caught:
        import_onnx(path)
    assert f"{nodes[0][0]} node" in str(caught.value)
