"""What workers are asked for. Tasks and their results are plain values: they cross to other processes and machines."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from oracle_node.game.judge import Verdict, judge
from oracle_node.game.moves import Due
from oracle_node.game.state import ChallengeState, ClaimState
from oracle_node.game.strategy import Player, challenger_moves, defender_moves
from oracle_node.model.solver import Answer, solve
from oracle_node.workers.bench import Content, Workbench

T_co = TypeVar("T_co", covariant=True)


class Task(ABC, Generic[T_co]):
    """One piece of work on one model."""

    is_urgent = False
    """Whether a clock runs: such a task goes first, and never waits for an answer that is being found."""

    @abstractmethod
    def run(self, bench: Workbench) -> T_co:
        """Do it, in the worker."""

    @property
    def content(self) -> Content | None:
        """The claim that the task is about: a worker that knows it already is preferred."""
        return None


@dataclass(frozen=True)
class Solve(Task[Answer]):
    """Find the answer to a request; errors as `solve`."""

    model_id: bytes
    request: bytes = field(repr=False)

    def run(self, bench: Workbench) -> Answer:
        shelved = bench.shelf[self.model_id]
        return solve(shelved.model, shelved.executor, self.request, shelved.draft)


@dataclass(frozen=True)
class Judge(Task[Verdict]):
    """Check a claim; errors as `judge`."""

    about: Content
    is_urgent = True

    def run(self, bench: Workbench) -> Verdict:
        return judge(bench.knowledge(self.about))

    @property
    def content(self) -> Content:
        return self.about


class Side(Enum):
    """Of a dispute."""

    DEFENDER = "defender"
    CHALLENGER = "challenger"


@dataclass(frozen=True)
class Decide(Task[list[Due]]):
    """The moves that are due in the disputes about a claim; errors as the strategy's functions."""

    side: Side
    about: Content
    claim: ClaimState
    challenges: tuple[ChallengeState, ...]
    player: Player
    now: int
    is_urgent = True

    def run(self, bench: Workbench) -> list[Due]:
        decide = defender_moves if self.side is Side.DEFENDER else challenger_moves
        return decide(self.claim, self.challenges, bench.knowledge(self.about), self.player, self.now)

    @property
    def content(self) -> Content:
        return self.about
