"""`bench dispute`: the gas and rounds of refuting one wrong element, on a development chain, both sides counted."""

from typing import Any

from oracle_node.chain.embedded import Engine
from oracle_node.demo.refutation import costliest, invent_lie, refute
from oracle_node.demo.stage import open_stage
from oracle_node.errors import ProtocolError
from oracle_node.executors.base import Executor
from oracle_node.model.model import Model
from oracle_node.model.solver import solve

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
    model: Model, executor: Executor, request: bytes, tensor: int | None = None, engine: Engine = "auto"
) -> dict[str, Any]:
    """Play a whole dispute over a wrong element of `tensor` (default: the one that is costliest to prove).

    Gas counts every transaction of both sides from opening the challenge to settlement; `seconds` is all computing, the
    chain's included. ProtocolError where the liar gets away.
    """
    chosen = costliest(model) if tensor is None else tensor
    truth = solve(model, executor, request)
    lie, lying = invent_lie(model, executor, request, truth, chosen)
    async with open_stage(model, engine) as stage:
        request_id = await stage.ask(request)
        played = await refute(stage, executor, request_id, request, lying)
    report = played.report
    if report.winner != "challenger":
        raise ProtocolError("the lying claim was not refuted: the challenger lost")
    return {
        "model_id": model.model_id,
        "instruction": lie.tensor,
        "opcode": model.tape.instructions[lie.tensor].opcode.name,
        "element": lie.element,
        "engine": stage.chain.engine,
        "rounds": report.rounds,
        "transactions": report.transactions,
        "gas_total": report.gas_total,
        "gas_step": report.gas_step,
        "gas_by_move": report.gas_by_move,
        "seconds": report.seconds,
        "reference": QUOTED_OPML,
    }
