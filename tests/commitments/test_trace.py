"""Traces: one root an instruction, in order."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pytest

from oracle_node.commitments.merkle import MerkleTree
from oracle_node.commitments.tensor import tensor_root
from oracle_node.commitments.trace import trace
from oracle_node.tape.affine import Symbols

TENSORS = [np.arange(n, dtype="<i4") for n in (1, 300, 0)]


class Recorded:
    """An executor that streams given tensors."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order = order

    def run(
        self, symbols: Symbols, sources: Sequence[np.ndarray], wanted: Collection[int]
    ) -> dict[int, np.ndarray]:
        return {index: TENSORS[index] for index in wanted}

    def stream(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        return ((index, TENSORS[index]) for index in self.order)


def test_trace__of_a_run__commits_to_every_tensor_and_reports_progress() -> None:
    seen: list[int] = []
    result = trace(Recorded([0, 1, 2]), (0,) * 8, (), seen.append)
    assert result.roots == tuple(map(tensor_root, TENSORS))
    assert result.root == MerkleTree.of(map(tensor_root, TENSORS)).root
    assert seen == [1, 2, 3]


def test_trace__of_tensors_out_of_order__is_refused() -> None:
    with pytest.raises(ValueError, match="streams tensor 2 where 1 is due"):
        trace(Recorded([0, 2]), (0,) * 8, ())


def test_trace__of_tensors_whose_roots_are_known__hashes_the_others_only() -> None:
    told, equal = b"\1" * 32, TENSORS[2].copy()
    result = trace(Recorded([0, 1, 2]), (0,) * 8, (), known=[(TENSORS[1], told), (equal, told)])
    assert result.roots == (tensor_root(TENSORS[0]), told, tensor_root(TENSORS[2]))
