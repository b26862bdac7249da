"""`bench dispute`: the gas and rounds of refuting one wrong element, on a development chain, both sides counted."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from oracle_node.chain.embedded import Engine
from oracle_node.demo.refutation import costliest, refute
from oracle_node.demo.stage import open_stage
from oracle_node.errors import ProtocolError
from oracle_node.executors.base import Executor
from oracle_node.game.knowledge import Knowledge
from oracle_node.model.model import Model
from oracle_node.model.solver import Claim, Draft, solve
from oracle_node.players.actors import knowledge_of
from oracle_node.players.adversaries import Lie, stand_by
from oracle_node.players.dispute import DisputeReport
from oracle_node.tape.instruction import Opcode, Reduction
from oracle_node.tape.region import Region
from oracle_node.tape.step import step_gas

QUOTED_OPML = {
    "system": "ora-io/opml, an MNIST perceptron 784-20-10",
    "quoted": True,
    "rounds": 24,
    "transactions": 48,
    "gas_total": 8_450_000,
    "seconds": 134.0,
}
"""Measured earlier, on its authors' code and two shared cores; quoted here, not run."""


async def bench_dispute(
    model: Model,
    executor: Executor,
    request: bytes,
    tensors: Sequence[int] | None = None,
    engine: Engine = "auto",
    draft: Draft | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Play a whole dispute over a wrong element of each of `tensors` (default: the one that is costliest to prove).

    The answer claimed is the true one, the trace behind it is wrong in that element. Gas counts every transaction of
    both sides from opening the challenge to settlement; `seconds` is all computing of the dispute: the watcher's trace,
    both sides' moves, the chain's own time. The figures are those of the dispute with the most gas; with several,
    `disputes` has each. ProtocolError where a liar gets away.
    """
    truth = solve(model, executor, request, draft)
    honest, traced = _traced(model, executor, request, truth.output, truth.witness)
    chosen = [costliest(model)] if tensors is None else tensors
    lies = [Lie(tensor, _middle(model, honest, tensor), carried=False) for tensor in chosen]
    stands = (Stand(_place(model, lie), honest, traced, lie) for lie in lies)
    return await _play(model, request, stands, engine, progress)


async def bench_claims(
    model: Model,
    executor: Executor,
    request: bytes,
    claims: Mapping[str, Claim],
    engine: Engine = "auto",
    progress: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """The same over wrong claims, each defended with a trace that is honest but for the claim itself."""

    def stands() -> Iterator[Stand]:
        for name, claim in claims.items():
            honest, traced = _traced(
                model, executor, request, claim.output.tobytes(), claim.witness.tobytes()
            )
            yield Stand({"lie": name}, honest, traced)

    return await _play(model, request, stands(), engine, progress)


@dataclass(frozen=True)
class Stand:
    """A claim to refute: what it is called, the watcher's view of it and how long that took, and a lie in its trace."""

    name: dict[str, Any]
    honest: Knowledge
    traced_s: float
    lie: Lie | None = None


def _traced(
    model: Model, executor: Executor, request: bytes, output: bytes, witness: bytes
) -> tuple[Knowledge, float]:
    start = perf_counter()
    honest = knowledge_of(model, executor, request, output, witness)
    honest.run()
    return honest, perf_counter() - start


async def _play(
    model: Model, request: bytes, stands: Iterable[Stand], engine: Engine, progress: Callable[[], None]
) -> dict[str, Any]:
    played = []
    async with open_stage(model, engine) as stage:
        for nonce, stand in enumerate(stands):
            lying = stand_by(model, stand.honest, stand.lie)
            refuted = await refute(stage, await stage.ask(request, nonce), stand.honest, lying)
            if refuted.report.winner != "challenger":
                raise ProtocolError(f"a wrong claim was not refuted: {stand.name}")
            played.append(stand.name | _figures(refuted.report, stand.traced_s))
            progress()
    worst = max(played, key=lambda dispute: int(dispute["gas_total"]))
    several = {"disputes": played} if len(played) > 1 else {}
    return {
        "model_id": model.model_id, **worst, "engine": stage.chain.engine, **several, "reference": QUOTED_OPML
    }  # fmt: skip


def _middle(model: Model, honest: Knowledge, tensor: int) -> int:
    return model.tape.instructions[tensor].count(honest.symbols) // 2


def _place(model: Model, lie: Lie) -> dict[str, Any]:
    opcode = model.tape.instructions[lie.tensor].opcode.name
    return {"instruction": lie.tensor, "opcode": opcode, "element": lie.element}


def _figures(report: DisputeReport, traced_s: float) -> dict[str, Any]:
    return {
        "rounds": report.rounds,
        "transactions": report.transactions,
        "gas_total": report.gas_total,
        "gas_step": report.gas_step,
        "gas_by_move": report.gas_by_move,
        "seconds": report.seconds + traced_s,
        "trace_seconds": traced_s,
    }


def answers(model: Model) -> set[int]:
    """The tensors that a claim itself shows: a lie about one of them is another claim."""
    tape = model.tape
    return {tape.output, tape.ok, *([] if tape.witness is None else [tape.witness])}


def each_kind(model: Model) -> list[int]:
    """One instruction of every kind, the costliest to prove; of REDUCE one for every way to reduce."""
    tape = model.tape
    region = Region(tape.sources, tape.inequalities, tape.derived)
    found: dict[tuple[Opcode, object], tuple[int, int]] = {}
    for index, instruction in enumerate(tape.instructions):
        if index in answers(model):
            continue
        tail = instruction.tail
        kind = (instruction.opcode, tail.reducer if isinstance(tail, Reduction) else None)
        cost = step_gas(instruction, region), index
        found[kind] = max(found.get(kind, cost), cost)
    return sorted(index for _, index in found.values())
