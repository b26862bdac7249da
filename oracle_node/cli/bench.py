"""`oracle-node bench`: measured beside a baseline in the same run; quoted numbers are marked as quoted."""

from pathlib import Path

import click

from oracle_node.cli.inputs import read_request
from oracle_node.cli.options import existing_file, model_directory
from oracle_node.cli.output import Output, json_option
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
    from oracle_node.cli.executors import make_executor
    from oracle_node.cli.sources import model_or_digits
    from oracle_node.shipped import shipped

    if directory is not None and (source is None or input_file is None):
        raise click.UsageError("--model needs --source and --input beside it")
    loaded = model_or_digits(directory)
    request = read_request(input_file or shipped().sample(7), loaded)
    values = loaded.source(SourceKind.REQUEST, request)
    engine = make_executor(loaded.tape, threads=threads)
    out.result(bench_exact(loaded, engine, source or shipped().source, values, threads, rounds))
