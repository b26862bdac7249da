"""`oracle-node dispute open | play | watch`: the commands that move."""

import asyncio
from pathlib import Path
from typing import Any

import click
from platformdirs import user_state_path

from oracle_node.chain.observe import observe_challenge, observe_claim
from oracle_node.chain.types import ChallengeId, ChallengeKey, ClaimId
from oracle_node.cli.cases import find_case, find_challenge, shelved_for, verdict_facts
from oracle_node.cli.logs import configure_logs
from oracle_node.cli.options import from_block_option, models_option, parse_hash
from oracle_node.cli.output import Output, json_option
from oracle_node.cli.session import Session, dry_run_option, session_options
from oracle_node.config import parse_config
from oracle_node.errors import ConfigError, ProtocolError
from oracle_node.game.judge import judge
from oracle_node.game.moves import Open
from oracle_node.game.strategy import Player, challenger_moves
from oracle_node.model.directory import load_model
from oracle_node.node.node import Ready, run_node, stop_on_signals
from oracle_node.node.shelf import Shelf, shelve
from oracle_node.players.submission import call_of, name_of

POLL_S = 1.0


@click.command("open")
@click.argument("claim", metavar="CLAIM")
@models_option
@click.option(
    "--nonce", type=click.IntRange(0), default=0, show_default=True, help="Tells apart challenges of one key."
)
@from_block_option
@session_options
@dry_run_option
@json_option
def open_challenge(
    claim: str,
    directories: tuple[Path, ...],
    nonce: int,
    from_block: int,
    session: Session,
    dry_run: bool,
    out: Output,
) -> None:
    """Audit a claim, and challenge it if it is wrong. Locks the challenge bond."""
    claim_id = ClaimId(parse_hash(claim, "claim id"))
    out.result(asyncio.run(_open(session, claim_id, directories, nonce, from_block, dry_run)))


async def _open(
    session: Session,
    claim_id: ClaimId,
    directories: tuple[Path, ...],
    nonce: int,
    from_block: int,
    dry_run: bool,
) -> dict[str, Any]:
    async with session.client() as client:
        case = await find_case(client, claim_id, from_block)
        verdict = await asyncio.to_thread(judge, case.knowledge(shelved_for(case, directories)))
        if verdict.is_right:
            raise ProtocolError("the claim is right: challenging it would lose the bond")
        sender = client.sender(session.account(client.chain_id))
        bond_wei = case.listing.policy.challenge_bond
        call = call_of(client.calls, Open(claim_id, nonce), bond_wei)
        spent = (
            {"gas": await sender.simulate(call)}
            if dry_run
            else {"gas_used": (await sender.send(call)).gas_used}
        )
        challenge_id = client.challenge_id(ChallengeKey(claim_id, sender.address, nonce))
    return {
        "challenge_id": challenge_id,
        "bond_wei": bond_wei,
        "dry_run": dry_run,
        **spent,
        **verdict_facts(case, verdict),
    }


@click.command()
@click.argument("challenge", metavar="CHALLENGE")
@models_option
@from_block_option
@session_options
@dry_run_option
@json_option
def play(
    challenge: str,
    directories: tuple[Path, ...],
    from_block: int,
    session: Session,
    dry_run: bool,
    out: Output,
) -> None:
    """Make the challenger's moves until the challenge is settled; with --dry-run show the next one."""
    challenge_id = ChallengeId(parse_hash(challenge, "challenge id"))
    out.result(asyncio.run(_play(session, challenge_id, directories, from_block, dry_run, out)))


async def _play(
    session: Session,
    challenge_id: ChallengeId,
    directories: tuple[Path, ...],
    from_block: int,
    dry_run: bool,
    out: Output,
) -> dict[str, Any]:
    moves: list[dict[str, Any]] = []
    async with session.client() as client:
        key = await find_challenge(client, challenge_id, from_block)
        case = await find_case(client, ClaimId(key.claim_id), from_block)
        sender = client.sender(session.account(client.chain_id))
        if sender.address != key.challenger:
            raise ConfigError(f"the challenge is {key.challenger}'s, the key is {sender.address}'s")
        knowledge = case.knowledge(shelved_for(case, directories))
        with out.progress("tracing", len(knowledge.tape.instructions)) as advance:
            await asyncio.to_thread(knowledge.run, lambda _: advance(1))
        player = Player(sender.address, key.nonce)
        while True:
            claim = await observe_claim(client, case.claim_id, from_block)
            state = await observe_challenge(client, key)
            if not state.is_active:
                return {"challenge_id": challenge_id, "status": state.status.name, "moves": moves}
            now = (await client.head()).timestamp
            due = await asyncio.to_thread(challenger_moves, claim, [state], knowledge, player, now)
            if dry_run:
                planned = [{"move": name_of(d.move), "limit": d.limit} for d in due]
                return {
                    "challenge_id": challenge_id,
                    "status": state.status.name,
                    "dry_run": True,
                    "moves": planned,
                }
            for move in (d.move for d in due):
                receipt = await sender.send(call_of(client.calls, move))
                moves.append({"move": name_of(move), "gas_used": receipt.gas_used})
                out.say(f"{name_of(move)}  {receipt.gas_used:,} gas")
            if not due:
                await asyncio.sleep(POLL_S)


@click.command()
@models_option
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    help="State file [default: in your state folder].",
)
@from_block_option
@session_options
@dry_run_option
@json_option
def watch(
    directories: tuple[Path, ...],
    store: Path | None,
    from_block: int,
    session: Session,
    dry_run: bool,
    out: Output,
) -> None:
    """Check every claim on the given models and challenge the wrong ones; with --dry-run only report."""
    if not directories:
        raise ConfigError("which models? Give --model DIR, as often as needed")
    configure_logs("info", as_json=out.as_json)
    asyncio.run(_watch(session, directories, store, from_block, dry_run, out))


async def _watch(
    session: Session,
    directories: tuple[Path, ...],
    store: Path | None,
    from_block: int,
    dry_run: bool,
    out: Output,
) -> None:
    async with session.client() as client:
        chain_id, oracle = client.chain_id, client.oracle
    account = session.account(chain_id)
    store = (
        store
        or user_state_path("oracle-node", ensure_exists=True)
        / f"watch-{chain_id}-{oracle}-{account.address}.db"
    )
    config = parse_config(
        {
            "chain": {"rpc": session.rpc, "chain_id": chain_id, "oracle": oracle, "start_block": from_block},
            "key": {"keystore": session.keystore or Path("unused")},
            "store": store,
            "roles": {
                "answer": False,
                "defend": False,
                "settle": False,
                "watch": True,
                "challenge": not dry_run,
            },
        }
    )
    with out.progress("proving the models", len(directories)) as advance:
        shelved = []
        for directory in directories:
            shelved.append(shelve(load_model(directory)))
            advance(1)
    stop = asyncio.Event()
    stop_on_signals(stop)

    def ready(node: Ready) -> None:
        facts = {"address": node.address, "models": list(node.models), "dry_run": dry_run, "store": store}
        out.result(facts)

    await run_node(config, account, stop, shelf=Shelf(shelved), on_ready=ready)
