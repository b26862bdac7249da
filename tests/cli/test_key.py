"""`oracle-node key`: what is made can be read again, with its password alone."""

from pathlib import Path

import pytest

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
