"""A node that dies at a transaction boundary, and one that is started after it on the same store."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from oracle_node.chain.events import ChallengeOpened
from oracle_node.chain.types import ChallengeKey, ChallengeStatus, ClaimStatus, RequestId, Turn
from oracle_node.config import Config
from oracle_node.errors import OracleError
from oracle_node.game.strategy import Player
from oracle_node.node.node import run_node
from oracle_node.node.shelf import Shelf
from oracle_node.players.adversaries import Lie, RandomPicker, tell_lies
from oracle_node.players.dispute import Seat, play_seat
from tests.e2e.arena import Arena, toy, toy_answer, toy_input
from tests.e2e.nodes import node_config, proposed, running, until
from tests.e2e.proxy import Cut, open_proxy


def boundaries(transactions: range, always: range) -> list[Any]:
    """Before and after each of a node's transactions; those that are not in `always` belong to the full form."""
    return [
        pytest.param(n, after, marks=[] if n in always else [pytest.mark.slow])
        for n in transactions
        for after in (False, True)
    ]


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


@pytest.mark.parametrize(("transaction", "after"), boundaries(range(2), range(2)))
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


@pytest.mark.parametrize(("transaction", "after"), boundaries(range(3), range(3)))
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


@pytest.mark.parametrize(("transaction", "after"), boundaries(range(4), range(2, 3)))
async def test_defending_node__dies_at_a_transaction__its_claim_stands_after_restart(
    fast_arena: Arena, tmp_path: Path, transaction: int, after: bool
) -> None:
    request_id = await fast_arena.ask()
    config = node_config(fast_arena, tmp_path, {"answer", "settle", "defend"})
    opponent = asyncio.create_task(_challenged_at_random(fast_arena, request_id))
    await run_until_cut(fast_arena, config, 2, Cut(transaction, after))
    async with running(config, fast_arena.chain.accounts[2]):
        claim_id = await proposed(fast_arena, request_id, fast_arena.claimant.address)

        async def is_final() -> bool:
            opened = await fast_arena.client.past_events(["ChallengeOpened"])
            for event in (e.event for e in opened if isinstance(e.event, ChallengeOpened)):
                key = ChallengeKey(claim_id, event.challenger, event.nonce)
                view = await fast_arena.client.challenge(key)
                if view.status is ChallengeStatus.ACTIVE and view.turn is Turn.CHALLENGER and opponent.done():
                    await fast_arena.advance_past(view.limit)
                if view.status is ChallengeStatus.LOST:
                    await fast_arena.advance_past(await fast_arena.client.final_at(claim_id))
            return (await fast_arena.client.claim(claim_id)).status is ClaimStatus.FINALIZED

        await until(is_final, "the claim's end")
    assert len(await fast_arena.client.past_events(["ClaimCommitted"])) == 1


async def _challenged_at_random(arena: Arena, request_id: RequestId) -> None:
    """A challenger of the true claim, as long as it has a move: it cannot prove anything in the end."""
    claim_id = await proposed(arena, request_id)
    knowledge = arena.knowledge(toy_answer().output)
    picker = RandomPicker(knowledge, Player(arena.challenger.address), 1)
    seat = Seat("challenger", picker, arena.challenger)
    with suppress(TimeoutError, OracleError):
        async with asyncio.timeout(4):
            await play_seat(arena.client, claim_id, seat, poll_s=0.05)
