"""Encrypted key files in the common Web3 format; keys never appear in logs, messages or `repr`."""

import json
import os
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from oracle_node.errors import ConfigError


def create_key(path: Path, password: str, *, iterations: int | None = None) -> LocalAccount:
    """Make a new key, encrypt it into a new file readable by its owner alone, and return the account."""
    account: LocalAccount = Account.create()
    _write(path, account, password, iterations)
    return account


def import_key(path: Path, private_key: str, password: str, *, iterations: int | None = None) -> LocalAccount:
    """Encrypt an existing private key (hex) into a new file."""
    try:
        account: LocalAccount = Account.from_key(private_key)
    except ValueError as error:
        raise ConfigError("that is not a private key: 32 bytes in hex are needed") from error
    _write(path, account, password, iterations)
    return account


def load_key(path: Path, password: str) -> LocalAccount:
    """Decrypt a key file; ConfigError, in one line, for a missing file, a damaged one or a wrong password."""
    content = _read(path)
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(content, password))
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise ConfigError(f"wrong password for the key file {path}") from error
        raise ConfigError(f"the key file {path} is damaged: {error}") from error
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not a Web3 key file (version 3)") from error
    return account


def read_password(path: Path) -> str:
    """A password from the first line of a file."""
    try:
        return path.read_text("utf-8").splitlines()[0]
    except (OSError, IndexError) as error:
        raise ConfigError(f"no password in {path}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the key file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a Web3 key file: it is not JSON") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a Web3 key file (version 3)")
    return content


def _write(path: Path, account: LocalAccount, password: str, iterations: int | None) -> None:
    content = json.dumps(Account.encrypt(account.key, password, iterations=iterations))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"{path} exists already: a key file is never overwritten") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
