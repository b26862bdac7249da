"""A lying claim and the game that refutes it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from oracle_node.chain.events import ChallengeOpened
from oracle_node.chain.observe import observe_challenge, observe_claim
from oracle_node.chain.types import ChallengeKey, ClaimId, RequestId
from oracle_node.demo.stage import POLL_S, Stage
from oracle_node.errors import ConfigError
from oracle_node.executors.base import Executor
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.strategy import Player
from oracle_node.model.model import Model
from oracle_node.model.solver import Answer
from oracle_node.players.actors import Challenger, Defender
from oracle_node.players.adversaries import Lie, LyingClaim, tell_lies
from oracle_node.players.dispute import DisputeReport, Seat, play_dispute
from oracle_node.players.submission import call_of
from oracle_node.tape.instruction import Instruction, Opcode
from oracle_node.tape.region import Region
from oracle_node.tape.step import step_bytes

_ATTEMPTS = 64


@dataclass(frozen=True)
class Refutation:
    """A dispute that was played to its end."""

    claim_id: ClaimId
    report: DisputeReport


async def refute(stage: Stage, request_id: RequestId, honest: Knowledge, lying: LyingClaim) -> Refutation:
    """The liar claims, the watcher challenges, both play until the chain decides; `honest` is the watcher's view."""
    claim_id = await stage.claim("liar", request_id, lying.output, lying.witness)
    liar, watcher = stage.senders["liar"], stage.senders["watcher"]
    report = await play_dispute(
        stage.client,
        claim_id,
        Seat("liar", Defender(lying.knowledge, Player(liar.address)), liar),
        Seat("watcher", Challenger(honest, Player(watcher.address)), watcher),
        advance=stage.chain.advance,
        first_block=stage.deployment.block,
    )
    return Refutation(claim_id, report)


async def keep_lying(stage: Stage, claim_id: ClaimId, lying: LyingClaim) -> None:
    """Answer every challenge of the liar's claim, consistently with the lie, until the claim is decided."""
    sender = stage.senders["liar"]
    defender = Defender(lying.knowledge, Player(sender.address))
    first_block = stage.deployment.block
    while not (claim := await observe_claim(stage.client, claim_id, first_block)).status.is_decided:
        opened = await stage.client.past_events(["ChallengeOpened"], first_block=first_block)
        keys = [
            ChallengeKey(claim_id, entry.event.challenger, entry.event.nonce)
            for entry in opened
            if isinstance(entry.event, ChallengeOpened) and entry.event.claim_id == claim_id
        ]
        challenges = [await observe_challenge(stage.client, key) for key in keys]
        for due in defender.moves(claim, challenges, (await stage.client.head()).timestamp):
            await sender.send(call_of(stage.client.calls, due.move))
        await asyncio.sleep(POLL_S)


def invent_lie(
    model: Model,
    executor: Executor,
    request: bytes,
    truth: Answer,
    tensor: int,
    wanted: Callable[[bytes], bool] | None = None,
) -> tuple[Lie, LyingClaim]:
    """One wrong element of a tensor, from its middle on, that makes the answer another one (one that is `wanted`).

    ConfigError where none of some dozens does.
    """
    for lie in _lies(model, executor, request, truth, tensor):
        lying = tell_lies(model, executor, request, truth.output, truth.witness, [lie])
        if (lying.output, lying.witness) != (truth.output, truth.witness) and (
            wanted is None or wanted(lying.output)
        ):
            return lie, lying
    raise ConfigError(
        f"no single wrong element of tensor {tensor} was found that changes the answer as wanted"
    )


def _lies(model: Model, executor: Executor, request: bytes, truth: Answer, tensor: int) -> Iterator[Lie]:
    """Larger and larger changes of the tensor's elements, starting in the middle."""
    sources = model.sources(request, truth.output, truth.witness)
    values = executor.run(model.symbols(sources), sources, [tensor])[tensor].reshape(-1)
    order = np.roll(np.arange(values.size), -(values.size // 2))
    largest = np.abs(values.astype(np.float64)).max() or 1.0
    for scale in (0.25, 1.0, 4.0):
        for element in order[: _ATTEMPTS // 2]:
            told = float(values[element]) + max(largest * scale, 1.0)
            if values.dtype.kind != "f":
                told = min(int(told), int(np.iinfo(values.dtype).max))
            yield Lie(tensor, int(element), bits=np.asarray(told, values.dtype).tobytes())


def costliest(model: Model) -> int:
    """The computed instruction whose proof of one element takes the most calldata at the limits."""
    tape = model.tape
    region = Region(tape.sources, tape.inequalities, tape.derived)
    answers = {tape.output, tape.witness, tape.ok}
    computed = [i for i, step in enumerate(tape.instructions) if _is_computed(step) and i not in answers]
    return max(computed, key=lambda i: step_bytes(tape.instructions[i], region, len(tape.instructions)))


def _is_computed(instruction: Instruction) -> bool:
    return instruction.opcode not in (Opcode.INPUT, Opcode.CONST)
