"""Trees, paths and multiproofs against a definition written twice as plainly."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle_node.commitments.hashing import leaf, zero_hash
from oracle_node.commitments.merkle import MerkleTree, depth, fold, fold_path, multiproof, multiproof_root

MISSING = sha256(b"\x00" + bytes(1024)).digest()


def hashes(count: int) -> list[bytes]:
    return [sha256(bytes([n & 255, n >> 8])).digest() for n in range(count)]


def plain_root(leaves: list[bytes]) -> bytes:
    size = 1
    while size < max(len(leaves), 1):
        size *= 2
    level = leaves + [MISSING] * (size - len(leaves))
    while len(level) > 1:
        level = [sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]
    return level[0]


@pytest.mark.parametrize(
    ("count", "levels"), [(0, 0), (1, 0), (2, 1), (3, 2), (5, 3), (2**20, 20), (2**20 + 1, 21)]
)
def test_depth__of_a_leaf_count__is_the_rounded_up_logarithm(count: int, levels: int) -> None:
    assert depth(count) == levels


@given(st.integers(0, 70))
def test_root__of_any_leaf_count__equals_the_plain_definition(count: int) -> None:
    assert MerkleTree.of(hashes(count)).root == plain_root(hashes(count))


def test_zero_hash__of_each_height__is_the_root_of_missing_leaves() -> None:
    for height in range(6):
        assert zero_hash(height) == plain_root([MISSING] * (1 << height))


def test_node__past_the_last_leaf__is_a_missing_subtree() -> None:
    tree = MerkleTree.of(hashes(5))
    assert [tree.node(0, 7), tree.node(1, 3)] == [MISSING, zero_hash(1)]


@pytest.mark.parametrize("place", [(0, 8), (4, 0), (1, -1), (-1, 0)])
def test_node__outside_the_tree__is_refused(place: tuple[int, int]) -> None:
    with pytest.raises(IndexError):
        MerkleTree.of(hashes(5)).node(*place)


@given(st.integers(1, 40), st.data())
def test_path__of_any_leaf__folds_to_the_root_only_from_its_own_position(
    count: int, data: st.DataObject
) -> None:
    tree, position = MerkleTree.of(hashes(count)), data.draw(st.integers(0, count - 1))
    siblings = tree.path(position)
    assert fold_path(tree.node(0, position), position, siblings) == tree.root
    if count > 1:
        assert fold_path(tree.node(0, position), position ^ 1, siblings) != tree.root


def test_fold__of_a_full_level__is_the_root() -> None:
    assert fold(hashes(16)) == MerkleTree.of(hashes(16)).root


@given(st.integers(1, 40), st.data())
def test_multiproof__of_any_positions__proves_them_and_nothing_else(count: int, data: st.DataObject) -> None:
    tree = MerkleTree.of(hashes(count))
    positions = data.draw(st.sets(st.integers(0, (1 << tree.depth) - 1), min_size=1))
    siblings = multiproof(positions, tree.depth, tree.node)
    leaves = {p: tree.node(0, p) for p in positions}
    assert multiproof_root(leaves, tree.depth, siblings) == tree.root
    forged = {**leaves, min(positions): leaf(b"forged")}
    assert multiproof_root(forged, tree.depth, siblings) != tree.root
    with pytest.raises(ValueError, match="too long"):
        multiproof_root(leaves, tree.depth, [*siblings, MISSING])
    if siblings:
        with pytest.raises(ValueError, match="too short"):
            multiproof_root(leaves, tree.depth, siblings[:-1])


@pytest.mark.parametrize("leaves", [{}, {8: MISSING}, {-1: MISSING}])
def test_multiproof_root__of_positions_outside_the_tree__is_refused(leaves: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="no leaves"):
        multiproof_root(leaves, 3, [MISSING] * 3)
