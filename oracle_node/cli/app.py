"""The command tree, and what a failure looks like: one line on stderr and a non-zero exit code."""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, cast

import click

from oracle_node.cli.text import one_line
from oracle_node.errors import OracleError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command known by its help line until it is used: importing all of them takes seconds."""

    module: str
    attribute: str
    help: str


COMMANDS = {
    "demo": Lazy("demo", "demo", "An embedded chain, an honest answer delivered, a lie refuted."),
    "model": Lazy("model", "model", "Import, inspect, run, check and register models."),
    "chain": Lazy("chain", "chain", "A development chain; deploy the contracts."),
    "key": Lazy("key", "key", "Make and read encrypted key files."),
    "run": Lazy("node", "run", "Run the node: answer, watch, challenge."),
    "request": Lazy("request", "request", "Ask a model on chain."),
    "ask": Lazy("ask", "ask", "Ask a language model on chain and watch its answer come in."),
    "example": Lazy("example", "example", "The example contract, and a liar for development chains."),
    "dispute": Lazy("dispute", "dispute", "List, audit, open and play disputes."),
    "bench": Lazy("bench", "bench", "Speed and gas beside their baselines, in one run."),
}


class LazyGroup(click.Group):
    """The top group; a command's module is imported when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        module = importlib.import_module(f"oracle_node.cli.{lazy.module}")
        return cast(click.Command, getattr(module, lazy.attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="oracle-node", prog_name="oracle-node")
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """An exact optimistic inference oracle.

    Every command that prints for people also takes --json; every command that sends transactions takes
    --dry-run.
    """
    ctx.obj = {"debug": debug}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 it failed, 2 it was called wrongly, 130 it was interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    try:
        code = cli.main(arguments, prog_name="oracle-node", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        fail("interrupted", EXIT_INTERRUPTED)
    except OracleError as error:
        if debug:
            raise
        fail(str(error))
    except OSError as error:
        if debug:
            raise
        fail(describe_os_error(error))
    except Exception as error:
        if debug:
            raise
        fail(
            f"unexpected {type(error).__name__}: {one_line(error)} (please report; `oracle-node --debug …` shows where)"
        )
    sys.exit(code if isinstance(code, int) else 0)


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say why on stderr, in one line, and exit."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {one_line(message)}", err=True)
    sys.exit(code)


def describe_os_error(error: OSError) -> str:
    """`FILE: reason`, as every Unix tool says it."""
    reason = error.strerror or type(error).__name__
    return (
        f"{error.filename}: {reason}"
        if error.filename
        else reason
        if error.strerror
        else one_line(error) or reason
    )
