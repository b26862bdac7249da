"""Fees: the less time is left, the higher the tip and the sooner the replacement."""

import pytest

from oracle_node.chain.fees import FeePolicy

FEES = FeePolicy(replace_after_s=60, poll_s=1)


@pytest.mark.parametrize(
    ("left_s", "tips"), [(None, 1), (3600, 1), (900, 1), (450, 2), (300, 3), (90, 10), (5, 10), (-3, 10)]
)
def test_tip__with_time_left__grows_tenfold_at_most(left_s: float | None, tips: int) -> None:
    assert FEES.tip_wei(7, left_s) == 7 * tips


@pytest.mark.parametrize(("left_s", "wait_s"), [(None, 60), (3600, 60), (240, 30), (80, 10), (8, 4), (-1, 4)])
def test_patience__with_time_left__is_an_eighth_of_it(left_s: float | None, wait_s: float) -> None:
    assert FEES.patience_s(left_s) == wait_s
