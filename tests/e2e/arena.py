"""A deployed oracle with a listed model, and parties with money: what every end-to-end test starts from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np

from oracle_node.chain.actions import ask, claim_answer, list_model
from oracle_node.chain.client import OracleClient
from oracle_node.chain.deploy import DEV_LIMITS, Deployment, deploy_oracle
from oracle_node.chain.embedded import DevChain, Engine, open_dev_chain
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.terms import least_policy
from oracle_node.chain.transactions import Sender
from oracle_node.chain.types import ClaimId, ListingId, Policy, RequestId, RequestOptions
from oracle_node.game.knowledge import Knowledge
from oracle_node.game.strategy import Player
from oracle_node.model.model import Card, Model
from oracle_node.model.solver import Answer, solve
from oracle_node.node.shelf import ShelvedModel, shelve
from oracle_node.players.actors import Challenger, Defender, knowledge_of
from oracle_node.players.dispute import Seat
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Reducer, Source
from oracle_node.tape.types import DType, SourceKind

INPUT_ELEMENTS = 600
CLASSES = 5


@cache
def toy() -> ShelvedModel:
    """A classifier of 600 numbers: a quantized product with residuals, a softened maximum, joined scores and class."""
    t = TapeBuilder(
        Source(DType.F32, INPUT_ELEMENTS, INPUT_ELEMENTS), Source(DType.F32, CLASSES + 1, CLASSES + 1)
    )
    x = t.input(SourceKind.REQUEST, (INPUT_ELEMENTS,), -8.0, 8.0)
    for layer in range(6):
        x = t.map(lambda v, n=layer: (v * 0.75 + (0.125 * n)).clamp(-8.0, 8.0), x, dtype=DType.F32)
    q = t.map(lambda v: (v * 512.0).round().to_int(), x, dtype=DType.I16)
    weights = (
        (np.arange(CLASSES * INPUT_ELEMENTS) * 37 % 251 - 125).astype("<i1").reshape(CLASSES, INPUT_ELEMENTS)
    )
    dots = t.matmul(q.reshape(1, INPUT_ELEMENTS), t.const(weights)).reshape(CLASSES)
    scores = t.map(lambda v: v.to_float() * 0.001953125, dots, dtype=DType.F32)
    best = t.reduce(Reducer.ARGMAX, dots.reshape(1, CLASSES))
    label = t.gather(best, t.const(np.arange(CLASSES, dtype="<f4") + np.float32(0.5)))
    answer = t.concat([scores, label.reshape(1)], 0)
    ok = t.map(lambda v: v.equals(v), best, dtype=DType.U8)
    return shelve(Model.of(t.finish(answer, ok), Card("toy")), threads=1)


def toy_input(seed: int = 1) -> bytes:
    """Bytes of a request."""
    return np.random.default_rng(seed).normal(0, 2, INPUT_ELEMENTS).astype("<f4").tobytes()


@dataclass(frozen=True)
class Arena:
    """A chain, an oracle on it, one listing of a model (the toy unless told otherwise), and who plays."""

    chain: DevChain
    client: OracleClient
    deployment: Deployment
    shelved: ShelvedModel
    policy: Policy
    listing_id: ListingId
    requester: Sender
    claimant: Sender
    challenger: Sender
    stranger: Sender

    @property
    def model(self) -> Model:
        return self.shelved.model

    async def ask(self, input_bytes: bytes | None = None, options: RequestOptions | None = None) -> RequestId:
        """A request from the requester."""
        return await ask(self.client, self.requester, self.listing_id, input_bytes or toy_input(), options)

    async def claim(self, request_id: RequestId, answer: Answer, sender: Sender | None = None) -> ClaimId:
        """A claim of that answer."""
        who = sender or self.claimant
        return await claim_answer(
            self.client, who, request_id, answer.output, answer.witness, salt=b"\x07" * 32
        )

    async def advance_past(self, moment: int) -> None:
        """Until a block is later than that; nothing where one is."""
        ahead = moment + 1 - (await self.client.head()).timestamp
        if ahead > 0:
            await self.chain.advance(ahead)

    def knowledge(self, output: bytes, input_bytes: bytes | None = None) -> Knowledge:
        """The honest view of a claim."""
        return knowledge_of(self.model, self.shelved.executor, input_bytes or toy_input(), output)

    def defender(self, knowledge: Knowledge) -> Seat:
        return Seat("defender", Defender(knowledge, Player(self.claimant.address)), self.claimant)

    def challenging(self, knowledge: Knowledge) -> Seat:
        return Seat("challenger", Challenger(knowledge, Player(self.challenger.address)), self.challenger)


def toy_answer(input_bytes: bytes | None = None) -> Answer:
    """The true answer."""
    return solve(toy().model, toy().executor, input_bytes or toy_input())


@asynccontextmanager
async def open_arena(
    engine: Engine, *, commit_reveal: bool = True, shelved: ShelvedModel | None = None
) -> AsyncIterator[Arena]:
    """Everything deployed, and the model listed: the toy, unless another is given."""
    shelved = shelved or toy()
    async with open_dev_chain(engine) as chain:
        owner, requester, claimant, challenger, stranger = chain.accounts[:5]
        deployment = await deploy_oracle(
            Sender(chain.web3, owner, RevertDecoder([])), await chain.web3.eth.chain_id, DEV_LIMITS
        )
        client = await OracleClient.open(chain.web3, deployment.oracle)
        commitment = shelved.model.commitment
        policy = least_policy(DEV_LIMITS, commitment, min_fee_wei=10**15, commit_reveal=commit_reveal)
        listing_id = await list_model(client, client.sender(owner), commitment, policy)
        senders = [client.sender(account) for account in (requester, claimant, challenger, stranger)]
        yield Arena(chain, client, deployment, shelved, policy, listing_id, *senders)
