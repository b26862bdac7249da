"""Key files: what they give back, and what goes wrong in one line."""

from pathlib import Path

import pytest

from oracle_node.chain.keystore import create_key, import_key, load_key
from oracle_node.errors import ConfigError

KEY = "0x" + "11" * 32


def test_import_key__right_password__same_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "node.json"
    account = import_key(path, KEY, "secret", iterations=2)
    assert bytes(load_key(path, "secret").key) == bytes(account.key) == bytes.fromhex(KEY[2:])
    assert path.stat().st_mode & 0o077 == 0
    assert KEY[2:] not in path.read_text()


def test_load_key__wrong_password__one_line_without_the_password(tmp_path: Path) -> None:
    create_key(tmp_path / "k.json", "secret", iterations=2)
    with pytest.raises(ConfigError, match=r"^wrong password for the key file .*k\.json$"):
        load_key(tmp_path / "k.json", "other")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 3, "crypto": {}}', "not json"])
def test_load_key__not_a_key_file__config_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "k.json").write_text(content)
    with pytest.raises(ConfigError, match=r"k\.json"):
        load_key(tmp_path / "k.json", "secret")


def test_load_key__missing__config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_key(tmp_path / "k.json", "secret")


def test_create_key__file_exists__never_overwritten(tmp_path: Path) -> None:
    create_key(tmp_path / "k.json", "secret", iterations=2)
    before = (tmp_path / "k.json").read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        create_key(tmp_path / "k.json", "secret", iterations=2)
    assert (tmp_path / "k.json").read_bytes() == before
