"""Who moves in a dispute: an actor decides, from what the chain says, what its side does now."""

from collections.abc import Sequence
from typing import Protocol

from oracle_node.executors.base import Executor
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.moves import Due
from oracle_node.game.state import ChallengeState, ClaimState
from oracle_node.game.strategy import Player, challenger_moves, defender_moves
from oracle_node.model.model import Model


class Actor(Protocol):
    """One side of a dispute."""

    def moves(self, claim: ClaimState, challenges: Sequence[ChallengeState], now: int) -> list[Due]:
        """What to send now, at block time `now`."""
        ...


class Defender:
    """Answers for a claim with a trace: the honest claimant with its own, a liar with the trace of its lie."""

    def __init__(self, knowledge: Knowledge, player: Player) -> None:
        self._knowledge, self._player = knowledge, player

    def moves(self, claim: ClaimState, challenges: Sequence[ChallengeState], now: int) -> list[Due]:
        return defender_moves(claim, challenges, self._knowledge, self._player, now)


class Challenger:
    """Opens a challenge and plays it down to the wrong element."""

    def __init__(self, knowledge: Knowledge, player: Player) -> None:
        self._knowledge, self._player = knowledge, player

    def moves(self, claim: ClaimState, challenges: Sequence[ChallengeState], now: int) -> list[Due]:
        return challenger_moves(claim, challenges, self._knowledge, self._player, now)


def knowledge_of(
    model: Model, executor: Executor, request: bytes, output: bytes, witness: bytes = b""
) -> Knowledge:
    """What an honest party knows of a claim: the tape's own trace on the claim's bytes; computed when first needed."""
    sources = model.sources(request, output, witness)
    return Knowledge(model.tape, executor, model.symbols(sources), sources, weight_roots=model.weight_roots)
