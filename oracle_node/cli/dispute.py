"""`oracle-node dispute`: look at claims and challenges, and play them."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from oracle_node.chain.events import ChallengeOpened, ElementProved, Picked
from oracle_node.chain.types import ChallengeId, ChallengeKey, ClaimId
from oracle_node.cli.cases import (
    Case,
    find_case,
    find_challenge,
    instruction_count,
    shelved_for,
    verdict_facts,
)
from oracle_node.cli.dispute_moves import open_challenge, play, watch
from oracle_node.cli.disputes import descent_of, name_tensor
from oracle_node.cli.options import from_block_option, models_option, parse_hash
from oracle_node.cli.output import Output, json_option
from oracle_node.cli.session import Session, session_options
from oracle_node.game.judge import judge
from oracle_node.node.shelf import ShelvedModel
from oracle_node.tape.instruction import NO_INDEX


@click.group()
def dispute() -> None:
    """List, audit, open and play disputes."""


@dispute.command("list")
@click.option("--all", "everything", is_flag=True, help="Settled ones too.")
@from_block_option
@session_options
@json_option
def list_challenges(everything: bool, from_block: int, session: Session, out: Output) -> None:
    """Challenges, whose turn it is, and until when."""
    found = asyncio.run(_list(session, everything, from_block))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("challenge", "claim", "challenger", "status", "turn", "limit"):
        table.add_column(column, overflow="fold")
    for row in found:
        table.add_row(
            *(str(row[key]) for key in ("challenge_id", "claim_id", "challenger", "status", "turn", "limit"))
        )
    out.result({"challenges": found}, table)


async def _list(session: Session, everything: bool, from_block: int) -> list[dict[str, Any]]:
    rows = []
    async with session.client() as client:
        for entry in await client.past_events(["ChallengeOpened"], first_block=from_block):
            assert isinstance(entry.event, ChallengeOpened)
            opened = entry.event
            view = await client.challenge(ChallengeKey(opened.claim_id, opened.challenger, opened.nonce))
            if everything or view.status.name == "ACTIVE":
                rows.append(
                    {
                        "challenge_id": f"0x{opened.challenge_id.hex()}",
                        "claim_id": f"0x{opened.claim_id.hex()}",
                        "challenger": opened.challenger,
                        "status": view.status.name,
                        "turn": view.turn.name,
                        "limit": view.limit,
                        "instruction": None if view.instruction == NO_INDEX else view.instruction,
                        "height": view.height,
                    }
                )
    return rows


@dispute.command()
@click.argument("challenge", metavar="CHALLENGE")
@models_option
@from_block_option
@session_options
@json_option
def show(
    challenge: str, directories: tuple[Path, ...], from_block: int, session: Session, out: Output
) -> None:
    """One challenge: its state, and the descent drawn."""
    asyncio.run(
        _show(session, ChallengeId(parse_hash(challenge, "challenge id")), directories, from_block, out)
    )


async def _show(
    session: Session, challenge_id: ChallengeId, directories: tuple[Path, ...], from_block: int, out: Output
) -> None:
    async with session.client() as client:
        key = await find_challenge(client, challenge_id, from_block)
        case = await find_case(client, ClaimId(key.claim_id), from_block)
        view = await client.challenge(key)
        logged = await client.past_events(
            ["Picked", "ElementProved"], first_block=from_block, topic=challenge_id
        )
        count = await instruction_count(client, case.request.listing_id, from_block)
    events = [entry.event for entry in logged]
    picks = [event for event in events if isinstance(event, Picked)]
    proved = next((event for event in events if isinstance(event, ElementProved)), None)
    if not out.as_json and picks:
        model = shelved_for(case, directories).model if directories else None
        out.say(descent_of(picks, proved, count, lambda index: name_tensor(model, index)))
        out.say()
    out.result(
        {
            "challenge_id": challenge_id,
            "claim_id": key.claim_id,
            "challenger": key.challenger,
            "claimant": case.view.claimant,
            "status": view.status.name,
            "turn": view.turn.name,
            "limit": view.limit,
            "picks": [asdict(pick) for pick in picks] if out.as_json else len(picks),
            "proved": asdict(proved) if proved else None,
        }
    )


@dispute.command()
@click.argument("claim", metavar="CLAIM")
@models_option
@from_block_option
@session_options
@json_option
def audit(claim: str, directories: tuple[Path, ...], from_block: int, session: Session, out: Output) -> None:
    """Is a claim right? Runs the model; sends nothing."""
    claim_id = ClaimId(parse_hash(claim, "claim id"))
    case, shelved = asyncio.run(_case(session, claim_id, directories, from_block))
    verdict = judge(case.knowledge(shelved))
    out.result(verdict_facts(case, verdict))


async def _case(
    session: Session, claim_id: ClaimId, directories: tuple[Path, ...], from_block: int
) -> tuple[Case, ShelvedModel]:
    async with session.client() as client:
        case = await find_case(client, claim_id, from_block)
    return case, shelved_for(case, directories)


@dispute.command()
@click.argument("claim", metavar="CLAIM")
@models_option
@from_block_option
@session_options
@json_option
def cost(claim: str, directories: tuple[Path, ...], from_block: int, session: Session, out: Output) -> None:
    """What refuting a claim takes at worst: bond, rounds and gas. Runs nothing, sends nothing."""
    from oracle_node.cli.costs import worst_case

    claim_id = ClaimId(parse_hash(claim, "claim id"))
    case, shelved = asyncio.run(_case(session, claim_id, directories, from_block))
    knowledge = case.knowledge(shelved)
    policy = case.listing.policy
    out.result(
        {
            "claim_id": claim_id,
            "challenge_bond_wei": policy.challenge_bond,
            "reward_wei": policy.claim_bond // 2,
            "challenger_clock_s": policy.challenger_clock,
            **worst_case(shelved.model, knowledge.symbols),
        }
    )


for command in (open_challenge, play, watch):
    dispute.add_command(command)
