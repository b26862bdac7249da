"""`oracle-node bench`: measured beside a baseline in the same run; quoted numbers are marked as quoted."""

import asyncio
from pathlib import Path

import click

from oracle_node.chain.embedded import Engine
from oracle_node.cli.inputs import read_request
from oracle_node.cli.options import engine_option, existing_file, model_directory
from oracle_node.cli.output import Output, json_option
from oracle_node.errors import ConfigError
from oracle_node.tape.types import SourceKind


@click.group()
def bench() -> None:
    """Speed and gas beside their baselines, in one run."""


@bench.command()
@click.option(
    "--mebibytes", type=click.IntRange(1, 4096), default=128, show_default=True, help="Size of the tensor."
)
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds; the median counts."
)
@json_option
def commit(mebibytes: int, rounds: int, out: Output) -> None:
    """Trace hashing, beside bare hashlib over the same 1 KiB chunks."""
    from oracle_node.bench.commit import bench_commit

    out.result(bench_commit(mebibytes, rounds))


@bench.command()
@click.option(
    "--model", "directory", type=model_directory, help="Model directory [default: the shipped digits model]."
)
@click.option(
    "--source", type=existing_file, help="The float network it was imported from; needed with --model."
)
@click.option("--input", "input_file", type=existing_file, help="Input; needed with --model.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of all three.")
@click.option(
    "--rounds", type=click.IntRange(1), default=50, show_default=True, help="Rounds; the median counts."
)
@json_option
def exact(
    directory: Path | None,
    source: Path | None,
    input_file: Path | None,
    threads: int,
    rounds: int,
    out: Output,
) -> None:
    """One exact answer, beside ONNX Runtime float32 and dynamic int8 on the same network."""
    from oracle_node.bench.exact import bench_exact
    from oracle_node.cli.sources import model_or_digits
    from oracle_node.executors.choice import make_executor
    from oracle_node.shipped import shipped

    if directory is not None and (source is None or input_file is None):
        raise click.UsageError("--model needs --source and --input beside it")
    loaded = model_or_digits(directory)
    request = read_request(input_file or shipped().sample(7), loaded)
    values = loaded.source(SourceKind.REQUEST, request)
    engine = make_executor(loaded.tape, threads=threads)
    out.result(bench_exact(loaded, engine, source or shipped().source, values, threads, rounds))


@bench.command()
@click.option(
    "--model", "directory", type=model_directory, help="Model directory [default: the shipped digits model]."
)
@click.option(
    "--input", "input_file", type=existing_file, help="Input [default: a sample, or with --model zeros]."
)
@click.option(
    "--tensor",
    type=click.IntRange(0),
    help="Where to lie [default: where one element is costliest to prove].",
)
@engine_option
@json_option
def dispute(
    directory: Path | None, input_file: Path | None, tensor: int | None, engine: Engine, out: Output
) -> None:
    """Refute a wrong element on a development chain: rounds and gas of both sides, beside a quoted reference."""
    from oracle_node.bench.dispute import bench_dispute
    from oracle_node.cli.disputes import cost_table
    from oracle_node.cli.sources import model_or_digits
    from oracle_node.executors.choice import make_executor
    from oracle_node.shipped import shipped

    loaded = model_or_digits(directory)
    if tensor is not None and tensor >= len(loaded.tape.instructions):
        raise ConfigError(
            f"--tensor {tensor}: the model has instructions 0…{len(loaded.tape.instructions) - 1}"
        )
    if input_file is None and directory is None:
        input_file = shipped().sample(7)
    if input_file is None:
        source = loaded.tape.sources[SourceKind.REQUEST]
        request = bytes(source.min_elements * source.dtype.width)
    else:
        request = read_request(input_file, loaded)
    with out.progress("playing", None):
        found = asyncio.run(bench_dispute(loaded, make_executor(loaded.tape), request, tensor, engine))
    out.result(found, cost_table(found))
