"""`oracle-node demo`: the whole protocol on an embedded chain, in a minute."""

import asyncio
from pathlib import Path
from time import perf_counter

import click
import numpy as np

from oracle_node.chain.embedded import Engine
from oracle_node.cli.inputs import read_request
from oracle_node.cli.logs import configure_logs
from oracle_node.cli.options import engine_option, existing_file
from oracle_node.cli.output import Output, json_option

SAMPLE = 7


@click.command()
@click.option(
    "--input", "input_file", type=existing_file, help="An 8×8 digit [default: a held-out image of a 7]."
)
@click.option(
    "--weights", type=click.Choice(["8", "15"]), default="15", show_default=True, help="Bits of a weight."
)
@click.option("--verbose", is_flag=True, help="Show the nodes' logs.")
@engine_option
@json_option
def demo(input_file: Path | None, weights: str, verbose: bool, engine: Engine, out: Output) -> None:
    """An embedded chain, an honest answer delivered, a lie refuted."""
    configure_logs("info" if verbose else "error")
    asyncio.run(_demo(input_file, weights, engine, out))


async def _demo(input_file: Path | None, weights: str, engine: Engine, out: Output) -> None:
    from oracle_node.cli.disputes import descent_of, gas_table, name_tensor
    from oracle_node.cli.picture import grey_image
    from oracle_node.cli.sources import DIGITS_IMAGE_MAX, import_digits
    from oracle_node.demo.record import GAME, gas_by_function
    from oracle_node.demo.stage import open_stage
    from oracle_node.demo.story import tell
    from oracle_node.node.shelf import shelve
    from oracle_node.shipped import shipped

    start = perf_counter()
    shelved = shelve(import_digits(8 if weights == "8" else 15), threads=1)
    request = read_request(input_file or shipped("digits").sample(SAMPLE), shelved.model)
    out.say(grey_image(np.frombuffer(request, "<f4").reshape(8, 8), DIGITS_IMAGE_MAX))
    out.say(
        f"a network of {len(shelved.model.tape.instructions)} instructions, model 0x{shelved.model.model_id.hex()}"
    )
    async with open_stage(shelved.model, engine) as stage:
        out.say(f"a development chain ({stage.chain.engine}) with an oracle at {stage.deployment.oracle}\n")
        outcome = await tell(stage, shelved, request, out.say)
    out.say()
    count = len(shelved.model.tape.instructions)
    out.say(descent_of(outcome.picks, outcome.proved, count, lambda index: name_tensor(shelved.model, index)))
    out.say()
    rows = [(stage.role_of(sent.sender), sent.function, sent.gas_used) for sent in outcome.sent]
    moves = [row for row in rows if row[1] in GAME]
    out.say(
        gas_table(
            [row for row in rows if row[1] not in GAME | {"deploy", "list"}], "the answers, move by move"
        )
    )
    out.result(
        {
            "answered": outcome.answered,
            "finalized": outcome.finalized,
            "refuted": outcome.refuted,
            "gas_total": sum(gas for *_, gas in moves),
            "digit": outcome.digit,
            "model_id": shelved.model.model_id,
            "engine": stage.chain.engine,
            "gas_by_function": gas_by_function(outcome.sent),
            "moves": [{"who": who, "move": move, "gas": gas} for who, move, gas in moves],
            "seconds": perf_counter() - start,
        },
        gas_table(moves, "the dispute, move by move"),
    )
    if not (outcome.answered and outcome.finalized and outcome.refuted):
        raise click.ClickException("the demo did not end as it should")
