"""Merkle trees padded to a power of two, their paths and multiproofs (docs/protocol.md §2).

A node's place is (level, position): level 0 holds the leaves, level `depth` the root.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from oracle_node.commitments.hashing import HASH_BYTES, Buffer, node, parents, zero_hash

NodeAt = Callable[[int, int], bytes]
"""(level, position) → hash."""


def depth(count: int) -> int:
    """Levels above the leaves of a tree of that many leaves: ceil(log2(max(count, 1)))."""
    return (max(count, 1) - 1).bit_length()


class MerkleTree:
    """All levels of a tree over given leaf hashes; missing leaves are the zero chunk's leaf."""

    def __init__(self, leaves: Buffer) -> None:
        """`leaves`: concatenated 32-byte hashes; none counts as one missing leaf."""
        self.count = len(leaves) // HASH_BYTES
        self.depth = depth(self.count)
        self._levels = [bytes(leaves)]
        for height in range(self.depth):
            level = self._levels[-1]
            odd = len(level) // HASH_BYTES % 2
            self._levels.append(parents(level + zero_hash(height) if odd else level))

    @classmethod
    def of(cls, leaves: Iterable[bytes]) -> "MerkleTree":
        """A tree over hashes given one by one."""
        return cls(b"".join(leaves))

    @property
    def root(self) -> bytes:
        return self.node(self.depth, 0)

    def node(self, level: int, position: int) -> bytes:
        """The hash at a place; a place outside the tree is an IndexError."""
        if not (0 <= level <= self.depth and 0 <= position < 1 << (self.depth - level)):
            raise IndexError(f"node ({level}, {position}) is outside a tree of depth {self.depth}")
        start = position * HASH_BYTES
        return self._levels[level][start : start + HASH_BYTES] or zero_hash(level)

    def path(self, position: int) -> tuple[bytes, ...]:
        """Siblings from a leaf to the root, bottom first."""
        return tuple(self.node(level, position >> level ^ 1) for level in range(self.depth))


def root_over(level: bytes, height: int, top: int) -> bytes:
    """Root at height `top` over concatenated nodes of one height; missing ones are missing subtrees."""
    for below in range(height, top):
        odd = len(level) // HASH_BYTES % 2
        level = parents(level + zero_hash(below) if odd else level)
    return level


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root over a power of two of hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node(left, right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def fold_path(leaf_hash: bytes, position: int, siblings: Sequence[bytes]) -> bytes:
    """Root that a path leads to."""
    for sibling in siblings:
        leaf_hash = node(sibling, leaf_hash) if position & 1 else node(leaf_hash, sibling)
        position >>= 1
    return leaf_hash


def multiproof(positions: Iterable[int], tree_depth: int, node_at: NodeAt) -> list[bytes]:
    """Siblings that prove the leaves at the positions together, in the order the verifier consumes them."""
    known, siblings = sorted(set(positions)), []
    for level in range(tree_depth):
        present = set(known)
        siblings += [node_at(level, p ^ 1) for p in known if p ^ 1 not in present]
        known = sorted({p >> 1 for p in known})
    return siblings


def multiproof_root(leaves: Mapping[int, bytes], tree_depth: int, siblings: Sequence[bytes]) -> bytes:
    """Root that a multiproof leads to.

    ValueError where siblings are missing or left over, or a position is outside the tree.
    """
    if not leaves or max(leaves) >> tree_depth or min(leaves) < 0:
        raise ValueError(f"positions {sorted(leaves)} are no leaves of a tree of depth {tree_depth}")
    known, rest = dict(leaves), iter(siblings)
    for _ in range(tree_depth):
        above: dict[int, bytes] = {}
        for position in sorted(known):
            if position >> 1 in above:
                continue
            other = known[position ^ 1] if position ^ 1 in known else next(rest, None)
            if other is None:
                raise ValueError(f"a multiproof of {len(siblings)} siblings is too short")
            pair = (other, known[position]) if position & 1 else (known[position], other)
            above[position >> 1] = node(*pair)
        known = above
    if next(rest, None) is not None:
        raise ValueError(f"a multiproof of {len(siblings)} siblings is too long")
    return known[0]
