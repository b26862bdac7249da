"""Repeats, blocks, one-hot rows, triangles and resizing against ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.onnx import import_onnx

Compare = Callable[..., float]
X = np.arange(2 * 4 * 4 * 6, dtype=np.float32).reshape(2, 4, 4, 6) - 50

EXACT: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "tile": ("Tile", {"r": np.asarray([1, 2, 3, 1])}, {}),
    "tile_once": ("Tile", {"r": np.asarray([1, 1, 1, 1])}, {}),
    "depth_to_space": ("DepthToSpace", {}, {"blocksize": 2}),
    "depth_to_space_crd": ("DepthToSpace", {}, {"blocksize": 2, "mode": "CRD"}),
    "space_to_depth": ("SpaceToDepth", {}, {"blocksize": 2}),
    "hardmax": ("Hardmax", {}, {"axis": 1}),
    "upper": ("Trilu", {"k": np.asarray(1)}, {}),
    "lower": ("Trilu", {"k": np.asarray(-1)}, {"upper": 0}),
}


@pytest.mark.parametrize("case", EXACT)
@pytest.mark.parametrize("before", ["Relu", "Transpose"])
def test_movement__of_a_tensor__is_exact(case: str, before: str, compare: Compare) -> None:
    operator, constants, attributes = EXACT[case]
    first = {"perm": [0, 3, 1, 2]} if before == "Transpose" else {}
    x = np.ascontiguousarray(X.transpose(0, 2, 3, 1)) if before == "Transpose" else X
    nodes = [(before, ["x"], ["t"], first), (operator, ["t", *constants], ["y"], attributes)]
    assert compare(nodes, x, constants) == 0


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_one_hot__indices_of_both_signs_and_outside__is_exact(axis: int, compare: Compare) -> None:
    constants = {"d": np.asarray(5), "v": np.asarray([-1, 3], np.float32)}
    x = np.asarray([[0, 4, -1], [2, -5, 7]], np.int64)
    assert compare([("OneHot", ["x", "d", "v"], ["y"], {"axis": axis})], x, constants) == 0


@pytest.mark.parametrize("axis", [0, 2, -1])
@pytest.mark.parametrize("computed", [False, True])
def test_gather_elements__smaller_indices_of_both_signs__is_exact(
    axis: int, computed: bool, compare: Compare, rng: np.random.Generator
) -> None:
    shape = tuple(5 if a == axis % 4 else d - 1 for a, d in enumerate(X.shape))
    length = X.shape[axis]
    if computed:
        nodes = [
            ("ArgMax", ["x"], ["i"], {"axis": axis}),
            ("GatherElements", ["x", "i"], ["y"], {"axis": axis}),
        ]
        assert compare(nodes, rng.permuted(X, axis=axis)) == 0
    else:
        constants = {"i": rng.integers(-length, length, shape)}
        assert compare([("GatherElements", ["x", "i"], ["y"], {"axis": axis})], X, constants) == 0


@pytest.mark.parametrize("kind", [np.float32, np.int64])
def test_range__of_constants__is_exact(kind: type, compare: Compare) -> None:
    nodes = [
        ("Range", ["a", "b", "c"], ["r"], {}),
        ("Cast", ["r"], ["f"], {"to": 1}),
        ("Add", ["x", "f"], ["y"], {}),
    ]
    constants = {"a": np.asarray(7, kind), "b": np.asarray(-5, kind), "c": np.asarray(-3, kind)}
    assert compare(nodes, X[0, 0, :, :4], constants) == 0


@pytest.mark.parametrize(
    "way", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]
)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("sizes", [(8, 12), (7, 5), (2, 3), (12, 6)])
def test_resize__mode_and_coordinates__matches_float32(
    way: str, mode: str, sizes: tuple[int, int], compare: Compare
) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": way}
    nodes = [("Resize", ["x", "", "", "s"], ["y"], attributes)]
    error = compare(nodes, X, {"s": np.asarray([2, 4, *sizes])}, opset=19)
    assert error <= (0 if mode == "nearest" else 3e-6)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("scale", [2.0, 3.0, 1.5, 0.5])
def test_resize__nearest_rounding_and_scales__is_exact(rounding: str, scale: float, compare: Compare) -> None:
    attributes = {
        "mode": "nearest", "nearest_mode": rounding, "coordinate_transformation_mode": "asymmetric"
    }  # fmt: skip
    nodes = [("Resize", ["x", "", "s"], ["y"], attributes)]
    assert compare(nodes, X, {"s": np.asarray([1, 1, scale, scale], np.float32)}, opset=13) == 0


def test_upsample__of_an_old_opset__is_exact(compare: Compare) -> None:
    nodes = [("Upsample", ["x", "s"], ["y"], {})]
    assert compare(nodes, X, {"s": np.asarray([1, 1, 2, 3], np.float32)}, opset=9) == 0


REFUSED: dict[str, tuple[str, list[str], dict[str, Any], str]] = {
    "blocks": ("DepthToSpace", ["x"], {"blocksize": 3}, "blocks of 3"),
    "space": ("SpaceToDepth", ["x"], {"blocksize": 5}, "blocks of 5"),
    "repeats": ("Tile", ["x", "k"], {}, "repeats"),
    "elements_outside": ("GatherElements", ["x", "e"], {"axis": 1}, "outside"),
    "elements_shape": ("GatherElements", ["x", "k"], {"axis": 1}, "do not fit"),
    "antialias": ("Resize", ["x", "", "s"], {"antialias": 1, "mode": "linear"}, "antialiasing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_node__that_cannot_be_lowered__is_named(case: str, network: Callable[..., Path]) -> None:
    operator, reads, attributes, expected = REFUSED[case]
    constants = {"k": np.asarray([2]), "e": np.full((1, 1, 1, 1), 9), "s": np.ones(4, np.float32)}
    path = network([(operator, reads, ["y"], attributes)], {"x": X}, {"y": np.float32}, constants, 18)
    with pytest.raises(ModelError, match=f"{operator} node .*{expected}"):
        import_onnx(path)
