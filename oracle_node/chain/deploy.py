"""Deploying the oracle and example consumers from the artifacts that the package ships."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from oracle_node.chain.abi import Functions
from oracle_node.chain.client import ORACLE
from oracle_node.chain.journal import Call
from oracle_node.chain.transactions import Receipt, Sender
from oracle_node.chain.types import Address, Limits
from oracle_node.contracts import load_artifact

EVALUATOR = "ElementEvaluator"
_GWEI = 10**9
_HOUR_S = 3600

DEFAULT_LIMITS = Limits(
    min_window=_HOUR_S,
    min_clock=_HOUR_S // 2,
    min_reveal_timeout=600,
    settle_margin=_HOUR_S,
    request_lifetime=24 * _HOUR_S,
    max_input_bytes=65_536,
    max_claim_bytes=65_536,
    max_step_bytes=24_576,
    min_claim_bond=10**16,
    min_challenge_bond=10**16,
    callback_gas_price=2 * _GWEI,
    trace_second_price=10**12,
)
"""Floors for a public chain."""

DEV_LIMITS = replace(
    DEFAULT_LIMITS,
    min_window=60,
    min_clock=60,
    min_reveal_timeout=30,
    settle_margin=60,
    request_lifetime=_HOUR_S,
)
"""Floors for a development chain, where minutes are enough."""


@dataclass(frozen=True)
class Deployment:
    """Where an oracle lies: what a node's configuration names."""

    chain_id: int
    oracle: Address
    evaluator: Address
    block: int
    gas_used: int


async def deploy_oracle(sender: Sender, chain_id: int, limits: Limits = DEFAULT_LIMITS) -> Deployment:
    """Deploy the evaluator and an oracle on top of it, with these floors and caps for ever."""
    evaluator = await deploy_contract(sender, EVALUATOR)
    oracle = await deploy_contract(sender, ORACLE, [address_of(evaluator), limits])
    return Deployment(
        chain_id,
        address_of(oracle),
        address_of(evaluator),
        evaluator.block_number,
        evaluator.gas_used + oracle.gas_used,
    )


async def deploy_contract(
    sender: Sender, name: str, arguments: Sequence[Any] = (), value_wei: int = 0
) -> Receipt:
    """Deploy a shipped contract by its Solidity name."""
    artifact = load_artifact(name)
    data = artifact.bytecode + Functions(artifact.abi).encode_constructor(arguments)
    return await sender.send(Call("", data, value_wei, f"deploy {name}"))


def address_of(receipt: Receipt) -> Address:
    """The address that a deployment's receipt names."""
    assert receipt.contract_address is not None
    return Address(receipt.contract_address)
