"""The same lies on the real contracts: one for every instruction, in data or in padding, garbage right of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from oracle_node.chain.actions import ask, claim_answer, list_model
from oracle_node.chain.client import OracleClient
from oracle_node.chain.deploy import DEV_LIMITS, deploy_oracle
from oracle_node.chain.embedded import open_dev_chain
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.terms import least_policy
from oracle_node.chain.transactions import Sender
from oracle_node.chain.types import ChallengeStatus, ListingId, RequestOptions
from oracle_node.game.strategy import Player
from oracle_node.players.actors import Challenger, Defender
from oracle_node.players.dispute import DisputeReport, Seat, play_dispute
from tests.game.toy import LONGEST, Liar, padded, right_claim, toy_commitment, toy_tape

ANSWERS = (toy_tape().output, toy_tape().witness, toy_tape().ok)


class Table:
    """A deployed oracle on which any number of true answers with lying traces are disputed."""

    def __init__(self, client: OracleClient, listing_id: ListingId, accounts: list[Sender], n: int) -> None:
        self.client, self.listing_id, self.toy, self.games = client, listing_id, right_claim(n), 0
        self.claimant, self.challenger = accounts

    async def dispute(self, liar: Liar) -> DisputeReport:
        """Claim the true answer, defend it by the liar's trace, and play it out against the honest strategy."""
        self.games += 1
        request, output, witness = (source.tobytes() for source in self.toy.sources)
        options = RequestOptions(nonce=self.games)
        request_id = await ask(self.client, self.claimant, self.listing_id, request, options)
        claim_id = await claim_answer(self.client, self.claimant, request_id, output, witness)
        defender = Seat("defender", Defender(liar, Player(self.claimant.address)), self.claimant)
        challenger = Challenger(self.toy.knowledge, Player(self.challenger.address))
        return await play_dispute(
            self.client, claim_id, defender, Seat("challenger", challenger, self.challenger)
        )


@asynccontextmanager
async def table(n: int) -> AsyncIterator[Table]:
    async with open_dev_chain("pyevm") as chain:
        owner, *others = chain.accounts[:3]
        deployment = await deploy_oracle(
            Sender(chain.web3, owner, RevertDecoder([])), await chain.web3.eth.chain_id, DEV_LIMITS
        )
        client = await OracleClient.open(chain.web3, deployment.oracle)
        policy = least_policy(DEV_LIMITS, toy_commitment(), min_fee_wei=10**12, commit_reveal=False)
        listing_id = await list_model(client, client.sender(owner), toy_commitment(), policy)
        yield Table(client, listing_id, [client.sender(account) for account in others], n)


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, LONGEST])
@pytest.mark.parametrize("in_padding", [False, True], ids=["in data", "in padding"])
async def test_contracts__of_a_lie_in_any_tensor__convict_by_one_element(n: int, in_padding: bool) -> None:
    async with table(n) as t:
        honest = t.toy.knowledge
        for tensor in (i for i in range(len(toy_tape().instructions)) if i not in ANSWERS):
            data = padded(honest, tensor)
            length = honest.byte_length(tensor)
            if in_padding and length == len(data):
                continue
            data[length + (len(data) - length) // 2 if in_padding else length - 1] ^= 0x41
            later = [i for i in range(tensor + 1, 1 << honest.trace.tree.depth) if i not in ANSWERS]
            report = await t.dispute(
                Liar(honest, {tensor: bytes(data)}, roots={i: bytes([i]) * 32 for i in later})
            )
            assert report.status is ChallengeStatus.WON
            assert report.moves[-1].name == "prove", f"tensor {tensor} fell by {report.moves[-1].name}"
