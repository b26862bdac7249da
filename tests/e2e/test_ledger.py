"""Snapshots: all of one block, read again only where an event or a reorg has changed something."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hexbytes import HexBytes

from oracle_node.chain.actions import commitment_of
from oracle_node.chain.types import ChallengeKey, ClaimId, ClaimStatus, RequestId, RequestStatus
from oracle_node.errors import TransientError
from oracle_node.node.ledger import Ledger
from oracle_node.node.snapshot import Snapshot
from oracle_node.store.store import Store
from tests.e2e.arena import Arena, toy_answer, toy_input

SALT = b"\x05" * 32


class Watch:
    """A ledger on an arena, and the contract reads that it makes."""

    def __init__(self, arena: Arena, store: Store) -> None:
        me, models = arena.claimant.address, frozenset({arena.model.model_id})
        self.reads: list[bytes] = []
        follower = arena.client.follower(arena.deployment.block)
        self.ledger = Ledger(arena.client, store, follower, me, models)  # type: ignore[arg-type]

    async def snapshot(self) -> Snapshot:
        self.reads.clear()
        while not (step := await self.ledger.advance()).caught_up:
            pass
        return await self.ledger.snapshot(step)


@asynccontextmanager
async def watching(arena: Arena, tmp_path: Path) -> AsyncIterator[Watch]:
    store = Store(tmp_path / "node.db")
    watch = Watch(arena, store)
    call = arena.chain.web3.eth.call

    async def counted(transaction: Any, *arguments: Any) -> HexBytes:
        watch.reads.append(bytes(transaction["data"]))
        return await call(transaction, *arguments)

    arena.chain.web3.eth.call = counted  # type: ignore[method-assign, assignment]
    yield watch
    store.close()


async def _committed(arena: Arena, request_id: RequestId) -> ClaimId:
    answer = toy_answer()
    commitment = commitment_of(
        arena.client, request_id, arena.claimant.address, SALT, answer.output, answer.witness
    )
    call = arena.client.calls.commit_claim(request_id, commitment, 0, arena.policy.claim_bond)
    await arena.claimant.send(call)
    return arena.client.claim_id(request_id, arena.claimant.address, 0, commitment)


async def test_snapshot__claim_revealed_after_its_block__still_shows_it_committed(
    arena: Arena, tmp_path: Path
) -> None:
    """A claim of ours that went missing from a snapshot once made the node claim again (ClaimExists)."""
    request_id = await arena.ask()
    claim_id = await _committed(arena, request_id)
    async with watching(arena, tmp_path) as watch:
        step = await watch.ledger.advance()
        answer = toy_answer()
        reveal = arena.client.calls.reveal_claim(claim_id, SALT, answer.output, answer.witness)
        await arena.claimant.send(reveal)
        before = await watch.ledger.snapshot(step)
        assert before.claims[claim_id].view.status is ClaimStatus.COMMITTED
        assert before.head.number == step.head.number
        after = await watch.snapshot()
        assert after.claims[claim_id].view.status is ClaimStatus.PROPOSED
        assert after.claims[claim_id].output == answer.output


async def test_snapshot__nothing_happened__reads_the_balance_alone(arena: Arena, tmp_path: Path) -> None:
    quiet, busy = await arena.ask(), await arena.ask(toy_input(2))
    async with watching(arena, tmp_path) as watch:
        first = await watch.snapshot()
        assert set(first.requests) == {quiet, busy} and len(watch.reads) > 2
        await arena.chain.mine()
        again = await watch.snapshot()
        assert len(watch.reads) == 1 and again.requests == first.requests
        claim_id = await arena.claim(busy, toy_answer(toy_input(2)))
        third = await watch.snapshot()
        assert third.claims[claim_id].view.status is ClaimStatus.PROPOSED
        assert not [data for data in watch.reads if quiet in data]


async def test_snapshot__a_challenge_of_a_claim__is_seen_by_the_claims_id_alone(
    arena: Arena, tmp_path: Path
) -> None:
    claim_id = await arena.claim(await arena.ask(), toy_answer())
    async with watching(arena, tmp_path) as watch:
        assert (await watch.snapshot()).claims[claim_id].challenges == ()
        calls, bond = arena.client.calls, arena.policy.challenge_bond
        key = ChallengeKey(claim_id, arena.challenger.address, 0)  # type: ignore[arg-type]
        await arena.challenger.send(calls.open_challenge(key.claim_id, key.nonce, bond))
        assert [c.key for c in (await watch.snapshot()).claims[claim_id].challenges] == [key]


async def test_snapshot__a_reorg__is_read_anew(arena: Arena, tmp_path: Path) -> None:
    request_id = await arena.ask()
    await arena.chain.mine(2)
    fork = await arena.chain.snapshot()
    async with watching(arena, tmp_path) as watch:
        assert (await watch.snapshot()).requests[request_id].view.claims == 0
        await arena.claim(request_id, toy_answer())
        assert (await watch.snapshot()).requests[request_id].view.claims == 1
        await arena.chain.revert(fork)
        await arena.chain.mine(5)
        after = await watch.snapshot()
        assert after.requests[request_id].view.claims == 0 and not after.claims
        assert after.requests[request_id].view.status is RequestStatus.OPEN


async def test_snapshot__a_reorg_of_other_requests_blocks__is_not_read_again(
    arena: Arena, tmp_path: Path
) -> None:
    quiet = await arena.ask()
    fork = await arena.chain.snapshot()
    async with watching(arena, tmp_path) as watch:
        assert set((await watch.snapshot()).requests) == {quiet}
        busy = await arena.ask(toy_input(2))
        assert set((await watch.snapshot()).requests) == {quiet, busy}
        await arena.chain.revert(fork)
        await arena.chain.mine(5)
        assert set((await watch.snapshot()).requests) == {quiet}
        assert not [data for data in watch.reads if quiet in data]


async def test_snapshot__its_block_is_gone__fails_for_now_and_keeps_nothing(
    arena: Arena, tmp_path: Path
) -> None:
    """By its number the state would be another block's: a claim of no request once ended the node."""
    request_id = await arena.ask()
    fork = await arena.chain.snapshot()
    await arena.claim(request_id, toy_answer())
    async with watching(arena, tmp_path) as watch:
        step = await watch.ledger.advance()
        await arena.chain.revert(fork)
        await arena.chain.mine(5)
        async with asyncio.timeout(5):
            with pytest.raises(TransientError):
                await watch.ledger.snapshot(step)
        after = await watch.snapshot()
        assert after.requests[request_id].view.claims == 0 and not after.claims
