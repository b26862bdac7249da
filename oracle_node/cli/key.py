"""`oracle-node key`: encrypted key files."""

import sys
from pathlib import Path

import click

from oracle_node.chain.keystore import create_key, import_key, load_key, read_password
from oracle_node.cli.options import ask_password, existing_file, has_terminal
from oracle_node.cli.output import Output, json_option
from oracle_node.errors import ConfigError

_new_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_password_file = click.option(
    "--password-file", type=existing_file, help="The password is its first line. [default: asked for]"
)


@click.group()
def key() -> None:
    """Make and read encrypted key files."""


@key.command()
@_new_file
@_password_file
@json_option
def new(file: Path, password_file: Path | None, out: Output) -> None:
    """Make a key and encrypt it into FILE, which must not exist yet."""
    account = create_key(file, _password(file, password_file, confirm=True))
    out.result({"address": account.address, "file": file})


@key.command(name="import")
@_new_file
@_password_file
@json_option
def import_(file: Path, password_file: Path | None, out: Output) -> None:
    """Encrypt a private key, which is asked for, into FILE."""
    account = import_key(file, _secret(), _password(file, password_file, confirm=True))
    out.result({"address": account.address, "file": file})


@key.command()
@click.argument("file", type=existing_file)
@_password_file
@json_option
def check(file: Path, password_file: Path | None, out: Output) -> None:
    """Decrypt FILE and show whose key it is."""
    account = load_key(file, _password(file, password_file, confirm=False))
    out.result({"address": account.address, "file": file})


def _password(file: Path, password_file: Path | None, confirm: bool) -> str:
    if password_file is not None:
        return read_password(password_file)
    return ask_password(str(file), "give --password-file", confirm=confirm)


def _secret() -> str:
    """The private key: the first line of what is piped in, or typed."""
    if not sys.stdin.isatty() and (line := sys.stdin.readline().strip()):
        return line
    if has_terminal():
        return str(click.prompt("Private key (hex)", hide_input=True, err=True))
    raise ConfigError("no private key: type it on a terminal, or pipe it in")
