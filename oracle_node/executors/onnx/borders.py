"""In which types graphs and loops hand integers to each other: what the graph works with, so that nobody converts."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from oracle_node.executors.onnx.graph import Elem, Value
from oracle_node.executors.onnx.rows import Cut
from oracle_node.tape.types import DType


class Borders:
    """What crosses from block to block; `kept` are positions that somebody else wants to see, in their own type."""

    def __init__(self, cuts: Sequence[Cut], kept: Collection[int]) -> None:
        self._kept = kept
        self._makers: dict[int, Cut] = {}
        self._readers: dict[int, list[Cut]] = defaultdict(list)
        self._settled: dict[int, Elem] = {}
        for cut in cuts:
            for part in cut.outputs:
                self._makers.update(dict.fromkeys(_places(cut, part), cut))
            for part in cut.given:
                for position in _places(cut, part):
                    self._readers[position].append(cut)

    def loose(self, cut: Cut) -> dict[int, Elem | None]:
        """The integers that a graph exchanges with loops alone, and their type; None where the graph may choose."""
        parts = [part for part in (*cut.given, *cut.outputs) if self._is_loose(cut, part)]
        return {part: self._settled.get(_places(cut, part)[0]) for part in parts}

    def settle(self, cut: Cut, values: Mapping[int, Value]) -> None:
        """What the graph has said."""
        for part in self.loose(cut):
            if part in values:
                self._settled.setdefault(_places(cut, part)[0], values[part].elem)

    def settled(self, cut: Cut) -> dict[int, Elem]:
        """The types that are not the tensors' own."""
        places = {part: _places(cut, part)[0] for part in (*cut.given, *cut.outputs)}
        return {part: self._settled[p] for part, p in places.items() if p in self._settled}

    def _is_loose(self, cut: Cut, part: int) -> bool:
        places = _places(cut, part)
        if len(places) > 1 or places[0] in self._kept or cut.node(part).dtype is DType.F32:
            return False
        if part in cut.given:
            maker = self._makers.get(places[0])
            return maker is not None and maker.block.is_looped
        readers = self._readers[places[0]]
        return bool(readers) and all(reader.block.is_looped for reader in readers)


def _places(cut: Cut, part: int) -> tuple[int, ...]:
    return cut.block.places[cut.part(part)[0]]
