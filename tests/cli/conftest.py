"""Running commands in this process, as `main` would run them."""

from collections.abc import Iterator

import pytest
import structlog

from oracle_node.cli.app import main
from tests.cli.running import Cli, Ran


@pytest.fixture
def oracle(capfd: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """`oracle("model", "inspect", folder)` → exit code, stdout, stderr."""

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Ran(int(stopped.value.code or 0), captured.out, captured.err)

    yield run
    structlog.reset_defaults()  # a command may have set logs up for this test's streams, which end here
