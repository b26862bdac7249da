"""Disputes on the real contracts: the lie falls, the truth stands, silence loses."""

import pytest

from oracle_node.chain.types import ChallengeStatus, ClaimStatus
from oracle_node.errors import ProtocolError
from oracle_node.game.strategy import Player
from oracle_node.players.adversaries import Lie, RandomPicker, Silent, claim_baldly, tell_lies
from oracle_node.players.dispute import Seat, play_dispute
from tests.e2e.arena import Arena, toy, toy_answer, toy_input

LIES = {
    "input": Lie(0, 40, bits=b"\x00\x00\x80\x40"),
    "deep in a map": Lie(4, 500, bits=b"\x00\x00\x80\x40"),
    "a quantized element": Lie(7, 599, bits=b"\xff\x0f"),
    "a weight": Lie(8, 1300, bits=b"\x11"),
    "a sum": Lie(9, 3),
    "output only": Lie(14, 1, carried=False),
}


@pytest.mark.parametrize("name", LIES)
async def test_dispute__carried_lie__refuted_by_one_element(arena: Arena, name: str) -> None:
    truth = toy_answer()
    lying = tell_lies(arena.model, toy().executor, toy_input(), truth.output, truth.witness, [LIES[name]])
    assert lying.output != truth.output
    request_id = await arena.ask()
    claim_id = await arena.claim(request_id, lying)
    report = await play_dispute(
        arena.client,
        claim_id,
        arena.defender(lying.knowledge),
        arena.challenging(arena.knowledge(lying.output)),
    )
    assert (report.winner, report.status) == ("challenger", ChallengeStatus.WON)
    assert (await arena.client.claim(claim_id)).status is ClaimStatus.REFUTED
    assert report.gas_step > 0
    assert report.transactions == len(report.moves) <= 10
    assert report.moves[-1].name == "prove"


async def test_dispute__bald_claim__refuted(arena: Arena) -> None:
    truth = toy_answer()
    lying = claim_baldly(arena.model, toy().executor, toy_input(), bytes(len(truth.output)))
    claim_id = await arena.claim(await arena.ask(), lying)
    report = await play_dispute(
        arena.client,
        claim_id,
        arena.defender(lying.knowledge),
        arena.challenging(arena.knowledge(lying.output)),
    )
    assert report.winner == "challenger"


@pytest.mark.parametrize("seed", range(3))
async def test_dispute__random_challenger__honest_claim_stands(arena: Arena, seed: int) -> None:
    truth = toy_answer()
    claim_id = await arena.claim(await arena.ask(), truth)
    picker = RandomPicker(arena.knowledge(truth.output), Player(arena.challenger.address), seed)
    report = await play_dispute(
        arena.client,
        claim_id,
        arena.defender(arena.knowledge(truth.output)),
        Seat("challenger", picker, arena.challenger),
        advance=arena.chain.advance,
    )
    assert report.status is ChallengeStatus.LOST
    assert (await arena.client.claim(claim_id)).status is ClaimStatus.PROPOSED


async def test_dispute__silent_liar__loses_on_time(arena: Arena) -> None:
    truth = toy_answer()
    lying = claim_baldly(arena.model, toy().executor, toy_input(), bytes(len(truth.output)))
    claim_id = await arena.claim(await arena.ask(), lying)
    report = await play_dispute(
        arena.client,
        claim_id,
        Seat("defender", Silent(), arena.claimant),
        arena.challenging(arena.knowledge(lying.output)),
        advance=arena.chain.advance,
    )
    assert report.winner == "challenger"
    assert [move.name for move in report.moves] == ["open", "timeout"]


async def test_dispute__nobody_challenges__says_so(arena: Arena) -> None:
    claim_id = await arena.claim(await arena.ask(), toy_answer())
    with pytest.raises(ProtocolError, match="nothing against it"):
        await play_dispute(
            arena.client,
            claim_id,
            arena.defender(arena.knowledge(toy_answer().output)),
            Seat("challenger", Silent(), arena.challenger),
        )
