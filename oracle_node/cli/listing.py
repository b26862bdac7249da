"""Listing a model on chain."""

from dataclasses import asdict, replace
from typing import Any

from oracle_node.chain.terms import least_policy, listed_model
from oracle_node.cli.session import Session
from oracle_node.model.model import Model


async def register_model(
    session: Session,
    model: Model,
    *,
    window: int | None,
    clock: int | None,
    claim_bond: int | None,
    challenge_bond: int | None,
    min_fee: int,
    commit_reveal: bool,
    dry_run: bool,
) -> dict[str, Any]:
    """List the model; times in seconds, money in wei, None for the least. RevertError where a term is too low."""
    async with session.client() as client:
        least = least_policy(
            await client.limits(), model.commitment, min_fee_wei=min_fee, commit_reveal=commit_reveal
        )
        policy = replace(
            least,
            window=window or least.window,
            challenger_clock=clock or least.challenger_clock,
            defender_clock=clock or least.defender_clock,
            claim_bond=least.claim_bond if claim_bond is None else claim_bond,
            challenge_bond=least.challenge_bond if challenge_bond is None else challenge_bond,
        )
        call = client.calls.list_model(listed_model(model.commitment), policy)
        sender = client.sender(session.account(client.chain_id))
        spent = (
            {"gas": await sender.simulate(call)}
            if dry_run
            else {"gas_used": (await sender.send(call)).gas_used}
        )
        listing_id = client.listing_id(model.model_id, policy)
    return {
        "model_id": model.model_id,
        "listing_id": listing_id,
        "dry_run": dry_run,
        **spent,
        "policy": asdict(policy),
    }
