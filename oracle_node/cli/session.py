"""Options that name a chain, an oracle and a key, and the connections they stand for."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import update_wrapper
from pathlib import Path
from typing import Any

import click
from eth_account.signers.local import LocalAccount

from oracle_node.chain.client import OracleClient
from oracle_node.chain.embedded import CHAIN_ID, dev_accounts
from oracle_node.chain.keystore import load_key, read_password
from oracle_node.chain.rpc import Web3, connect
from oracle_node.cli.options import ask_password, existing_file
from oracle_node.errors import ConfigError

Command = Callable[..., Any]
DEFAULT_RPC = "http://127.0.0.1:8545"


@dataclass(frozen=True, slots=True)
class Session:
    """How to reach a chain, and who we are on it; nothing is opened yet."""

    rpc: str
    oracle: str | None
    keystore: Path | None
    password_file: Path | None
    dev_account: int | None

    @asynccontextmanager
    async def web3(self) -> AsyncIterator[Web3]:
        """A connection to the chain alone."""
        async with connect(self.rpc) as web3:
            yield web3

    @asynccontextmanager
    async def client(self) -> AsyncIterator[OracleClient]:
        """A connection to the oracle; ConfigError where none is named."""
        if self.oracle is None:
            raise ConfigError("which oracle? Give --oracle ADDRESS (`chain deploy` prints it)")
        async with connect(self.rpc) as web3:
            yield await OracleClient.open(web3, self.oracle)

    def account(self, chain_id: int) -> LocalAccount:
        """The key to send with; ConfigError where none is named, or a public one on a real chain."""
        if self.keystore is not None:
            if self.password_file is not None:
                return load_key(self.keystore, read_password(self.password_file))
            return load_key(self.keystore, ask_password(str(self.keystore), "give --password-file"))
        if self.dev_account is None:
            raise ConfigError("which key? Give --keystore FILE, or --dev-account N on a development chain")
        if chain_id != CHAIN_ID:
            raise ConfigError(
                f"--dev-account keys are public: they are for chain {CHAIN_ID}, this is chain {chain_id}"
            )
        return dev_accounts(self.dev_account + 1)[self.dev_account]


_OPTIONS = (
    click.option("--rpc", default=DEFAULT_RPC, show_default=True, envvar="ORACLE_RPC", help="JSON-RPC of the chain."),
    click.option("--oracle", "oracle_address", envvar="ORACLE_ADDRESS", metavar="ADDRESS", help="The oracle contract."),
    click.option("--keystore", type=existing_file, envvar="ORACLE_KEYSTORE", help="Encrypted key to send with."),
    click.option("--password-file", type=existing_file, help="Its password [default: asked for]."),
    click.option("--dev-account", type=click.IntRange(0, 9), help="A development chain's account, without keystore."),
)  # fmt: skip


def session_options(command: Command) -> Command:
    """Adds the options, and hands the command a `Session` as `session`."""

    def wrapped(
        *args: Any,
        rpc: str,
        oracle_address: str | None,
        keystore: Path | None,
        password_file: Path | None,
        dev_account: int | None,
        **kwargs: Any,
    ) -> Any:
        session = Session(rpc, oracle_address, keystore, password_file, dev_account)
        return command(*args, session=session, **kwargs)

    decorated = update_wrapper(wrapped, command)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Check and show what would be sent; send nothing."
)
