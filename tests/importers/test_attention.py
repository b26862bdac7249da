"""The Attention operator beside its definition in binary64."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.onnx import import_onnx
from tests.importers.networks import Array, answer

Network = Callable[..., Path]


def _defined(x: Array, keys: Array, values: Array, mask: Array, cap: float = 0.0) -> Array:
    """(heads, n, width) each; a mask that is added."""
    scores = x @ keys.swapaxes(1, 2) / np.sqrt(x.shape[-1]) + mask
    scores = cap * np.tanh(scores / cap) if cap else scores
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ values


def _imported(network: Network, x: Array, constants: dict[str, Array], **attributes: Any) -> Array:
    inputs = ["x", "keys", "values", *(["mask"] if "mask" in constants else [])]
    path = network([("Attention", inputs, ["y"], attributes)], {"x": x}, {"y": np.float32}, constants, 23)
    return answer(import_onnx(path, input_range=(-8, 8)), x)


@pytest.mark.parametrize("kind", ["causal", "added", "chosen", "capped"])
def test_attention__under_each_kind_of_mask__is_its_definition(
    network: Network, rng: np.random.Generator, kind: str
) -> None:
    x, keys, values = (rng.normal(size=(1, 2, 6, 4)).astype(np.float32) for _ in range(3))
    seen = np.tri(6, dtype=bool) if kind == "causal" else rng.random((6, 6)) < 0.6
    seen |= np.eye(6, dtype=bool)
    added = np.zeros((6, 6)) if kind == "capped" else np.where(seen, 0, -np.inf)
    masks = {"added": {"mask": added.astype(np.float32)}, "chosen": {"mask": seen}}
    attributes = {"causal": {"is_causal": 1}, "capped": {"softcap": 0.5}}
    got = _imported(
        network, x, {"keys": keys, "values": values, **masks.get(kind, {})}, **attributes.get(kind, {})
    )
    expected = _defined(x[0], keys[0], values[0], added, 0.5 if kind == "capped" else 0.0)
    np.testing.assert_allclose(got, expected.reshape(-1), atol=1e-3)


def test_attention__of_fewer_heads_of_keys__repeats_each(network: Network, rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 5, 16)).astype(np.float32)
    keys, values = (rng.normal(size=(1, 7, 8)).astype(np.float32) for _ in range(2))
    got = _imported(network, x, {"keys": keys, "values": values}, q_num_heads=4, kv_num_heads=2)

    def split(a: Array, heads: int, times: int) -> Array:
        return a[0].reshape(len(a[0]), heads, -1).transpose(1, 0, 2).repeat(times, axis=0)

    expected = _defined(split(x, 4, 1), split(keys, 2, 2), split(values, 2, 2), np.zeros((5, 7)))
    np.testing.assert_allclose(got, expected.transpose(1, 0, 2).reshape(-1), atol=1e-3)


def test_attention__with_a_decoders_cache__is_refused(network: Network, rng: np.random.Generator) -> None:
    x, keys, values, past = (rng.normal(size=(1, 1, 3, 4)).astype(np.float32) for _ in range(4))
    nodes = [("Attention", ["x", "keys", "values", "", "past", "past"], ["y"], {})]
    constants = {"keys": keys, "values": values, "past": past}
    with pytest.raises(ModelError, match="past keys and values"):
        import_onnx(network(nodes, {"x": x}, {"y": np.float32}, constants, 23))
