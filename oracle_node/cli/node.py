"""`oracle-node run`: the node as a service."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import click
from eth_account.signers.local import LocalAccount

from oracle_node.chain.client import OracleClient
from oracle_node.chain.keystore import load_key, read_password
from oracle_node.chain.rpc import connect
from oracle_node.cli.logs import LEVELS, configure_logs
from oracle_node.cli.options import ask_password, existing_file
from oracle_node.cli.output import Output, json_option
from oracle_node.cli.session import dry_run_option
from oracle_node.config import Config, KeyFileConfig, load_config
from oracle_node.node.fetching import with_models_here
from oracle_node.node.node import Ready, run_node, stop_on_signals
from oracle_node.node.services import roles_of
from oracle_node.node.shelf import Shelf
from oracle_node.workers.process import Setup


@click.command()
@click.option("--config", "config_file", type=existing_file, required=True, help="TOML configuration.")
@click.option(
    "--log-level",
    type=click.Choice(list(LEVELS)),
    default="info",
    show_default=True,
    help="Least that is logged.",
)
@dry_run_option
@json_option
def run(config_file: Path, log_level: str, dry_run: bool, out: Output) -> None:
    """Run the node: answer, watch, challenge.

    --json also makes the logs on stderr JSON lines. --dry-run checks configuration, key, models and chain.
    """
    config = load_config(config_file)
    configure_logs(log_level, as_json=out.as_json)
    set_up_worker = partial(configure_logs, log_level, as_json=out.as_json)
    asyncio.run(_check(config, out) if dry_run else _run(config, set_up_worker, out))


def _unlocked(key: KeyFileConfig) -> LocalAccount:
    if key.password_file is not None:
        password = read_password(key.password_file)
    else:
        password = ask_password(str(key.keystore), "set password_file under [key] in the configuration")
    return load_key(key.keystore, password)


async def _run(config: Config, set_up_worker: Setup, out: Output) -> None:
    account, helpers = _unlocked(config.key), [_unlocked(key) for key in config.key.helpers]
    stop = asyncio.Event()
    stop_on_signals(stop)

    def ready(node: Ready) -> None:
        out.result({"address": node.address, "models": list(node.models), "api": node.api_url})

    await run_node(config, account, stop, helpers=helpers, worker_setup=set_up_worker, on_ready=ready)


async def _check(config: Config, out: Output) -> None:
    account, helpers = _unlocked(config.key), [_unlocked(key) for key in config.key.helpers]
    config = await with_models_here(config)
    with out.progress("proving the models", len(config.models)) as advance:
        shelf = Shelf.load(_counted(config.directories, advance), config.inference.threads, config.llama)
    async with connect(*config.chain.rpc_urls) as web3:
        client = await OracleClient.open(web3, config.chain.oracle, chain_id=config.chain.chain_id)
        head, balance_wei = await client.head(), await client.balance(account.address)
    out.result(
        {
            "dry_run": True,
            "address": account.address,
            "helpers": [helper.address for helper in helpers],
            "chain_id": client.chain_id,
            "oracle": client.oracle,
            "head": head.number,
            "balance_wei": balance_wei,
            "roles": [role.name for role in roles_of(config.roles)],
            "models": [model.model_id for model in shelf],
        }
    )


def _counted(paths: tuple[Path, ...], advance: Any) -> Any:
    for path in paths:
        yield path
        advance(1)
