"""Honest, lying, silent, slow, spamming and Sybil players in every pairing, on a chain whose clock is moved on."""

from itertools import product

import pytest

from oracle_node.chain.deploy import DEV_LIMITS
from oracle_node.chain.types import ClaimStatus
from tests.attacks.pairings import (
    CHARACTERS,
    SETTLED_WELL,
    challengers,
    claimant,
    claimed,
    expected,
    observe,
    play_out,
)
from tests.e2e.arena import open_arena

CLAIMANTS = ("honest", "slow honest", "lying", "slow lying", "silent lying")
CASTS = (
    *CHARACTERS,
    "silent and honest",
    "sybil and slow honest",
    "lying and honest",
    "spamming and slow honest",
)
QUICK = {
    ("honest", "sybil"),
    ("slow honest", "spamming"),
    ("slow honest", "lying"),
    ("honest", "silent"),
    ("lying", "sybil and slow honest"),
    ("slow lying", "slow honest"),
    ("silent lying", "silent and honest"),
    ("lying", "nobody"),
}
PAIRINGS = [
    pytest.param(*pairing, marks=() if pairing in QUICK else pytest.mark.slow)
    for pairing in product(CLAIMANTS, CASTS)
]
SLACK_S = 5
"""Blocks of the chain take a second each."""


@pytest.mark.parametrize(("character", "cast"), PAIRINGS)
async def test_pairing__claim_against_challengers__the_honest_keep_their_money(
    character: str, cast: str
) -> None:
    async with open_arena("auto", commit_reveal=False) as arena:
        policy, claim = arena.policy, claimed(arena, character)
        request_id = await arena.ask()
        claim_id = await arena.claim(request_id, claim.answer)
        window_end = (await arena.client.claim(claim_id)).window_end
        seats = [claimant(arena, character, claim), *challengers(arena, cast, claim)]
        decided = await play_out(arena, claim_id, seats)

        fate = (await arena.client.claim(claim_id)).status
        assert fate is expected(character, cast)
        both = policy.challenger_clock + policy.defender_clock + DEV_LIMITS.settle_margin
        assert decided <= window_end + both + SLACK_S
        _, challenges = await observe(arena, claim_id)
        assert not any(challenge.is_active for challenge in challenges)
        if claim.is_true:
            assert (await arena.client.request(request_id)).fee_paid
            assert await arena.client.balance(arena.claimant.address) >= policy.claim_bond + policy.min_fee
        mine = [c for c in challenges if c.key.challenger == arena.challenger.address]
        assert len(mine) == ("honest" in cast and not claim.is_true)
        assert {challenge.status for challenge in mine} <= SETTLED_WELL
        assert await arena.client.balance(arena.challenger.address) >= len(mine) * policy.challenge_bond
        if fate is ClaimStatus.REFUTED:
            assert await arena.client.balance(arena.claimant.address) <= policy.challenge_bond * len(
                challenges
            )
