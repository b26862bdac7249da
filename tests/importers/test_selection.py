"""TopK against ONNX Runtime, bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.onnx import import_onnx

Compare = Callable[..., float]
K = {"k": np.int64([3])}


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("kind", [np.float32, np.int32, np.int64])
def test_top_k__values_and_positions__are_exact(
    kind: Any, axis: int, largest: int, compare: Compare, rng: np.random.Generator
) -> None:
    x = rng.permutation(4 * 5 * 7).reshape(4, 5, 7).astype(kind) - 70
    attributes = {"axis": axis, "largest": largest}
    assert compare([("TopK", ["x", "k"], ["y", "at"], attributes)], x, K, output=kind) == 0
    assert compare([("TopK", ["x", "k"], ["v", "y"], attributes)], x, K, output=np.int64) == 0


@pytest.mark.parametrize("largest", [0, 1])
def test_top_k__of_equal_elements__takes_the_first(largest: int, compare: Compare) -> None:
    x = np.float32([[2, 1, 2, 1, 2, 1, 3]])
    nodes = [("TopK", ["x", "k"], ["v", "y"], {"largest": largest})]
    assert compare(nodes, x, {"k": np.int64([5])}, output=np.int64) == 0


def test_top_k__of_a_long_axis__is_exact(compare: Compare, rng: np.random.Generator) -> None:
    x = rng.permutation(1000).reshape(1, 1000).astype(np.float32)
    assert compare([("TopK", ["x", "k"], ["v", "y"], {})], x, K, output=np.int64) == 0


@pytest.mark.parametrize("k", [0, 8, 65])
def test_top_k__of_none_or_too_many__is_refused(k: int, network: Callable[..., Path]) -> None:
    x = np.zeros((1, 7 if k < 9 else 100), np.float32)
    path = network([("TopK", ["x", "k"], ["y", "at"], {})], {"x": x}, {"y": np.float32}, {"k": np.int64([k])})
    with pytest.raises(ModelError, match=f"its k is {k}"):
        import_onnx(path)
