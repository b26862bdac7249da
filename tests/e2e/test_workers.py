"""Nodes whose models run in processes of their own, and what happens when those are killed."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from eth_account.signers.local import LocalAccount

from oracle_node.chain.types import ClaimStatus
from oracle_node.commitments.tensor import tensor_root
from oracle_node.config import Config
from oracle_node.model.directory import save_model
from oracle_node.node.node import Ready, run_node
from oracle_node.players.adversaries import Lie, tell_lies
from oracle_node.players.dispute import play_seat
from tests.e2e.arena import Arena, toy, toy_answer, toy_input
from tests.e2e.nodes import node_config, proposed, until


@asynccontextmanager
async def running_processes(config: Config, account: LocalAccount) -> AsyncIterator[Ready]:
    """A node that loads `config.models` in worker processes."""
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    node = asyncio.create_task(run_node(config, account, stop, on_ready=started.set_result))
    await asyncio.wait({node, started}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if started.done():
            yield started.result()
    finally:
        stop.set()
        await node


def with_files(arena: Arena, folder: Path, roles: set[str]) -> Config:
    """A configuration of a node that holds the toy on disk."""
    save_model(toy().model, folder / "toy")
    return node_config(
        arena, folder, roles, models=[folder / "toy"], inference={"threads": 1, "timeout_s": 20}
    )


def kill_workers() -> int:
    """How many there were."""
    workers = multiprocessing.active_children()
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
    return len(workers)


async def test_node__its_worker_is_killed__answers_with_another(fast_arena: Arena, tmp_path: Path) -> None:
    config = with_files(fast_arena, tmp_path, {"answer"})
    async with running_processes(config, fast_arena.chain.accounts[2]) as ready:
        assert ready.models == (toy().model.model_id,)
        for seed in (1, 2):
            assert kill_workers() == 1
            claim_id = await proposed(fast_arena, await fast_arena.ask(toy_input(seed)))
            answer = toy_answer(toy_input(seed)).output
            assert (await fast_arena.client.claim(claim_id)).output_root == tensor_root(answer)
    assert multiprocessing.active_children() == []


async def test_node__its_workers_are_killed_in_a_dispute__refutes_the_lie(
    fast_arena: Arena, tmp_path: Path
) -> None:
    arena, truth = fast_arena, toy_answer()
    lying = tell_lies(arena.model, toy().executor, toy_input(), truth.output, truth.witness, [Lie(9, 2)])
    claim_id = await arena.claim(await arena.ask(), lying)
    liar = asyncio.create_task(
        play_seat(arena.client, claim_id, arena.defender(lying.knowledge), poll_s=0.05)
    )
    config = with_files(arena, tmp_path, {"watch", "challenge"})
    async with running_processes(config, arena.chain.accounts[3]):
        for event in ("ChallengeOpened", "Picked"):

            async def has_happened(name: str = event) -> bool:
                return bool(await arena.client.past_events([name]))

            await until(has_happened, event)
            assert kill_workers() >= 1

        async def is_refuted() -> bool:
            return (await arena.client.claim(claim_id)).status is ClaimStatus.REFUTED

        await until(is_refuted, "the refutation")
    liar.cancel()
    assert multiprocessing.active_children() == []
