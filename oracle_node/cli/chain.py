"""`oracle-node chain`: a development chain, and deploying the contracts."""

import asyncio
from dataclasses import asdict
from typing import Any

import click

from oracle_node.chain.abi import Functions
from oracle_node.chain.client import ORACLE
from oracle_node.chain.deploy import DEFAULT_LIMITS, DEV_LIMITS, EVALUATOR, deploy_oracle
from oracle_node.chain.embedded import Engine, open_dev_chain
from oracle_node.chain.journal import Call
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.rpc import Web3, translated
from oracle_node.chain.transactions import Sender
from oracle_node.chain.types import ZERO_ADDRESS, Limits
from oracle_node.cli.options import engine_option
from oracle_node.cli.output import Output, json_option
from oracle_node.cli.session import Session, dry_run_option, session_options
from oracle_node.contracts import artifact_names, load_artifact


@click.group()
def chain() -> None:
    """A development chain; deploy the contracts."""


@chain.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8545, show_default=True, help="0 takes a free one."
)
@click.option(
    "--block-time",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Seconds between blocks beside those of transactions, so that clocks run; 0 for none.",
)
@engine_option
@json_option
def dev(port: int, block_time: float, engine: Engine, out: Output) -> None:
    """Run a development chain with funded accounts until interrupted."""
    asyncio.run(_serve(port, block_time, engine, out))


async def _serve(port: int, block_time_s: float, engine: Engine, out: Output) -> None:
    async with open_dev_chain(engine, port=port) as chain:
        out.result(
            {
                "rpc": chain.url,
                "engine": chain.engine,
                "accounts": [
                    {"address": account.address, "private_key": "0x" + bytes(account.key).hex()}
                    for account in chain.accounts
                ],
            }
        )
        out.say("[dim]Keys of a development chain are public. Stop with Ctrl-C.[/]")
        while block_time_s:
            await asyncio.sleep(block_time_s)
            await chain.mine()
        await asyncio.Event().wait()


@chain.command()
@session_options
@click.option(
    "--dev-limits", is_flag=True, help="Windows and clocks of a minute: for development chains only."
)
@dry_run_option
@json_option
def deploy(session: Session, dev_limits: bool, dry_run: bool, out: Output) -> None:
    """Deploy the evaluator and an oracle; its floors and caps are fixed for ever."""
    limits = DEV_LIMITS if dev_limits else DEFAULT_LIMITS
    out.result(asyncio.run(_deploy(session, limits, dry_run)))


async def _deploy(session: Session, limits: Limits, dry_run: bool) -> dict[str, Any]:
    async with session.web3() as web3:
        decoder = RevertDecoder(load_artifact(name).abi for name in artifact_names())
        chain_id = await chain_id_of(web3)
        sender = Sender(web3, session.account(chain_id), decoder)
        if not dry_run:
            return {**asdict(await deploy_oracle(sender, chain_id, limits)), "limits": asdict(limits)}
        gas = 0
        for name, arguments in ((EVALUATOR, []), (ORACLE, [ZERO_ADDRESS, limits])):
            artifact = load_artifact(name)
            data = artifact.bytecode + Functions(artifact.abi).encode_constructor(arguments)
            gas += await sender.simulate(Call("", data, 0, f"deploy {name}"))
        return {
            "dry_run": True,
            "chain_id": chain_id,
            "deployer": sender.address,
            "gas": gas,
            "limits": asdict(limits),
        }


async def chain_id_of(web3: Web3) -> int:
    """The chain's id; TransientError where nobody answers."""
    async with translated(RevertDecoder([]), "connect"):
        return await web3.eth.chain_id
