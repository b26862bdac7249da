"""The demo: a contract asks and is answered; then a node lies about an answer, and is refuted on chain."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from oracle_node.chain.abi import Functions
from oracle_node.chain.actions import event_in
from oracle_node.chain.deploy import address_of, deploy_contract
from oracle_node.chain.events import (
    ChallengeOpened,
    ChallengeSettled,
    ClaimProposed,
    Delivered,
    ElementProved,
    Picked,
    Requested,
)
from oracle_node.chain.journal import Call
from oracle_node.chain.types import Address, ChallengeStatus, ClaimId, ClaimStatus, DeliveryKind, RequestId
from oracle_node.contracts import load_artifact
from oracle_node.demo.nodes import running_node
from oracle_node.demo.record import Sent, sent_since
from oracle_node.demo.refutation import invent_lie, keep_lying
from oracle_node.demo.stage import Stage
from oracle_node.errors import ConfigError
from oracle_node.model.solver import Answer, solve
from oracle_node.node.shelf import Shelf, ShelvedModel
from oracle_node.players.adversaries import Lie, LyingClaim
from oracle_node.tape.instruction import Opcode

CONSUMER = "DigitReader"
CALLBACK_GAS = 100_000
"""What that contract sets aside for its callback."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What the demo showed, read back from the chain. `picks` and `proved` are the descent of the refutation."""

    digit: int | None
    answered: bool
    finalized: bool
    refuted: bool
    picks: tuple[Picked, ...]
    proved: ElementProved
    sent: tuple[Sent, ...]


@dataclass(frozen=True)
class Consumer:
    """The example contract that asks."""

    address: Address
    functions: Functions


async def tell(stage: Stage, shelved: ShelvedModel, request: bytes, say: Say) -> Outcome:
    """Both parts, on a stage with the digits model; `request` is an image."""
    shelf, truth = Shelf([shelved]), solve(shelved.model, shelved.executor, request)
    consumer = await _deploy_consumer(stage)
    async with running_node(stage, "node", shelf, "answer", "defend", "settle"):
        say("[bold]An honest answer[/]")
        answered, finalized, digit = await _honest(stage, consumer, request, truth, say)
        say("\n[bold]A lie[/]")
        claim_id, request_id, lying = await _lie(stage, consumer, shelved, request, truth, say)
        async with running_node(stage, "watcher", shelf, "watch", "challenge"):
            await _dispute(stage, claim_id, lying, say)
        delivered = await _settle(stage, request_id)
    view = await stage.client.claim(claim_id)
    if delivered and await _digit_in(stage, consumer, request_id) == digit:
        say(f"the contract gets the honest node's answer again: {digit}; it never saw the lie")
    proved = await stage.event(ElementProved, lambda _: True)
    picks = await stage.client.past_events(["Picked"], first_block=stage.deployment.block)
    return Outcome(
        digit=digit,
        answered=answered,
        finalized=finalized,
        refuted=view.status is ClaimStatus.REFUTED,
        picks=tuple(entry.event for entry in picks if isinstance(entry.event, Picked)),
        proved=proved,
        sent=tuple(await sent_since(stage.chain.web3, stage.deployment.block)),
    )


async def _deploy_consumer(stage: Stage) -> Consumer:
    arguments = [stage.client.oracle, stage.listing_id]
    receipt = await deploy_contract(stage.senders["user"], CONSUMER, arguments)
    return Consumer(address_of(receipt), Functions(load_artifact(CONSUMER).abi))


async def _ask(stage: Stage, consumer: Consumer, request: bytes) -> RequestId:
    """The contract asks; the request's id is in the oracle's event."""
    cost = await stage.client.quote(stage.listing_id, CALLBACK_GAS)
    call = Call(consumer.address, consumer.functions.encode("read", [request]), cost, "ask for a digit")
    receipt = await stage.senders["user"].send(call)
    return (await event_in(stage.client, receipt, Requested)).request_id


async def _honest(
    stage: Stage, consumer: Consumer, request: bytes, truth: Answer, say: Say
) -> tuple[bool, bool, int | None]:
    """Asked, answered, delivered: whether the answer is the model's, whether it became final, and the digit."""
    request_id = await _ask(stage, consumer, request)
    say(f"a contract asks which digit the image shows, in request {_short(request_id)}")
    claim = await stage.event(ClaimProposed, lambda e: e.request_id == request_id)
    say(
        f"a node answers {_digit(claim.output)} and locks {stage.policy.claim_bond / 1e18:g} ether as its bond"
    )
    finalized = await _settle(stage, request_id)
    read = await _digit_in(stage, consumer, request_id)
    say(
        f"{stage.policy.window} seconds pass, nobody objects: the contract is called, and now knows the digit is {read}"
    )
    return claim.output == truth.output and read == _digit(truth.output), finalized, read


async def _settle(stage: Stage, request_id: RequestId) -> bool:
    """Let the honest claim's window pass; whether its answer reached the contract."""
    node = str(stage.accounts["node"].address)
    claim = await stage.event(ClaimProposed, lambda e: e.request_id == request_id and e.claimant == node)
    await stage.advance_to(await stage.client.final_at(claim.claim_id))
    delivered = await stage.event(Delivered, lambda e: e.request_id == request_id)
    return delivered.kind is DeliveryKind.FINAL and delivered.success and delivered.claim_id == claim.claim_id


async def _lie(
    stage: Stage, consumer: Consumer, shelved: ShelvedModel, request: bytes, truth: Answer, say: Say
) -> tuple[ClaimId, RequestId, LyingClaim]:
    """The same question again; a liar turns one number deep in the network so that another digit comes out."""
    lie, lying = _mislead(shelved, request, truth)
    request_id = await _ask(stage, consumer, request)
    claim_id = await stage.claim("liar", request_id, lying.output, lying.witness)
    told = _digit(lying.output)
    say(
        f"asked again, another node answers {told}: it turned one number of tensor {lie.tensor} and computed on"
    )
    return claim_id, request_id, lying


async def _dispute(stage: Stage, claim_id: ClaimId, lying: LyingClaim, say: Say) -> None:
    """A watcher that holds the model comes along; the liar defends its lie to the end."""
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_lying(stage, claim_id, lying))
        await stage.event(ChallengeOpened, lambda e: e.claim_id == claim_id)
        say(
            "a watcher runs the model itself, sees another answer, and challenges; the two descend the claim's trace"
        )
        settled = await stage.event(ChallengeSettled, lambda e: e.claim_id == claim_id)
    if settled.status is ChallengeStatus.WON:
        reward = settled.to_challenger / 1e18
        say(
            f"the contract recomputes one element: the liar's bond is gone, the watcher gets {reward:g} ether"
        )


def _mislead(shelved: ShelvedModel, request: bytes, truth: Answer) -> tuple[Lie, LyingClaim]:
    """One wrong number that makes another digit of it: in the largest product where one does."""
    tape = shelved.model.tape
    symbols = shelved.model.symbols(shelved.model.sources(request, truth.output, truth.witness))
    products = [
        index for index, instruction in enumerate(tape.instructions) if instruction.opcode is Opcode.MATMUL
    ]
    for tensor in sorted(products, key=lambda index: -tape.instructions[index].count(symbols)):
        with suppress(ConfigError):
            return invent_lie(
                *(shelved.model, shelved.executor, request, truth, tensor),
                wanted=lambda output: _digit(output) != _digit(truth.output),
            )
    raise ConfigError("no lie was found that turns this digit into another: try another image")


async def _digit_in(stage: Stage, consumer: Consumer, request_id: RequestId) -> int | None:
    """What the contract holds as the answer; None before it has one."""
    data = consumer.functions.encode("digitPlusOne", [request_id])
    answer = await stage.chain.web3.eth.call({"to": consumer.address, "data": data})
    digit_plus_one = int(consumer.functions.decode("digitPlusOne", bytes(answer))[0])
    return digit_plus_one - 1 if digit_plus_one else None


def _digit(output: bytes) -> int:
    return int(np.frombuffer(output, "<f4").argmax())


def _short(identifier: bytes) -> str:
    return f"0x{identifier[:4].hex()}…"
