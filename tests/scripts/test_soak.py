"""The soak in its reduced form: a minute under siege, and the books."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oracle_node.chain.embedded import find_anvil

SIEGE = ["--requests", "24", "--rate", "6", "--consumers", "6", "--lies", "15", "--window", "30"]
ATTACKS = ["--kill-every", "14", "--reorg-every", "10", "--faults", "3", "--grace", "240"]


@pytest.mark.skipif(find_anvil() is None, reason="anvil is not installed")
def test_soak__requests_lies_kills_reorgs_and_a_faulty_rpc__the_books_are_right(repository: Path) -> None:
    command = [sys.executable, "scripts/soak.py", *SIEGE, *ATTACKS, "--json"]
    ended = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(ended.stdout)
    assert found["failures"] == {} and found["requests"] == 24
    assert found["kills"] and found["reorgs"] and found["lost_calls"] and found["lies_refuted"]
