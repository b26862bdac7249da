"""`oracle-node key`: what is made can be read again, with its password alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from oracle_node.cli import options
from oracle_node.cli.session import Session
from oracle_node.errors import ConfigError
from tests.cli.running import Cli


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """A file with a password."""
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    return path


def test_key_new__then_check__is_the_same_address(oracle: Cli, tmp_path: Path, password: Path) -> None:
    file = str(tmp_path / "key.json")
    made = oracle("key", "new", file, "--password-file", str(password), "--json")
    assert made.code == 0
    checked = oracle("key", "check", file, "--password-file", str(password), "--json")
    assert checked.json["address"] == made.json["address"]


def test_key_check__wrong_password__is_one_line(oracle: Cli, tmp_path: Path, password: Path) -> None:
    file = str(tmp_path / "key.json")
    assert oracle("key", "new", file, "--password-file", str(password)).code == 0
    password.write_text("battery staple\n")
    ran = oracle("key", "check", file, "--password-file", str(password))
    assert ran.code == 1 and ran.err.count("\n") == 1 and "wrong password" in ran.err


def test_key_new__over_an_existing_file__is_refused(oracle: Cli, tmp_path: Path, password: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text("precious")
    ran = oracle("key", "new", str(file), "--password-file", str(password))
    assert ran.code == 1 and "exists already" in ran.err and file.read_text() == "precious"


def without_a_terminal(*arguments: object, typed: str = "") -> subprocess.CompletedProcess[str]:
    """A process of its own, in a session that has no terminal."""
    command = [sys.executable, "-m", "oracle_node", *map(str, arguments)]
    return subprocess.run(command, input=typed, capture_output=True, text=True, start_new_session=True)


@pytest.mark.parametrize("command", ["new", "check", "import"])
def test_key__without_a_terminal_or_a_password_file__is_one_line(
    tmp_path: Path, password: Path, oracle: Cli, command: str
) -> None:
    file = tmp_path / "key.json"
    if command == "check":
        assert oracle("key", "new", file, "--password-file", password).code == 0
    ran = without_a_terminal("key", command, file, typed="11" * 32 + "\n")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1), ran.stderr
    assert str(file) in ran.stderr and "--password-file" in ran.stderr
    assert file.exists() == (command == "check")


def test_key_import__of_a_piped_key__is_encrypted(tmp_path: Path, password: Path) -> None:
    file = tmp_path / "key.json"
    piped = without_a_terminal(
        "key", "import", file, "--password-file", password, "--json", typed="0" * 63 + "1\n"
    )
    assert (piped.returncode, piped.stderr) == (0, "")
    assert "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf" in piped.stdout


def test_key_import__of_nothing__is_one_line(tmp_path: Path, password: Path) -> None:
    ran = without_a_terminal("key", "import", tmp_path / "key.json", "--password-file", password)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "no private key" in ran.stderr


def test_commands__with_a_keystore_and_no_terminal__are_one_line(
    oracle: Cli, tmp_path: Path, password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key.json"
    assert oracle("key", "new", file, "--password-file", password).code == 0
    monkeypatch.setattr(options, "has_terminal", lambda: False)
    (tmp_path / "node.toml").write_text(
        f"""
        [chain]
        rpc = "http://127.0.0.1:1"
        oracle = "0x{"11" * 20}"
        chain_id = 31337
        [key]
        keystore = "{file.name}"
        """
    )
    ran = oracle("run", "--config", tmp_path / "node.toml", "--dry-run")
    assert (ran.code, ran.err.count("\n")) == (1, 1), ran.err
    assert "password_file under [key]" in ran.err
    with pytest.raises(ConfigError, match="--password-file"):
        Session("http://127.0.0.1:1", None, file, None, None).account(1)
