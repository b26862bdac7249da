"""Whose turn it is in a challenge and until when, as the contract computes it (docs/protocol.md §3).

A move is valid iff now ≤ limit, a timeout iff now > limit.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

from oracle_node.commitments.merkle import depth
from oracle_node.commitments.tensor import chunk_count
from oracle_node.game.geometry import NO_LENGTH, Place, children_count
from oracle_node.game.state import ChallengeState, ClaimState, ClaimStatus, NodeKey, Record


class Turn(IntEnum):
    """As `Turn` of the contract."""

    NOBODY = 0
    DEFENDER = 1
    CHALLENGER = 2


@dataclass(frozen=True, slots=True)
class Clock:
    """The player on turn and the last block time at which it may move."""

    turn: Turn
    limit: int

    def allows(self, turn: Turn, now: int) -> bool:
        """Whether that player may move now."""
        return self.turn is turn and now <= self.limit

    def is_out(self, now: int) -> bool:
        """Whether `timeout` is valid now."""
        return self.turn is not Turn.NOBODY and now > self.limit


@dataclass(frozen=True, slots=True)
class Dispute:
    """The node a challenge stands at: its hash and its place."""

    node: bytes
    place: Place
    byte_length: int

    @property
    def key(self) -> NodeKey:
        """The record that answers it."""
        is_root = self.place.tensor is not None and self.place.level == depth(chunk_count(self.byte_length))
        count = 0 if self.place.is_leaf else children_count(self.place.level)
        return NodeKey(self.node, self.byte_length if is_root else NO_LENGTH, count)


def dispute(claim: ClaimState, challenge: ChallengeState, instruction_count: int) -> Dispute | None:
    """The current node, which is the trace root before the first pick; None without a trace root."""
    if challenge.node is not None:
        return Dispute(challenge.node, challenge.place, challenge.byte_length)
    if claim.trace_root is None:
        return None
    return Dispute(claim.trace_root, Place(None, depth(instruction_count), 0), 0)


def answer(claim: ClaimState, current: Dispute, instruction_count: int) -> Record | None:
    """The defender's answer at the current node.

    In a trace of one tensor it is the trace itself. A trace root revealed before it was posted counts from the post.
    """
    if current.place != Place(None, depth(instruction_count), 0):
        return claim.records.get(current.key)
    if current.place.is_leaf:
        return Record(claim.trace_time)
    record = claim.records.get(current.key)
    return None if record is None else replace(record, time=max(record.time, claim.trace_time))


def clock(claim: ClaimState, challenge: ChallengeState, instruction_count: int) -> Clock:
    """Whose clock runs, and its limit.

    An answer that came after the defender's limit does not count: the challenger may claim the timeout.
    """
    if not challenge.is_active or claim.status is not ClaimStatus.PROPOSED:
        return Clock(Turn.NOBODY, 0)
    defender_limit = challenge.since + challenge.defender_left
    current = dispute(claim, challenge, instruction_count)
    record = None if current is None else answer(claim, current, instruction_count)
    if record is None or record.time > defender_limit:
        return Clock(Turn.DEFENDER, defender_limit)
    return Clock(Turn.CHALLENGER, max(record.time, challenge.since) + challenge.challenger_left)
