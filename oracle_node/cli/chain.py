"""`oracle-node chain`: a development chain, and deploying the contracts."""

import asyncio

import click

from oracle_node.chain.embedded import Engine, open_dev_chain
from oracle_node.cli.output import Output, json_option


@click.group()
def chain() -> None:
    """A development chain; deploy the contracts."""


@chain.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8545, show_default=True, help="0 takes a free one."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "anvil", "pyevm"]),
    default="auto",
    show_default=True,
    help="auto: anvil where it is installed, py-evm in this process otherwise.",
)
@json_option
def dev(port: int, engine: Engine, out: Output) -> None:
    """Run a development chain with funded accounts until interrupted."""
    asyncio.run(_serve(port, engine, out))


async def _serve(port: int, engine: Engine, out: Output) -> None:
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
        await asyncio.Event().wait()
