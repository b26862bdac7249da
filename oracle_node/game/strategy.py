"""What should I do now? A pure function of what the chain says, what we know, and the time; sending is elsewhere.

Use it on every block, or when `wake_at` has passed: moves already sent but not yet mined are returned again, so the
sender keeps one transaction in flight a move (moves are values: compare them). Whether a claim is right is for `judge`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from oracle_node.errors import DeterminismError, ProtocolError
from oracle_node.game.clocks import Dispute, Turn, answer, clock, dispute
from oracle_node.game.geometry import Place
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.moves import (
    Close,
    Due,
    InstructionProof,
    Move,
    Open,
    Pick,
    PostChunk,
    PostTrace,
    Prove,
    Reveal,
    Step,
    Timeout,
)
from oracle_node.game.proof import prove_chunk
from oracle_node.game.state import ChallengeKey, ChallengeState, ClaimState, ClaimStatus


@dataclass(frozen=True, slots=True)
class Player:
    """Who we are on chain.

    `nonce` names the challenge that we open; `delegate_of` are challengers whose picks we may make.
    """

    address: str
    nonce: int = 0
    delegate_of: frozenset[str] = frozenset()

    def plays(self, challenger: str) -> bool:
        """Whether that challenger's picks are ours to make."""
        return challenger == self.address or challenger in self.delegate_of


def challenger_moves(
    claim: ClaimState, challenges: Iterable[ChallengeState], knowledge: Knowledge, player: Player, now: int
) -> list[Due]:
    """Moves against a claim that `judge` found wrong: open our own challenge, then play it to the end.

    DeterminismError and ProtocolError as `prove_chunk`; `now` is the time of the block that the moves should get into.
    """
    ours = [challenge for challenge in challenges if player.plays(challenge.key.challenger)]
    if claim.status is ClaimStatus.PROPOSED and not any(c.key.challenger == player.address for c in ours):
        return [Due(Open(claim.claim_id, player.nonce), claim.window_end)] if now <= claim.window_end else []
    moves = (_challenger_move(claim, challenge, knowledge, now) for challenge in ours if challenge.is_active)
    return [due for due in moves if due is not None]


def defender_moves(
    claim: ClaimState, challenges: Iterable[ChallengeState], knowledge: Knowledge, player: Player, now: int
) -> list[Due]:
    """Moves for a claim that `judge` found right, made by us or (but for the trace root) by anyone else.

    One move serves all challenges at the same node; it carries the earliest of their limits.
    """
    limits: dict[Move, int | None] = {}
    for challenge in challenges:
        due = _defender_move(claim, challenge, knowledge, player, now)
        if due is not None:
            earlier = limits.get(due.move)
            limits[due.move] = due.limit if earlier is None else min(earlier, due.limit or earlier)
    return [Due(move, limit) for move, limit in limits.items()]


def wake_at(
    claim: ClaimState, challenges: Iterable[ChallengeState], instruction_count: int, now: int
) -> int | None:
    """The next time at which a timeout becomes valid without anybody moving."""
    limits = [clock(claim, challenge, instruction_count) for challenge in challenges]
    return min((c.limit + 1 for c in limits if c.turn is not Turn.NOBODY and c.limit >= now), default=None)


def _challenger_move(
    claim: ClaimState, challenge: ChallengeState, knowledge: Knowledge, now: int
) -> Due | None:
    if claim.status.is_decided:
        return Due(Close(challenge.key), None)
    count = len(knowledge.tape.instructions)
    timer = clock(claim, challenge, count)
    if timer.turn is Turn.DEFENDER and timer.is_out(now):
        return Due(Timeout(challenge.key), None)
    current = dispute(claim, challenge, count)
    if current is None or not timer.allows(Turn.CHALLENGER, now):
        return None
    place = current.place
    if place.tensor is not None and place.is_leaf:
        record = answer(claim, current, count)
        assert record is not None
        proof = prove_chunk(claim, knowledge, place.tensor, place.position, record.chunk)
        return Due(Prove(challenge.key, current.node, proof), timer.limit)
    return Due(_descend(claim, challenge.key, current, knowledge), timer.limit)


def _descend(claim: ClaimState, key: ChallengeKey, current: Dispute, knowledge: Knowledge) -> Pick:
    """Pick the first difference at every level that is revealed already, down to a leaf of the present tree."""
    node, place, byte_length, steps = current.node, current.place, current.byte_length, list[Step]()
    while not place.is_leaf:
        record = claim.records.get(Dispute(node, place, byte_length).key)
        if record is None:
            break
        index = _first_difference(record.children, knowledge, place)
        steps.append(Step(record.children, index))
        node, place = record.children[index], place.child(index)
    naming = InstructionProof()
    if place.tensor is None and place.is_leaf:
        if place.position >= len(knowledge.tape.instructions):
            raise ProtocolError(
                f"claim {claim.claim_id.hex()} differs from our trace only past its last tensor"
            )
        naming = InstructionProof(*knowledge.encoded(place.position))
    return Pick(key, current.node, tuple(steps), naming)


def _first_difference(children: tuple[bytes, ...], knowledge: Knowledge, place: Place) -> int:
    ours = knowledge.children(place)
    for index, (theirs, mine) in enumerate(zip(children, ours, strict=True)):
        if theirs != mine:
            return index
    raise DeterminismError(
        f"the claim agrees with our trace at {place}, yet its answer was judged wrong; abstaining"
    )


def _defender_move(
    claim: ClaimState, challenge: ChallengeState, knowledge: Knowledge, player: Player, now: int
) -> Due | None:
    count = len(knowledge.tape.instructions)
    timer = clock(claim, challenge, count)
    if timer.turn is Turn.CHALLENGER and timer.is_out(now):
        return Due(Timeout(challenge.key), None)
    if not timer.allows(Turn.DEFENDER, now):
        return None
    current = dispute(claim, challenge, count)
    if current is None:
        return Due(_post_trace(claim, knowledge), timer.limit) if claim.claimant == player.address else None
    return Due(_show(claim, current, knowledge), timer.limit)


def _post_trace(claim: ClaimState, knowledge: Knowledge) -> PostTrace:
    tape, tree = knowledge.tape, knowledge.trace.tree
    paths = {index: tree.path(index) for index in (tape.output, tape.ok, tape.witness) if index is not None}
    for index in paths:
        knowledge.require_sound(index, 0)
    witness_path = () if tape.witness is None else paths[tape.witness]
    return PostTrace(claim.claim_id, tree.root, paths[tape.output], witness_path, paths[tape.ok])


def _show(claim: ClaimState, current: Dispute, knowledge: Knowledge) -> Reveal | PostChunk:
    """What the trace holds under the current node; ProtocolError where the claim's trace is not ours."""
    place = current.place
    if knowledge.node(place) != current.node:
        raise ProtocolError(
            f"claim {claim.claim_id.hex()} has another trace than ours at {place}: not ours to defend"
        )
    tag = current.key.length_tag
    if place.tensor is not None and place.is_leaf:
        knowledge.require_sound(place.tensor, place.position)
        chunk = knowledge.chunk(place.tensor, place.position).rstrip(b"\0")
        return PostChunk(claim.claim_id, current.node, tag, chunk)
    return Reveal(claim.claim_id, current.node, tag, knowledge.children(place))
