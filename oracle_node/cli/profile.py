"""`bench exact --profile` as people see it: the slowest layers, and both sides' operators."""

from collections.abc import Mapping
from itertools import islice, zip_longest
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_KERNELS_SHOWN = 6
_OPERATORS_SHOWN = 12


def profile_table(found: Mapping[str, Any]) -> RenderableType:
    """What `profile_exact` measured."""
    layers = _table("layer", "ms", "share", "kernels")
    for row in found["layers"]:
        kernels = [f"{count}×{name}" if count > 1 else name for name, count in row["kernels"].items()]
        more = ["…"] if len(kernels) > _KERNELS_SHOWN else []
        layers.add_row(
            Text(row["layer"] or "-"),
            f"{row['ms']:.2f}",
            f"{row['share']:.1%}",
            Text(", ".join(kernels[:_KERNELS_SHOWN] + more)),
        )
    operators = _table("exact", "ms", "float32", "ms")
    sides = [
        [(name, f"{ms:.2f}") for name, ms in found[key].items()]
        for key in ("operators_ms", "float32_operators_ms")
    ]
    for ours, theirs in islice(zip_longest(*sides, fillvalue=("", "")), _OPERATORS_SHOWN):
        operators.add_row(*ours, *theirs)
    threads = found["threads"]
    head = (
        f"{found['kernels']:,} kernels in {found['ms']:.1f} ms, {threads} thread{'s' if threads > 1 else ''}"
    )
    note = "tracing adds about 2 µs to each kernel; without it, see bench exact"
    return Group(Text(head, style="bold"), layers, operators, Text(note, style="dim"))


def _table(name: str, number: str, other: str, last: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(name)
    table.add_column(number, justify="right")
    table.add_column(other, justify="right" if other == "share" else "left")
    table.add_column(last, justify="right" if last == "ms" else "left")
    return table
