"""How many levels reveals open, and where their children are."""

import pytest

from oracle_node.game.geometry import Place, children_count, levels_opened, reveals_needed


@pytest.mark.parametrize(
    ("depth", "heights"),
    [
        (0, []),
        (1, [1]),
        (3, [3]),
        (4, [4]),
        (5, [5]),
        (6, [6, 4]),
        (8, [8, 4]),
        (9, [9, 4]),
        (11, [11, 8, 4]),
        (30, [30, *range(28, 0, -4)]),
    ],
)
def test_reveals__from_a_root_down__open_the_odd_levels_first(depth: int, heights: list[int]) -> None:
    level, seen = depth, []
    while level:
        seen.append(level)
        level -= levels_opened(level)
    assert seen == heights
    assert reveals_needed(depth) == len(heights)


def test_children_count__at_a_leaf__is_one_and_elsewhere_a_power_of_two() -> None:
    assert [children_count(level) for level in range(9)] == [1, 2, 4, 8, 16, 32, 4, 8, 16]


def test_child__of_a_place__is_counted_from_the_left_of_its_tree() -> None:
    assert Place(3, 6, 1).child(2) == Place(3, 4, 6)
    assert Place(None, 4, 1).child(15) == Place(None, 0, 31)
    assert Place(None, 0, 5).is_leaf and not Place(None, 1, 5).is_leaf
