"""What transactions pay and how long they wait, by how much is left of the clock that they race."""

from dataclasses import dataclass

_CALM_S = 900.0
"""With so much time left nothing is urgent."""
_MOST_TIPS = 10
_WAITS_LEFT = 8
"""Replacements for which there must still be time."""


@dataclass(frozen=True)
class FeePolicy:
    """EIP-1559 fees: twice the base fee plus a tip, under a cap; replaced with more after a while.

    A transaction with a deadline pays up to ten times the usual tip, and is replaced sooner, the less time is left.
    """

    max_fee_per_gas_wei: int = 500 * 10**9
    poll_s: float = 0.05
    replace_after_s: float = 60.0
    retry_within_s: float = 30.0
    most_in_flight: int = 64
    """Transactions of one key that wait to be mined; public mempools drop more."""

    def tip_wei(self, usual_wei: int, left_s: float | None) -> int:
        """The tip with so many seconds left (None: no deadline)."""
        if left_s is None or left_s >= _CALM_S:
            return usual_wei
        return usual_wei * min(_MOST_TIPS, int(_CALM_S / max(left_s, 1.0)))

    def patience_s(self, left_s: float | None) -> float:
        """How long to wait for a receipt before paying more."""
        if left_s is None:
            return self.replace_after_s
        return min(self.replace_after_s, max(left_s / _WAITS_LEFT, self.poll_s * 4))
