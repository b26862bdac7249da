"""Whole nodes on real contracts: they answer, settle, watch, defend, and go on where they were stopped."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address

from oracle_node.chain.events import ChallengeSettled, Delivered
from oracle_node.chain.journal import Call
from oracle_node.chain.types import (
    Address,
    ChallengeStatus,
    ClaimStatus,
    DeliveryKind,
    RequestOptions,
    RequestStatus,
)
from oracle_node.commitments.tensor import tensor_root
from oracle_node.errors import ConfigError, DeterminismError
from oracle_node.game.strategy import Player
from oracle_node.node.node import run_node
from oracle_node.node.shelf import Shelf, ShelvedModel
from oracle_node.players.adversaries import Lie, LyingExecutor, RandomPicker, claim_baldly, tell_lies
from oracle_node.players.dispute import Seat, play_seat
from tests.e2e.arena import Arena, toy, toy_answer, toy_input
from tests.e2e.nodes import node_config, proposed, running, until

LOGS_ITS_CALLS = bytes.fromhex("600b80600b6000396000f3" + "366000600037366000a000")
"""Creation code of a contract that logs the calldata of every call."""


async def consumer(arena: Arena) -> Address:
    receipt = await arena.stranger.send(Call("", LOGS_ITS_CALLS, label="deploy a consumer"))
    assert receipt.contract_address is not None
    return Address(receipt.contract_address)


async def test_node__request_with_callback__answered_finalized_delivered(
    arena: Arena, tmp_path: Path
) -> None:
    config = node_config(arena, tmp_path, {"answer", "settle", "defend"})
    options = RequestOptions(callback=await consumer(arena), gas_limit=100_000, callback_data=b"context")
    request_id = await arena.ask(options=options)
    async with running(config, arena.chain.accounts[2]):
        claim_id = await proposed(arena, request_id)
        await arena.advance_past(await arena.client.final_at(claim_id))

        async def is_delivered() -> bool:
            return (await arena.client.request(request_id)).delivered

        await until(is_delivered, "the delivery")
    request = await arena.client.request(request_id)
    assert (request.status, request.answer) == (RequestStatus.ANSWERED, claim_id)
    calls = await arena.chain.web3.eth.get_logs(
        {"address": to_checksum_address(options.callback), "fromBlock": 0}
    )
    assert len(calls) == 1
    received = bytes(calls[0]["data"])
    assert toy_answer().output in received
    assert b"context" in received
    assert claim_id in received
    assert await arena.client.balance(arena.claimant.address) >= request.fee + arena.policy.claim_bond


async def test_node__reorg_takes_its_claim_away__claims_again(arena: Arena, tmp_path: Path) -> None:
    request_id = await arena.ask()
    await arena.chain.mine(2)
    snapshot = await arena.chain.snapshot()
    async with running(node_config(arena, tmp_path, {"answer"}), arena.chain.accounts[2]):
        first = await proposed(arena, request_id)
        await arena.chain.revert(snapshot)
        assert (await arena.client.claim(first)).status is ClaimStatus.NONE
        await arena.chain.mine()
        assert await proposed(arena, request_id) == first


async def test_node__reorg_takes_the_request_away__follows_the_new_branch(
    arena: Arena, tmp_path: Path
) -> None:
    await arena.chain.mine(2)
    snapshot = await arena.chain.snapshot()
    old = await arena.ask()
    async with running(node_config(arena, tmp_path, {"answer"}), arena.chain.accounts[2]) as ready:
        await proposed(arena, old)
        await arena.chain.revert(snapshot)
        await arena.chain.mine()
        new = await arena.ask(toy_input(2))
        claim_id = await proposed(arena, new)

        async def sees_only_the_new_one() -> bool:
            latest = ready.board.latest
            return latest is not None and list(latest.requests) == [new]

        await until(sees_only_the_new_one, "a snapshot of the new branch")
    assert (await arena.client.claim(claim_id)).output_root == tensor_root(toy_answer(toy_input(2)).output)


async def test_node__early_delivery_of_a_lie__retracted_after_the_refutation(
    arena: Arena, tmp_path: Path
) -> None:
    options = RequestOptions(callback=await consumer(arena), gas_limit=100_000, provisional=True)
    request_id = await arena.ask(options=options)
    lying = claim_baldly(arena.model, toy().executor, toy_input(), bytes(len(toy_answer().output)))
    claim_id = await arena.claim(request_id, lying)
    await arena.claimant.send(arena.client.calls.deliver_provisional(claim_id, lying.output, b""))
    async with running(
        node_config(arena, tmp_path, {"watch", "challenge", "early"}), arena.chain.accounts[3]
    ):

        async def is_challenged() -> bool:
            return bool(await arena.client.past_events(["ChallengeOpened"]))

        await until(is_challenged, "a challenge")
        await arena.chain.advance(arena.policy.defender_clock + 1)

        async def is_retracted() -> bool:
            return len(await arena.client.past_events(["Delivered"])) == 2

        await until(is_retracted, "the retraction")
    told = [e.event for e in await arena.client.past_events(["Delivered"])]
    assert [t.kind for t in told if isinstance(t, Delivered)] == [
        DeliveryKind.PROVISIONAL,
        DeliveryKind.RETRACTED,
    ]


async def test_node__lie_on_chain__watcher_refutes_it(arena: Arena, tmp_path: Path) -> None:
    truth = toy_answer()
    lying = tell_lies(arena.model, toy().executor, toy_input(), truth.output, truth.witness, [Lie(9, 2)])
    claim_id = await arena.claim(await arena.ask(), lying)
    liar = asyncio.create_task(
        play_seat(arena.client, claim_id, arena.defender(lying.knowledge), poll_s=0.05)
    )
    async with running(node_config(arena, tmp_path, {"watch", "challenge"}), arena.chain.accounts[3]):

        async def is_refuted() -> bool:
            return (await arena.client.claim(claim_id)).status is ClaimStatus.REFUTED

        await until(is_refuted, "the refutation")
    liar.cancel()
    won = await arena.client.past_events(["ChallengeSettled"])
    assert [e.event.status for e in won if isinstance(e.event, ChallengeSettled)] == [ChallengeStatus.WON]


async def test_node__stopped_in_the_middle_of_a_dispute__goes_on_after_restart(
    arena: Arena, tmp_path: Path
) -> None:
    truth = toy_answer()
    lying = tell_lies(arena.model, toy().executor, toy_input(), truth.output, truth.witness, [Lie(9, 2)])
    claim_id = await arena.claim(await arena.ask(), lying)
    liar = asyncio.create_task(
        play_seat(arena.client, claim_id, arena.defender(lying.knowledge), poll_s=0.05)
    )
    config = node_config(arena, tmp_path, {"watch", "challenge"})
    for event in ("ChallengeOpened", "Picked"):
        async with running(config, arena.chain.accounts[3]):

            async def has_happened(name: str = event) -> bool:
                return bool(await arena.client.past_events([name]))

            await until(has_happened, event)
    assert (await arena.client.claim(claim_id)).status is ClaimStatus.PROPOSED
    async with running(config, arena.chain.accounts[3]):

        async def is_refuted() -> bool:
            return (await arena.client.claim(claim_id)).status is ClaimStatus.REFUTED

        await until(is_refuted, "the refutation")
    liar.cancel()
    assert len(await arena.client.past_events(["ChallengeOpened"])) == 1


async def test_node__challenged_without_reason__its_claim_stands(arena: Arena, tmp_path: Path) -> None:
    request_id = await arena.ask()
    async with running(node_config(arena, tmp_path, {"answer", "settle", "defend"}), arena.chain.accounts[2]):
        claim_id = await proposed(arena, request_id)
        picker = RandomPicker(arena.knowledge(toy_answer().output), Player(arena.challenger.address), seed=5)
        vexer = asyncio.create_task(
            play_seat(arena.client, claim_id, Seat("challenger", picker, arena.challenger), poll_s=0.05)
        )

        async def is_at_chunk() -> bool:
            return bool(await arena.client.past_events(["ChunkPosted"]))

        await until(is_at_chunk, "the defender's last answer")
        await arena.advance_past(await arena.client.final_at(claim_id))

        async def is_over() -> bool:
            is_final = (await arena.client.claim(claim_id)).status is ClaimStatus.FINALIZED
            return is_final and bool(await arena.client.past_events(["ChallengeSettled"]))

        await until(is_over, "finality, and the challenger's bond")
    vexer.cancel()
    settled = await arena.client.past_events(["ChallengeSettled"])
    assert [e.event.status for e in settled if isinstance(e.event, ChallengeSettled)] == [
        ChallengeStatus.LOST
    ]


@pytest.mark.parametrize("has_ether", [True, False])
async def test_node__with_a_helper__it_finalizes_where_it_can_pay(
    arena: Arena, tmp_path: Path, has_ether: bool
) -> None:
    node, helper = arena.chain.accounts[2], arena.chain.accounts[5] if has_ether else Account.create()
    request_id = await arena.ask()
    async with running(node_config(arena, tmp_path, {"answer", "settle"}), node, helpers=[helper]):
        claim_id = await proposed(arena, request_id)
        await arena.advance_past(await arena.client.final_at(claim_id))

        async def is_final() -> bool:
            return (await arena.client.claim(claim_id)).status is ClaimStatus.FINALIZED

        await until(is_final, "finality")
    (final,) = await arena.client.past_events(["ClaimFinalized"])
    (transaction,) = (await arena.chain.web3.eth.get_block(final.block))["transactions"]
    receipt = await arena.chain.web3.eth.get_transaction_receipt(transaction)  # type: ignore[arg-type]
    payer = helper if has_ether else node
    assert receipt["from"].lower() == payer.address.lower()


async def test_node__a_helper_with_the_nodes_own_key__refused(arena: Arena, tmp_path: Path) -> None:
    key = arena.chain.accounts[2]
    with pytest.raises(ConfigError, match="listed once"):
        await run_node(node_config(arena, tmp_path, {"answer"}), key, asyncio.Event(), helpers=[key])


async def test_node__killed_again_and_again__claims_once_and_keeps_its_bond(
    arena: Arena, tmp_path: Path
) -> None:
    request_id = await arena.ask()
    config = node_config(arena, tmp_path, {"answer"})
    for delay_s in (0.02, 0.1, 0.2, 0.3, 0.4):
        node = asyncio.create_task(
            run_node(config, arena.chain.accounts[2], asyncio.Event(), shelf=Shelf([toy()]))
        )
        await asyncio.sleep(delay_s)
        node.cancel()
        await asyncio.wait({node})
    async with running(config, arena.chain.accounts[2]):
        claim_id = await proposed(arena, request_id)
    assert len(await arena.client.past_events(["ClaimCommitted"])) == 1
    assert (await arena.client.claim(claim_id)).output_root == tensor_root(toy_answer().output)


async def test_node__right_claim_of_another__neither_answers_nor_challenges(
    arena: Arena, tmp_path: Path
) -> None:
    claim_id = await arena.claim(await arena.ask(), toy_answer())
    async with running(
        node_config(arena, tmp_path, {"answer", "watch", "challenge"}), arena.chain.accounts[3]
    ) as ready:
        for _ in range(5):
            await arena.chain.mine()
            head = await arena.client.head()
            await asyncio.wait_for(ready.board.at_block(head.number), 5)
    assert await arena.client.past_events(["ChallengeOpened"]) == []
    assert len(await arena.client.past_events(["ClaimCommitted"])) == 1
    assert (await arena.client.claim(claim_id)).status is ClaimStatus.PROPOSED


async def test_node__executor_contradicts_the_reference__stops(arena: Arena, tmp_path: Path) -> None:
    await arena.claim(await arena.ask(), toy_answer())
    broken = LyingExecutor(arena.model.tape, toy().executor, [Lie(arena.model.tape.output, carried=False)])
    config = node_config(arena, tmp_path, {"watch", "challenge"})
    with pytest.raises(DeterminismError, match="abstaining"):
        await asyncio.wait_for(
            run_node(
                config,
                arena.chain.accounts[3],
                asyncio.Event(),
                shelf=Shelf([ShelvedModel(arena.model, broken)]),
            ),
            20,
        )
    assert await arena.client.past_events(["ChallengeOpened"]) == []


async def test_node__store_of_another_account__refused(arena: Arena, tmp_path: Path) -> None:
    config = node_config(arena, tmp_path, {"answer"})
    async with running(config, arena.chain.accounts[2]):
        pass
    with pytest.raises(ConfigError, match="the store belongs to account"):
        async with running(config, arena.chain.accounts[3]):
            pass


async def test_node__api__reports_what_it_sees(arena: Arena, tmp_path: Path) -> None:
    request_id = await arena.ask()
    config = node_config(arena, tmp_path, {"answer"}, api={"port": 0})
    async with (
        running(config, arena.chain.accounts[2]) as ready,
        aiohttp.ClientSession(ready.api_url) as http,
    ):
        await proposed(arena, request_id)
        await asyncio.wait_for(ready.board.at_block((await arena.client.head()).number), 5)
        async with http.get("/status") as response:
            status = await response.json()
        async with http.get("/metrics") as response:
            metrics = await response.text()
        async with http.get("/health") as response:
            assert response.status == 200
    assert [r["request_id"] for r in status["requests"]] == ["0x" + request_id.hex()]
    assert [c["ours"] for c in status["requests"][0]["claims"]] == [True]
    assert status["requests"][0]["claims"][0]["environment"]["executor"] == "onnx"
    assert 'oracle_node_claims{owner="ours",status="PROPOSED"} 1.0' in metrics
