"""What graphs and loops hand to each other: integers in the type that the graph works with, and windows of them ready
made, so that nobody converts or gathers what the loops can write as it is needed."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from oracle_node.executors.onnx.graph import Elem, Value
from oracle_node.executors.onnx.rows import Cut
from oracle_node.executors.onnx.tensors import Port
from oracle_node.executors.onnx.views import View
from oracle_node.tape.types import DType

Orders = Mapping[View | None, Elem]
"""The types in which a tensor is handed over, whole (None) or through a view.

A cut may compute, or be given, the last rows only: what it says of a view is moved to the whole tensor here.
"""


class Borders:
    """What crosses from block to block; `kept` are positions that somebody else wants to see, in their own type."""

    def __init__(self, cuts: Sequence[Cut], kept: Collection[int]) -> None:
        self._kept = kept
        self._makers: dict[int, Cut] = {}
        self._readers: dict[int, list[Cut]] = defaultdict(list)
        self._orders: dict[int, dict[View | None, Elem]] = defaultdict(dict)
        for cut in cuts:
            for part in cut.outputs:
                self._makers.update(dict.fromkeys(_places(cut, part), cut))
            for part in cut.given:
                for position in _places(cut, part):
                    self._readers[position].append(cut)

    def loose(self, cut: Cut) -> dict[int, Orders]:
        """The integers that a graph exchanges with loops alone, and what was ordered before; the rest it may choose."""
        parts = [part for part in (*cut.given, *cut.outputs) if self._is_loose(cut, part)]
        return {part: self._of(cut, part) for part in parts}

    def settle(self, cut: Cut, values: Mapping[Port, Value]) -> None:
        """What the graph has chosen."""
        loose = self.loose(cut)
        for port, value in values.items():
            if port.ref in loose:
                self._orders[_places(cut, port.ref)[0]].setdefault(whole_view(cut, port), value.elem)

    def given(self, cut: Cut) -> dict[int, Elem]:
        """For loops: the types of what they read, where those are not the tensors' own."""
        orders = {part: self._of(cut, part) for part in cut.given}
        return {part: found[None] for part, found in orders.items() if None in found}

    def wanted(self, cut: Cut) -> dict[Port, Elem]:
        """For loops: all that they hand over."""
        ports: dict[Port, Elem] = {}
        for part in sorted(cut.outputs):
            position = _places(cut, part)[0]
            orders = self._of(cut, part)
            if (
                not orders
                or position in self._kept
                or any(r.block.is_looped for r in self._readers[position])
            ):
                orders.setdefault(None, Elem.of(cut.node(part).dtype))
            ports.update({Port(part, view): elem for view, elem in orders.items()})
        return ports

    def _of(self, cut: Cut, part: int) -> dict[View | None, Elem]:
        """The orders in terms of a cut."""
        orders = self._orders[_places(cut, part)[0]]
        return {view and view.moved(-cut.skipped(part)): elem for view, elem in orders.items()}

    def _is_loose(self, cut: Cut, part: int) -> bool:
        places = _places(cut, part)
        if len(places) > 1 or places[0] in self._kept or cut.node(part).dtype is DType.F32:
            return False
        if part in cut.given:
            maker = self._makers.get(places[0])
            return maker is not None and maker.block.is_looped
        readers = self._readers[places[0]]
        return bool(readers) and all(reader.block.is_looped for reader in readers)


def whole_view(cut: Cut, port: Port) -> View | None:
    """A port's view, of the whole tensor."""
    return port.view and port.view.moved(cut.skipped(port.ref))


def _places(cut: Cut, part: int) -> tuple[int, ...]:
    return cut.block.places[cut.part(part)[0]]
