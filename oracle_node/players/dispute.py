"""Playing one dispute to its end on a chain, and what it cost."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from oracle_node.chain.client import OracleClient
from oracle_node.chain.events import ChallengeOpened
from oracle_node.chain.observe import observe_challenge, observe_claim
from oracle_node.chain.revert import RevertError
from oracle_node.chain.transactions import Receipt, Sender
from oracle_node.chain.types import ChallengeKey, ChallengeStatus, ClaimId
from oracle_node.errors import ProtocolError
from oracle_node.game.moves import Move, PostChunk, PostTrace, Prove, Reveal
from oracle_node.game.state import ChallengeState, ClaimState
from oracle_node.players.actors import Actor
from oracle_node.players.submission import call_of, name_of

Advance = Callable[[int], Awaitable[None]]
"""Lets that many seconds pass on a development chain."""


@dataclass(frozen=True)
class Seat:
    """A side of the dispute: who decides, and the key that sends."""

    role: str
    actor: Actor
    sender: Sender


@dataclass(frozen=True)
class PlayedMove:
    """A move that was mined."""

    role: str
    move: Move
    name: str
    gas_used: int
    calldata_bytes: int
    transaction_hash: bytes


@dataclass(frozen=True)
class DisputeReport:
    """What a dispute took. `rounds` counts the defender's answers; `gas_step` is the one that recomputes an element."""

    winner: str
    status: ChallengeStatus
    rounds: int
    transactions: int
    gas_total: int
    gas_step: int
    gas_by_move: dict[str, int]
    seconds: float
    moves: tuple[PlayedMove, ...] = field(repr=False)


async def play_dispute(
    client: OracleClient,
    claim_id: ClaimId,
    defender: Seat,
    challenger: Seat,
    *,
    on_move: Callable[[PlayedMove], None] | None = None,
    advance: Advance | None = None,
    first_block: int = 0,
) -> DisputeReport:
    """Play the challenger's first challenge of a claim until it is settled.

    `advance` lets clocks run out when nobody has anything to say; without it that is a ProtocolError.
    """
    bond_wei = await _challenge_bond(client, claim_id)
    start = time.perf_counter()
    played: list[PlayedMove] = []
    while True:
        claim, challenges = await _observe(client, claim_id, first_block)
        ours = [c for c in challenges if c.key.challenger == challenger.sender.address]
        if ours and not ours[0].is_active:
            return _report(ours[0], played, time.perf_counter() - start)
        now = (await client.head()).timestamp
        chosen = _next(claim, challenges, now, (defender, challenger))
        if chosen is not None:
            seat, move = chosen
            receipt = await seat.sender.send(call := call_of(client.calls, move, bond_wei))
            played.append(_played(seat, move, receipt, len(call.data)))
            if on_move is not None:
                on_move(played[-1])
            continue
        await _let_time_pass(client, claim_id, ours, now, advance)


async def _challenge_bond(client: OracleClient, claim_id: ClaimId) -> int:
    request = await client.request((await client.claim(claim_id)).request_id)
    return (await client.listing(request.listing_id)).policy.challenge_bond


async def _observe(
    client: OracleClient, claim_id: ClaimId, first_block: int
) -> tuple[ClaimState, list[ChallengeState]]:
    claim = await observe_claim(client, claim_id, first_block)
    opened = await client.past_events(["ChallengeOpened"], first_block=first_block)
    events = [
        e.event for e in opened if isinstance(e.event, ChallengeOpened) and e.event.claim_id == claim_id
    ]
    keys = [ChallengeKey(claim_id, event.challenger, event.nonce) for event in events]
    return claim, [await observe_challenge(client, key) for key in keys]


def _next(
    claim: ClaimState, challenges: Sequence[ChallengeState], now: int, seats: Sequence[Seat]
) -> tuple[Seat, Move] | None:
    for seat in seats:
        due = seat.actor.moves(claim, challenges, now)
        if due:
            return seat, due[0].move
    return None


async def _let_time_pass(
    client: OracleClient, claim_id: ClaimId, ours: Sequence[ChallengeState], now: int, advance: Advance | None
) -> None:
    """To the first second at which the player on turn has lost on time."""
    if not ours:
        raise ProtocolError(f"claim 0x{claim_id.hex()}: the challenger has nothing against it")
    limit = (await client.challenge(ours[0].key)).limit
    if advance is None or now > limit:
        raise ProtocolError(
            f"claim 0x{claim_id.hex()}: nobody moves at time {now}, the clock ends at {limit}"
        )
    await advance(limit + 1 - now)


def _played(seat: Seat, move: Move, receipt: Receipt, calldata_bytes: int) -> PlayedMove:
    return PlayedMove(
        seat.role, move, name_of(move), receipt.gas_used, calldata_bytes, receipt.transaction_hash
    )


def _report(challenge: ChallengeState, played: Sequence[PlayedMove], seconds: float) -> DisputeReport:
    gas: defaultdict[str, int] = defaultdict(int)
    for move in played:
        gas[move.name] += move.gas_used
    won = challenge.status is ChallengeStatus.WON
    return DisputeReport(
        winner="challenger" if won else "defender",
        status=challenge.status,
        rounds=sum(isinstance(move.move, PostTrace | Reveal | PostChunk) for move in played),
        transactions=len(played),
        gas_total=sum(gas.values()),
        gas_step=sum(move.gas_used for move in played if isinstance(move.move, Prove)),
        gas_by_move=dict(gas),
        seconds=seconds,
        moves=tuple(played),
    )


async def play_seat(
    client: OracleClient, claim_id: ClaimId, seat: Seat, *, poll_s: float = 1.0, first_block: int = 0
) -> None:
    """Make one side's moves as they come due, until the claim is decided and its challenges are settled.

    RevertError where somebody else was faster is no failure: the next look at the chain decides anew.
    """
    bond_wei = await _challenge_bond(client, claim_id)
    while True:
        claim, challenges = await _observe(client, claim_id, first_block)
        if claim.status.is_decided and not any(challenge.is_active for challenge in challenges):
            return
        now = (await client.head()).timestamp
        due = seat.actor.moves(claim, challenges, now)
        try:
            for move in (d.move for d in due):
                await seat.sender.send(call_of(client.calls, move, bond_wei))
        except RevertError:
            due = []
        if not due:
            await asyncio.sleep(poll_s)
