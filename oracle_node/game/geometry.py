"""Where in a claim's tree a dispute stands, and how many levels each reveal opens (docs/protocol.md §3).

A claim's tree is the trace tree over tensor roots, and below each tensor root the tree over that tensor's chunks.
"""

from dataclasses import dataclass

LEVELS_A_REVEAL = 4
NO_LENGTH = (1 << 64) - 1
"""The length tag of every node that is not a tensor root."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node of a claim's tree.

    `tensor` is None in the trace tree, else the instruction index. `level` counts from the tree's leaves: level 0 of
    the trace tree is a tensor root, level 0 of a tensor a chunk. The top level of a tensor stands for the tensor root.
    """

    tensor: int | None
    level: int
    position: int

    @property
    def is_leaf(self) -> bool:
        """No reveal opens it: in the trace tree it is a tensor root, in a tensor a chunk."""
        return self.level == 0

    def child(self, index: int) -> "Place":
        """The index-th child of a reveal here."""
        levels = levels_opened(self.level)
        return Place(self.tensor, self.level - levels, (self.position << levels) + index)


def levels_opened(level: int) -> int:
    """How many levels a reveal at that level opens: 4, but the first in a tree whatever does not divide by 4.

    A single level left over is opened with the next 4: one reveal of 32 is cheaper than one of 2 and one of 16.
    """
    if level <= LEVELS_A_REVEAL + 1:
        return level
    odd = level % LEVELS_A_REVEAL
    return odd if odd > 1 else odd + LEVELS_A_REVEAL


def children_count(level: int) -> int:
    """How many children a reveal at that level lists; 1 at a leaf."""
    return 1 << levels_opened(level)


def reveals_needed(depth: int) -> int:
    """Reveals from the root of a tree of that depth down to a leaf."""
    return min(depth, max(1, -(-(depth - 1) // LEVELS_A_REVEAL)))
