"""A stage for plays: a development chain with an oracle, a listed model and one funded key a role."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from oracle_node.chain.client import OracleClient
from oracle_node.chain.deploy import DEV_LIMITS, Deployment, deploy_oracle
from oracle_node.chain.embedded import CHAIN_ID, DevChain, Engine, open_dev_chain
from oracle_node.chain.journal import Call
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.terms import least_policy, listed_model
from oracle_node.chain.transactions import Receipt, Sender
from oracle_node.chain.types import ClaimId, ListingId, Policy, RequestId
from oracle_node.commitments.tensor import tensor_root
from oracle_node.contracts import artifact_names, load_artifact
from oracle_node.model.model import Model

ROLES = ("deployer", "user", "node", "liar", "watcher")
FEE_WEI = 10**15


@dataclass(frozen=True)
class Sent:
    """A transaction of the play, for people."""

    role: str
    action: str
    gas_used: int


@dataclass
class Stage:
    """An oracle with one listing; `sent` is everything that was sent through `send`, in order."""

    chain: DevChain
    client: OracleClient
    deployment: Deployment
    model: Model
    policy: Policy
    listing_id: ListingId
    senders: dict[str, Sender]
    sent: list[Sent] = field(default_factory=list)

    async def send(self, role: str, action: str, call: Call) -> Receipt:
        """Send as a role, and note what it took."""
        receipt = await self.senders[role].send(call)
        self.sent.append(Sent(role, action, receipt.gas_used))
        return receipt

    async def claim(self, role: str, request_id: RequestId, output: bytes, witness: bytes = b"") -> ClaimId:
        """Answer a request as a role: commit with a bond, then reveal. The window starts with the reveal."""
        salt = secrets.token_bytes(32)
        claimant = self.senders[role].address
        roots = tensor_root(output), tensor_root(witness)
        commitment = self.client.commitment(request_id, claimant, salt, roots, (len(output), len(witness)))
        commit = self.client.calls.commit_claim(request_id, commitment, 0, self.policy.claim_bond)
        await self.send(role, "commit to an answer", commit)
        claim_id = self.client.claim_id(request_id, claimant, 0, commitment)
        await self.send(role, "reveal it", self.client.calls.reveal_claim(claim_id, salt, output, witness))
        return claim_id

    async def advance_to(self, time: int) -> None:
        """Let the chain's clock run to a time, if it is ahead."""
        ahead = time - (await self.client.head()).timestamp
        if ahead > 0:
            await self.chain.advance(ahead)


@asynccontextmanager
async def open_stage(model: Model, engine: Engine = "auto") -> AsyncIterator[Stage]:
    """Deploy an oracle with short windows on a chain of its own, and list the model under its least terms."""
    async with open_dev_chain(engine) as chain:
        decoder = RevertDecoder(load_artifact(name).abi for name in artifact_names())
        senders = {
            role: Sender(chain.web3, key, decoder) for role, key in zip(ROLES, chain.accounts, strict=False)
        }
        deployment = await deploy_oracle(senders["deployer"], CHAIN_ID, DEV_LIMITS)
        client = await OracleClient.open(chain.web3, deployment.oracle, chain_id=CHAIN_ID)
        policy = least_policy(DEV_LIMITS, model.commitment, min_fee=FEE_WEI)
        listing_id = client.listing_id(model.model_id, policy)
        stage = Stage(chain, client, deployment, model, policy, listing_id, senders)
        stage.sent.append(Sent("deployer", "deploy the contracts", deployment.gas_used))
        list_model = client.calls.list_model(listed_model(model.commitment), policy)
        await stage.send("deployer", "list the model", list_model)
        yield stage
