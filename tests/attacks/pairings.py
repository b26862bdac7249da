"""Casts of a dispute: claimants and challengers of every character, and a clockwork that lets them play to the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oracle_node.chain.events import ChallengeOpened
from oracle_node.chain.observe import observe_challenge, observe_claim
from oracle_node.chain.revert import RevertError
from oracle_node.chain.types import ChallengeKey, ChallengeStatus, ClaimId, ClaimStatus
from oracle_node.errors import DeterminismError, ProtocolError
from oracle_node.game.clocks import Turn, clock
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.moves import Due, Open
from oracle_node.game.state import ChallengeState, ClaimState
from oracle_node.game.strategy import Player
from oracle_node.model.solver import Answer
from oracle_node.players.actors import Actor, Challenger, Defender
from oracle_node.players.adversaries import Lie, LyingClaim, RandomPicker, Silent, tell_lies
from oracle_node.players.dispute import Seat
from oracle_node.players.submission import call_of
from tests.e2e.arena import Arena, toy, toy_answer, toy_input

LATE_S = 15
"""How long before a limit the slow make their moves."""
SYBILS = 4


class Slow:
    """Makes another's moves in the last moment."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def moves(self, claim: ClaimState, challenges: Sequence[ChallengeState], now: int) -> list[Due]:
        due = self._actor.moves(claim, challenges, now)
        return [d for d in due if d.limit is None or now >= d.limit - LATE_S]


class Opener:
    """Opens a challenge, and nothing more."""

    def __init__(self, player: Player) -> None:
        self._player = player

    def moves(self, claim: ClaimState, challenges: Sequence[ChallengeState], now: int) -> list[Due]:
        if any(c.key.challenger == self._player.address for c in challenges) or now > claim.window_end:
            return []
        return [Due(Open(claim.claim_id, self._player.nonce), claim.window_end)]


class Shameless:
    """Plays on until its own tools say that there is nothing to prove."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def moves(self, claim: ClaimState, challenges: Sequence[ChallengeState], now: int) -> list[Due]:
        try:
            return self._actor.moves(claim, challenges, now)
        except (DeterminismError, ProtocolError):
            return []


@dataclass(frozen=True)
class Claimed:
    """A claim with who plays for it."""

    answer: Answer | LyingClaim
    knowledge: Knowledge
    is_true: bool

    @property
    def output(self) -> bytes:
        return self.answer.output


def claimed(arena: Arena, character: str) -> Claimed:
    """What a claimant of that character claims: the truth, or a lie that is carried to the end."""
    truth = toy_answer()
    if character.endswith("honest"):
        return Claimed(truth, arena.knowledge(truth.output), True)
    lies = [Lie(9, 2)]
    told = tell_lies(arena.model, toy().executor, toy_input(), truth.output, truth.witness, lies)
    return Claimed(told, told.knowledge, False)


def claimant(arena: Arena, character: str, claim: Claimed) -> Seat:
    """honest · slow honest · lying · slow lying · silent lying"""
    actor: Actor = Defender(claim.knowledge, Player(arena.claimant.address))
    if character.startswith("slow"):
        actor = Slow(actor)
    if character.startswith("silent"):
        actor = Silent()
    return Seat("defender", actor, arena.claimant)


def challengers(arena: Arena, cast: str, claim: Claimed) -> list[Seat]:
    """The challengers of a cast: its characters, joined by " and "."""
    seats = [seat for name in cast.split(" and ") for seat in CHARACTERS[name](arena, claim)]
    # the slow come last, so that the others have opened before
    return sorted(seats, key=lambda seat: isinstance(seat.actor, Slow))


def _nobody(arena: Arena, claim: Claimed) -> list[Seat]:
    return []


def _watcher(arena: Arena, claim: Claimed) -> Seat:
    known = arena.knowledge(claim.output)
    return Seat("honest", Challenger(known, Player(arena.challenger.address)), arena.challenger)


def _honest(arena: Arena, claim: Claimed) -> list[Seat]:
    """Challenges lies alone."""
    return [] if claim.is_true else [_watcher(arena, claim)]


def _slow_honest(arena: Arena, claim: Claimed) -> list[Seat]:
    return [Seat("honest", Slow(seat.actor), seat.sender) for seat in _honest(arena, claim)]


def _silent(arena: Arena, claim: Claimed) -> list[Seat]:
    return [Seat("silent", Opener(Player(arena.stranger.address)), arena.stranger)]


def _spamming(arena: Arena, claim: Claimed) -> list[Seat]:
    picker = RandomPicker(arena.knowledge(claim.output), Player(arena.stranger.address), seed=3)
    return [Seat("spammer", Shameless(picker), arena.stranger)]


def _lying(arena: Arena, claim: Claimed) -> list[Seat]:
    """Holds a lie of its own for the truth."""
    truth = toy_answer()
    other = tell_lies(arena.model, toy().executor, toy_input(), truth.output, truth.witness, [Lie(9, 4)])
    actor = Shameless(Challenger(other.knowledge, Player(arena.stranger.address)))
    return [Seat("liar", actor, arena.stranger)]


def _sybil(arena: Arena, claim: Claimed) -> list[Seat]:
    """A crowd with one mind, and an account each."""
    seats = []
    for seed, account in enumerate(arena.chain.accounts[5 : 5 + SYBILS]):
        sender = arena.client.sender(account)
        picker = RandomPicker(arena.knowledge(claim.output), Player(sender.address), seed)
        seats.append(Seat("sybil", Shameless(picker), sender))
    return seats


CHARACTERS: dict[str, Callable[[Arena, Claimed], list[Seat]]] = {
    "nobody": _nobody,
    "honest": _honest,
    "slow honest": _slow_honest,
    "silent": _silent,
    "spamming": _spamming,
    "lying": _lying,
    "sybil": _sybil,
}


async def observe(arena: Arena, claim_id: ClaimId) -> tuple[ClaimState, list[ChallengeState]]:
    """The claim and all of its challenges."""
    events = [e.event for e in await arena.client.past_events(["ChallengeOpened"], topic=None)]
    keys = [
        ChallengeKey(claim_id, e.challenger, e.nonce)
        for e in events
        if isinstance(e, ChallengeOpened) and e.claim_id == claim_id
    ]
    states = [await observe_challenge(arena.client, key) for key in keys]
    return await observe_claim(arena.client, claim_id), states


async def play_out(arena: Arena, claim_id: ClaimId, seats: Sequence[Seat]) -> int:
    """Let everybody move whenever he wants to, time pass when nobody does, and finality come; when it was decided."""
    while True:
        claim, challenges = await observe(arena, claim_id)
        now = (await arena.client.head()).timestamp
        if claim.status.is_decided:
            break
        final_at = await arena.client.final_at(claim_id)
        if now >= final_at:
            await arena.requester.send(arena.client.calls.finalize(claim_id))
            continue
        if not await _move(arena, claim, challenges, seats, now):
            await arena.advance_past(_next_moment(claim, challenges, final_at, now) - 1)
    for challenge in challenges:
        if challenge.is_active:
            await arena.requester.send(arena.client.calls.close(challenge.key))
    return now


async def _move(
    arena: Arena, claim: ClaimState, challenges: Sequence[ChallengeState], seats: Sequence[Seat], now: int
) -> bool:
    """Everybody's first move; whether anybody made one."""
    moved = False
    for seat in seats:
        for due in seat.actor.moves(claim, challenges, now)[:1]:
            try:
                await seat.sender.send(call_of(arena.client.calls, due.move, arena.policy.challenge_bond))
            except RevertError:
                continue  # somebody was faster: all look again
            moved = True
    return moved


def _next_moment(claim: ClaimState, challenges: Sequence[ChallengeState], final_at: int, now: int) -> int:
    """When next somebody may change his mind."""
    count = len(toy().model.tape.instructions)
    clocks = [clock(claim, challenge, count) for challenge in challenges]
    limits = [c.limit for c in clocks if c.turn is not Turn.NOBODY]
    moments = [final_at, claim.window_end - LATE_S]
    moments += [moment for limit in limits for moment in (limit - LATE_S, limit + 1)]
    return min(moment for moment in moments if moment > now)


def expected(character: str, cast: str) -> ClaimStatus:
    """Lies fall to one honest challenger; also to a liar who has the element at issue right, whatever else he says."""
    is_true = character.endswith("honest")
    is_watched = "honest" in cast or "lying" in cast
    return ClaimStatus.FINALIZED if is_true or not is_watched else ClaimStatus.REFUTED


SETTLED_WELL = {ChallengeStatus.WON, ChallengeStatus.VOID}
"""How an honest challenge may end."""
