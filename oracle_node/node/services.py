"""The node's loops: one follows the chain, one for each role decides on every snapshot and starts what is due."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from oracle_node.chain.revert import RevertError
from oracle_node.config import MoneyConfig, RolesConfig
from oracle_node.errors import ConfigError, ProtocolError, TransientError
from oracle_node.node import duties
from oracle_node.node.board import Board
from oracle_node.node.duties import Duty
from oracle_node.node.effects import Effects
from oracle_node.node.ledger import Ledger
from oracle_node.node.metrics import Metrics
from oracle_node.node.pulse import Pulse
from oracle_node.node.snapshot import Memory, Snapshot

Decide = Callable[[Snapshot, Memory, MoneyConfig], list[Duty]]
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 120.0
_LONGEST_WAIT_FOR_CHAIN_S = 15.0
_OVERTAKEN = frozenset(
    {
        "AlreadyDelivered", "AlreadyRevealed", "ChallengeExists", "ChallengeNotActive", "ClaimExists",
        "ClaimNotIn", "RequestNotIn", "StaleNode", "TraceAlreadyPosted",
    }
)  # fmt: skip
"""What the contract says where somebody, or an earlier run of this node, has done it already."""
log = structlog.get_logger()


@dataclass(frozen=True)
class Role:
    """A named set of duties."""

    name: str
    decide: Decide


def roles_of(config: RolesConfig) -> list[Role]:
    """The roles that are switched on."""
    decisions: dict[str, Decide] = {
        "answer": duties.answering,
        "defend": duties.defending,
        "settle": duties.settling,
        "early": duties.telling_early,
        "watch": duties.watching,
        "challenge": duties.challenging,
    }
    if config.challenge and not config.watch:
        raise ConfigError("roles.challenge needs roles.watch: only a claim that was checked is challenged")
    return [Role(name, decide) for name, decide in decisions.items() if getattr(config, name)]


async def follow(
    ledger: Ledger, board: Board, pulse: Pulse, metrics: Metrics, nudge: asyncio.Event, poll_s: float
) -> None:
    """Read the chain into snapshots, again and again; a dead RPC is waited for."""
    pause_s = poll_s
    while True:
        try:
            step = await ledger.advance()
            pulse.beat("follow")
            if step.rolled_back_to is not None:
                metrics.reorganised()
                log.warning("reorg", back_to_block=step.rolled_back_to)
            if not step.caught_up:
                continue
            start = time.monotonic()
            snapshot = await ledger.snapshot(step)
            metrics.saw(snapshot, time.monotonic() - start)
            await board.post(snapshot)
            pause_s = poll_s
        except TransientError as error:
            metrics.failed_to_read()
            log.warning("chain_unavailable", reason=str(error), again_in_s=round(pause_s, 1))
            pause_s = min(pause_s * 2, max(_LONGEST_WAIT_FOR_CHAIN_S, poll_s))
        await _sleep_until(nudge, pause_s)


async def _sleep_until(nudge: asyncio.Event, seconds: float) -> None:
    # SAFETY: not wait_for, which in Python 3.11 swallows a cancellation that arrives together with the result
    try:
        async with asyncio.timeout(seconds):
            await nudge.wait()
    except TimeoutError:
        return
    nudge.clear()


class RoleLoop:
    """Runs one role: each duty once at a time, and after a failure only when a growing pause is over."""

    def __init__(
        self,
        role: Role,
        money: MoneyConfig,
        effects: Effects,
        board: Board,
        pulse: Pulse,
        metrics: Metrics,
        nudge: asyncio.Event,
    ) -> None:
        self._role, self._money, self._effects = role, money, effects
        self._board, self._pulse, self._metrics, self._nudge = board, pulse, metrics, nudge
        self._in_hand: set[Duty] = set()
        self._failures: dict[Duty, int] = {}
        self._not_before: dict[Duty, float] = {}

    async def run(self) -> None:
        """Until cancelled. DeterminismError and unexpected errors end it, and with it the node."""
        version = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                version, snapshot = await self._board.newer_than(version)
                self._pulse.beat(self._role.name)
                due = self._role.decide(snapshot, self._effects.memory(snapshot), self._money)
                self._forget_all_but(due)
                for duty in due:
                    if duty not in self._in_hand and time.monotonic() >= self._not_before.get(duty, 0):
                        self._in_hand.add(duty)
                        tasks.create_task(self._do(duty, snapshot))

    async def _do(self, duty: Duty, snapshot: Snapshot) -> None:
        name = type(duty).__name__
        try:
            block = await self._effects.perform(duty, snapshot)
            self._failures.pop(duty, None)
            self._metrics.did(name, "done")
            self._nudge.set()
            await self._board.at_block(block)
        except (TransientError, RevertError, ConfigError) as error:
            if isinstance(error, RevertError) and error.name in _OVERTAKEN and duty not in self._failures:
                # done: the next snapshot shows it; if it does not, the next attempt fails like any other
                self._failures[duty] = 0
                self._metrics.did(name, "overtaken")
                log.info("duty_overtaken", duty=name, reason=str(error))
                return
            pause_s = self._back_off(duty)
            self._metrics.did(name, "failed")
            log.warning("duty_failed", duty=name, reason=str(error), again_in_s=round(pause_s, 1))
        except ProtocolError as error:
            self._metrics.did(name, "abandoned")
            log.error("duty_abandoned", duty=name, reason=str(error))
            self._abandon(duty)
        finally:
            self._in_hand.discard(duty)

    def _abandon(self, duty: Duty) -> None:
        match duty:
            case duties.Judge(claim_id) | duties.Defend(claim_id) | duties.Challenge(claim_id):
                self._effects.abandon(claim_id)
            case _:
                self._back_off(duty)

    def _back_off(self, duty: Duty) -> float:
        failures = self._failures.get(duty, 0)
        pause_s = min(_FIRST_PAUSE_S * (1 << min(failures, 10)), _LONGEST_PAUSE_S)
        self._failures[duty] = failures + 1
        self._not_before[duty] = time.monotonic() + pause_s
        return pause_s

    def _forget_all_but(self, due: list[Duty]) -> None:
        for duty in self._failures.keys() - set(due):
            self._failures.pop(duty)
            self._not_before.pop(duty, None)
