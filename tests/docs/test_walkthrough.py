"""The walk-through, as a stranger would type it: every block of the page, in an empty folder with an empty home."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "walkthrough.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.slow
def test_walkthrough__every_block__runs_and_the_lie_is_refuted(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 7
    rpc = _port()
    script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "".join(blocks)
    script = (
        script.replace("8545", rpc).replace("8080", _port()).replace("chain dev", f"chain dev --port {rpc}")
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path), "ORACLE_RPC": f"http://127.0.0.1:{rpc}"}
    folder = tmp_path / "empty"
    folder.mkdir()
    ran = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    log = ran.stdout + ran.stderr
    assert "digit  7" in log, log[-4000:]
    assert "REFUTED" in (folder / "lie.txt").read_text() + log, log[-4000:]
    assert ran.returncode in (0, 143), log[-4000:]
