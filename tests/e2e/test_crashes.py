"""A node that dies at a transaction boundary, and one that is started after it on the same store."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from oracle_node.chain.types import ClaimStatus
from oracle_node.config import Config
from oracle_node.node.node import run_node
from oracle_node.node.shelf import Shelf
from oracle_node.players.adversaries import Lie, tell_lies
from oracle_node.players.dispute import play_seat
from tests.e2e.arena import Arena, toy, toy_answer, toy_input
from tests.e2e.nodes import node_config, running, until
from tests.e2e.proxy import Cut, open_proxy

BOUNDARIES = [(n, after) for n in range(3) for after in (False, True)]


async def run_until_cut(arena: Arena, config: Config, account: int, cut: Cut) -> None:
    """A node behind the proxy, killed when the line breaks."""
    async with open_proxy(arena.chain.url, cut) as url:
        chain = config.model_dump()["chain"] | {"rpc": url}
        cut_off = type(config).model_validate(config.model_dump() | {"chain": chain})
        node = asyncio.create_task(
            run_node(cut_off, arena.chain.accounts[account], asyncio.Event(), shelf=Shelf([toy()]))
        )
        await asyncio.wait_for(cut.happened.wait(), 20)
        node.cancel()
        await asyncio.wait({node})


async def test_node__rpc_falls_silent_and_comes_back__unhealthy_meanwhile_and_goes_on(
    fast_arena: Arena, tmp_path: Path
) -> None:
    line = Cut(at_transaction=-1, after_delivery=False)
    async with open_proxy(fast_arena.chain.url, line) as url:
        config = node_config(fast_arena, tmp_path, {"answer"}, api={"port": 0, "stall_after_s": 0.4})
        chain = config.model_dump()["chain"] | {"rpc": url}
        config = Config.model_validate(config.model_dump() | {"chain": chain})
        async with (
            running(config, fast_arena.chain.accounts[2]) as ready,
            aiohttp.ClientSession(ready.api_url) as http,
        ):

            async def has_status(wanted: int) -> bool:
                async with http.get("/health") as response:
                    return response.status == wanted

            line.happened.set()
            await until(lambda: has_status(503), "the node to notice")
            request_id = await fast_arena.ask()
            line.happened.clear()
            await until(lambda: has_status(200), "the node to recover")

            async def is_claimed() -> bool:
                return (await fast_arena.client.request(request_id)).claims == 1

            await until(is_claimed, "the claim")


@pytest.mark.parametrize(("transaction", "after"), BOUNDARIES[:4])
async def test_answering_node__dies_at_a_transaction__answers_once_after_restart(
    fast_arena: Arena, tmp_path: Path, transaction: int, after: bool
) -> None:
    request_id = await fast_arena.ask()
    config = node_config(fast_arena, tmp_path, {"answer", "settle"})
    await run_until_cut(fast_arena, config, 2, Cut(transaction, after))
    async with running(config, fast_arena.chain.accounts[2]):

        async def is_proposed() -> bool:
            events = await fast_arena.client.past_events(["ClaimProposed"])
            return len(events) == 1

        await until(is_proposed, "the claim")
    assert len(await fast_arena.client.past_events(["ClaimCommitted"])) == 1
    assert (await fast_arena.client.request(request_id)).claims == 1


@pytest.mark.parametrize(("transaction", "after"), BOUNDARIES)
async def test_challenging_node__dies_at_a_transaction__refutes_after_restart(
    fast_arena: Arena, tmp_path: Path, transaction: int, after: bool
) -> None:
    truth = toy_answer()
    lying = tell_lies(fast_arena.model, toy().executor, toy_input(), truth.output, truth.witness, [Lie(9, 2)])
    claim_id = await fast_arena.claim(await fast_arena.ask(), lying)
    liar = asyncio.create_task(
        play_seat(fast_arena.client, claim_id, fast_arena.defender(lying.knowledge), poll_s=0.05)
    )
    config = node_config(fast_arena, tmp_path, {"watch", "challenge"})
    await run_until_cut(fast_arena, config, 3, Cut(transaction, after))
    async with running(config, fast_arena.chain.accounts[3]):

        async def is_refuted() -> bool:
            return (await fast_arena.client.claim(claim_id)).status is ClaimStatus.REFUTED

        await until(is_refuted, "the refutation")
    liar.cancel()
    assert len(await fast_arena.client.past_events(["ChallengeOpened"])) == 1
