"""A stage for plays: a development chain with an oracle, a listed model and one funded key a role."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from eth_account.signers.local import LocalAccount

from oracle_node.chain.actions import ask, claim_answer, list_model
from oracle_node.chain.client import OracleClient
from oracle_node.chain.deploy import DEV_LIMITS, Deployment, deploy_oracle
from oracle_node.chain.embedded import CHAIN_ID, DevChain, Engine, open_dev_chain
from oracle_node.chain.events import Event
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.terms import least_policy
from oracle_node.chain.transactions import Sender
from oracle_node.chain.types import ClaimId, ListingId, Policy, RequestId, RequestOptions
from oracle_node.contracts import artifact_names, load_artifact
from oracle_node.errors import TransientError
from oracle_node.model.model import Model

ROLES = ("deployer", "user", "node", "liar", "watcher")
FEE_WEI = 10**15
POLL_S = 0.1
E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Stage:
    """An oracle with one listing, and everybody's keys."""

    chain: DevChain
    client: OracleClient
    deployment: Deployment
    model: Model
    policy: Policy
    listing_id: ListingId
    accounts: dict[str, LocalAccount]
    senders: dict[str, Sender]

    def role_of(self, address: str) -> str:
        """Whose address it is."""
        return next((role for role, key in self.accounts.items() if key.address == address), address)

    async def ask(self, request: bytes, nonce: int = 0) -> RequestId:
        """The user asks the model; the nonce tells equal requests apart."""
        options = RequestOptions(nonce=nonce)
        return await ask(self.client, self.senders["user"], self.listing_id, request, options)

    async def claim(self, role: str, request_id: RequestId, output: bytes, witness: bytes = b"") -> ClaimId:
        """Answer a request as a role, right or wrong, with a bond."""
        salt = secrets.token_bytes(32)
        return await claim_answer(self.client, self.senders[role], request_id, output, witness, salt=salt)

    async def advance_to(self, time: int) -> None:
        """Let the chain's clock run to a time, if that is ahead."""
        while (ahead := time - (await self.client.head()).timestamp) > 0:
            await self.chain.advance(ahead)

    async def event(self, kind: type[E], wanted: Callable[[E], bool], timeout_s: float = 60.0) -> E:
        """The first event of that kind that is wanted, waited for; TransientError where it does not come."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for logged in await self.client.past_events(
                        [kind.__name__], first_block=self.deployment.block
                    ):
                        if isinstance(logged.event, kind) and wanted(logged.event):
                            return logged.event
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise TransientError(f"no {kind.__name__} event within {timeout_s:.0f} s") from None


@asynccontextmanager
async def open_stage(model: Model, engine: Engine = "auto") -> AsyncIterator[Stage]:
    """Deploy an oracle with short windows on a chain of its own, and list the model under its least terms."""
    async with open_dev_chain(engine) as chain:
        decoder = RevertDecoder(load_artifact(name).abi for name in artifact_names())
        accounts = dict(zip(ROLES, chain.accounts, strict=False))
        senders = {role: Sender(chain.web3, key, decoder) for role, key in accounts.items()}
        deployment = await deploy_oracle(senders["deployer"], CHAIN_ID, DEV_LIMITS)
        client = await OracleClient.open(chain.web3, deployment.oracle, chain_id=CHAIN_ID)
        policy = least_policy(DEV_LIMITS, model.commitment, min_fee_wei=FEE_WEI)
        listing_id = await list_model(client, senders["deployer"], model.commitment, policy)
        yield Stage(chain, client, deployment, model, policy, listing_id, accounts, senders)
