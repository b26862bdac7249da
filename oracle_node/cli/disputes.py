"""Disputes as people see them: the gas of every move, and the descent drawn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from oracle_node.chain.events import ElementProved, Picked
from oracle_node.cli.picture import Level, descent
from oracle_node.commitments.merkle import depth
from oracle_node.commitments.tensor import chunk_count
from oracle_node.game.geometry import Place, children_count, levels_opened
from oracle_node.model.model import Model
from oracle_node.tape.instruction import NO_INDEX


def gas_table(rows: Sequence[tuple[str, str, int]], title: str = "") -> Table:
    """(who, what, gas) a line, and the sum."""
    table = Table(
        title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False
    )
    table.add_column("who", footer="")
    table.add_column("move", footer="together")
    table.add_column("gas", justify="right", footer=f"{sum(gas for *_, gas in rows):,}")
    for who, what, gas in rows:
        table.add_row(who, what, f"{gas:,}")
    return table


def cost_table(found: Mapping[str, Any]) -> RenderableType:
    """What `bench dispute` measured, beside what is quoted."""
    quoted = found["reference"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("measured now", justify="right")
    table.add_column("quoted", justify="right")
    table.add_column("ratio", justify="right")
    for key, unit in (("rounds", ""), ("transactions", ""), ("gas_total", ""), ("seconds", " s")):
        ours, theirs = found[key], quoted[key]
        shown = (f"{value:,.1f}{unit}" if unit else f"{value:,}" for value in (ours, theirs))
        table.add_row(key.replace("_", " "), *shown, f"1 : {theirs / ours:,.1f}")
    moves = gas_table([("", name, gas) for name, gas in found["gas_by_move"].items()])
    place = f"element {found.get('element')} of tensor {found.get('instruction')} ({found.get('opcode')}) is wrong"
    what = f"the claim is wrong: {found['lie']}" if "lie" in found else place
    where = Text(f"{what}; played on {found['engine']}", style="bold")
    caption = Text(f"quoted: {quoted['system']}, measured earlier on its authors' code", style="dim")
    return Group(where, table, caption, Text(), moves)


def descent_of(
    picks: Sequence[Picked], proved: ElementProved | None, instructions: int, name: Callable[[int], str]
) -> Text:
    """The tree descent of a dispute from its events, down to the element; `name` names an instruction."""
    levels = list[Level]()
    place, label = Place(None, depth(instructions), 0), "trace"
    for pick in picks:
        if place.tensor is None and pick.instruction != NO_INDEX:
            levels += _between(place, Place(None, 0, pick.instruction), label)
            label = name(pick.instruction)
            place = Place(pick.instruction, depth(chunk_count(pick.byte_length)), 0)
        target = Place(place.tensor, pick.height, pick.position)
        levels += _between(place, target, label)
        label, place = label if place == target else "", target
    return descent(levels, _foot(proved, name, place))


def _between(place: Place, target: Place, label: str) -> list[Level]:
    """The reveals on the way from a node down to another of the same tree."""
    levels = list[Level]()
    while place.level > target.level:
        count = children_count(place.level)
        below = place.level - levels_opened(place.level)
        index = (target.position >> (below - target.level)) % count
        levels.append(Level(label, count, index))
        label, place = "", place.child(index)
    return levels


def name_tensor(model: Model | None, index: int) -> str:
    """`12 MATMUL conv2`: the instruction, and what it comes from; its number where the model is not at hand."""
    if model is None:
        return f"tensor {index}"
    name = model.tape.names[index] if index < len(model.tape.names) else ""
    return f"{index} {model.tape.instructions[index].opcode.name} {name}".rstrip()


def _foot(proved: ElementProved | None, name: Callable[[int], str], place: Place) -> str:
    if proved is None or place.tensor is None:
        return ""
    where = f"element {proved.element:,} of {name(place.tensor)}"
    return f"{where}: claimed {proved.claimed:#x}, recomputed {proved.computed:#x}"
