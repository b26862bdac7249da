"""What the image and the compose file run, run here: there is no container engine in the tests."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from oracle_node.chain.embedded import open_dev_chain

ROOT = Path(__file__).resolve().parents[2]


def _context(folder: Path) -> Path:
    """What .dockerignore lets into the image."""
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name in allowed:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.slow
def test_dockerfile__its_steps__give_a_command_that_knows_the_shipped_model(tmp_path: Path) -> None:
    steps = re.findall(r"^RUN (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(steps) == 2 and steps[1].startswith("useradd")
    context, prefix = _context(tmp_path / "context"), tmp_path / "prefix"
    step = steps[0].replace("/opt/oracle-node", shlex.quote(str(prefix))).replace("PIP_NO_CACHE_DIR=1 ", "")
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(["sh", "-c", step], cwd=context, check=True, env=environment, timeout=600)
    home = tmp_path / "home"
    home.mkdir()
    source = "from oracle_node.shipped import shipped; print(shipped().source)"
    at = subprocess.run(
        [prefix / "bin/python", "-c", source], cwd=home, capture_output=True, text=True, check=True
    )
    command = [
        prefix / "bin/oracle-node",
        "model",
        "import",
        at.stdout.strip(),
        "--out",
        "digits",
        "--no-measure",
    ]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, env={"HOME": str(home)})
    assert done.returncode == 0 and "model id" in done.stdout, done.stderr
    assert str(prefix) in at.stdout


def test_compose__its_files_and_commands__are_there() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    mounts = [volume for service in services.values() for volume in service.get("volumes", [])]
    files = [volume.split(":")[0] for volume in mounts if volume.startswith("./")]
    assert files and all((ROOT / "deploy" / file).is_file() for file in files)
    token = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())["scrape_configs"][0][
        "authorization"
    ]
    assert f'token = "{token["credentials"]}"' in (ROOT / "deploy" / "setup.sh").read_text()


@pytest.mark.slow
async def test_compose__its_setup__leaves_a_node_that_can_start(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    async with open_dev_chain("anvil") as chain:
        environment = {"PATH": path, "HOME": str(tmp_path), "ORACLE_RPC": chain.url}
        for command in (
            ["sh", str(ROOT / "deploy" / "setup.sh")],
            ["oracle-node", "run", "--config", "node.toml", "--dry-run"],
        ):
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    assert "dry run" in done.stdout
