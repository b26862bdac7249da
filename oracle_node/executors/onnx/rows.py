"""Which rows of a block's tensors one run computes: rows are the first axis, and often only the last ones are needed.

Of some tensors the first rows are known from the run before (`reuse`): a reader that needs those too gets the known
and the new ones joined. Each tensor of a block has three numbers here: its known rows, its computed ones, and all.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod

from oracle_node.executors.onnx.block import Block
from oracle_node.executors.onnx.nodes import Join, Lookup, Node
from oracle_node.executors.onnx.tensors import Reading
from oracle_node.executors.onnx.views import View, contiguous
from oracle_node.tape.affine import Symbols
from oracle_node.tape.instruction import Opcode

_KNOWN, _COMPUTED, _ALL, _KINDS = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Start:
    """The first row of a tensor that is computed; `known`: those before it are taken from the run before."""

    row: int
    known: bool = False


FirstRow = Callable[[Sequence[int], Node, int], Start]
"""Where to start with a tensor, given its places in the tape, the tensor, and the first row that is needed of it."""


class Cut:
    """A block as one run computes it, in numbers of its own: `part` tells what a number means.

    Adds to `demand` the first row that is needed of every tensor the block reads from elsewhere, by position; `also`
    are positions that are computed although no one needs them.
    """

    def __init__(
        self, block: Block, symbols: Symbols, demand: dict[int, int], start: FirstRow, also: Collection[int]
    ) -> None:
        self.block = block
        self._whole = cache(lambda number: block.node(number, symbols))
        self._starts: dict[int, Start] = {}
        own = {position for member in block.members for position in member}
        while True:
            outputs = _outputs(block, demand, also)
            outside = self._propagate(dict(outputs), start)
            changed = {p for p, row in outside.items() if demand.get(p, row + 1) > row}
            demand.update({position: outside[position] for position in changed})
            if own.isdisjoint(changed):
                break
        self.outputs = {number * _KINDS + _COMPUTED for number in outputs}
        self.given = {number * _KINDS + _COMPUTED for number in block.given if number in self._starts}
        self.given |= {n * _KINDS + _KNOWN for n, at in self._starts.items() if at.known}
        self.node = cache(self._node)

    def part(self, number: int) -> tuple[int, bool]:
        """The block's number of a tensor, and whether only its known rows are meant."""
        return number // _KINDS, number % _KINDS == _KNOWN

    def known_rows(self, number: int) -> int:
        """How many known rows come before the tensor's computed ones."""
        at = self._starts[number // _KINDS]
        return at.row if at.known else 0

    def skipped(self, number: int) -> int:
        """How many elements of a tensor come before its computed rows."""
        number //= _KINDS
        return self._starts[number].row * _row_size(self._whole(number))

    def _propagate(self, needed: dict[int, int], start: FirstRow) -> dict[int, int]:
        """Decide where each needed tensor starts, last to first; the first rows read of others, by position."""
        self._starts.clear()
        for number in reversed(self.block.inside):
            if number in needed:
                node = self._whole(number)
                at = start(self.block.places[number], node, needed[number])
                self._starts[number] = at
                for reading in _trimmed(node, at.row):
                    source = self._whole(reading.ref)
                    if source.opcode is not Opcode.CONST:
                        row = _first_row(node, reading, source)
                        needed[reading.ref] = min(row, needed.get(reading.ref, row))
        outside: dict[int, int] = {}
        for number in self.block.given:
            if number in needed:
                self._starts[number] = Start(needed[number])
                for position in self.block.places[number]:
                    outside[position] = min(needed[number], outside.get(position, needed[number]))
        return outside

    def _node(self, number: int) -> Node:
        whole, kind = self._whole(number // _KINDS), number % _KINDS
        if whole.opcode is Opcode.CONST:
            return whole
        at = self._starts[number // _KINDS]
        if kind == _KNOWN:
            return replace(whole, shape=(at.row, *whole.shape[1:]), readings=())
        if kind == _ALL:
            parts = [number - _ALL + _KNOWN, number - _ALL + _COMPUTED]
            readings = tuple(_everything(part, self.node(part).shape) for part in parts)
            return Node(Opcode.CONCAT, whole.dtype, whole.shape, (), readings, Join(0), whole.bounds)
        shape = (whole.shape[0] - at.row, *whole.shape[1:]) if whole.shape else ()
        readings = tuple(self._renumbered(whole, reading) for reading in _trimmed(whole, at.row))
        return replace(whole, shape=shape, readings=readings)

    def _renumbered(self, node: Node, reading: Reading) -> Reading:
        """The reading of those parts of a tensor that this run has."""
        source, first = self._whole(reading.ref), reading.ref * _KINDS
        if source.opcode is Opcode.CONST:
            return replace(reading, ref=first + _COMPUTED)
        at = self._starts[reading.ref]
        if at.known and _first_row(node, reading, source) < at.row:
            return replace(reading, ref=first + _ALL)
        view = replace(reading.view, offset=reading.view.offset - at.row * _row_size(source))
        return Reading(first + _COMPUTED, view)


def _outputs(block: Block, demand: dict[int, int], also: Collection[int]) -> dict[int, int]:
    """The tensors that are needed outside their member, and from which row on."""
    outputs: dict[int, int] = {}
    for number in block.inside:
        rows = [demand[p] for p in block.places[number] if p in demand]
        rows += [0 for p in block.places[number] if p in also]
        if rows:
            outputs[number] = min(rows)
    return outputs


def _trimmed(node: Node, row: int) -> Iterator[Reading]:
    """The readings of a node's rows from `row` on; parts of a CONCAT that end before are left out."""
    along = isinstance(node.tail, Join) and node.tail.axis == 0
    before = 0
    for reading in node.readings:
        skipped = max(0, min(row - before, reading.view.shape[0])) if along else row
        before += reading.view.shape[0] if along else 0
        if row == 0 or not skipped:
            yield reading
        elif skipped < reading.view.shape[0]:
            yield replace(reading, view=_from(reading.view, skipped))


def _from(view: View, row: int) -> View:
    """The view from a coordinate of its first axis on."""
    count, stride = view.shape[0] - row, view.strides[0]
    strides = (stride if count != 1 else 0, *view.strides[1:])
    return View(view.offset + row * stride, (count, *view.shape[1:]), strides)


def _first_row(node: Node, reading: Reading, source: Node) -> int:
    """The first row of the source that a reading touches."""
    view, size = reading.view, _row_size(source)
    lowest = view.offset + sum(min(0, s * (n - 1)) for s, n in zip(view.strides, view.shape, strict=True))
    if isinstance(node.tail, Lookup) and reading is not node.readings[0]:
        lowest += min(0, node.tail.stride * (node.tail.rows - 1))
    rows = source.shape[0] if source.shape else 1
    return max(0, min(lowest // size if size else 0, rows - 1))


def _row_size(node: Node) -> int:
    return prod(node.shape[1:])


def _everything(number: int, shape: tuple[int, ...]) -> Reading:
    return Reading(number, View(0, shape, contiguous(shape)))
