"""`oracle-node bench`: measured beside a baseline in the same run; quoted numbers are marked as quoted."""

import click

from oracle_node.cli.output import Output, json_option


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
