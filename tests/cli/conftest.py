"""Running commands in this process, as `main` would run them."""

import pytest

from oracle_node.cli.app import main
from tests.cli.running import Cli, Ran


@pytest.fixture
def oracle(capfd: pytest.CaptureFixture[str]) -> Cli:
    """`oracle("model", "inspect", folder)` → exit code, stdout, stderr."""

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Ran(int(stopped.value.code or 0), captured.out, captured.err)

    return run
