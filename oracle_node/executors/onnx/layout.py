"""How a tape is cut into sections: repeated layers apart from what comes before and after, and all of it into pieces of
bounded size where every tensor is to be seen."""

from collections.abc import Iterator, Sequence

from oracle_node.executors.onnx.block import Block
from oracle_node.executors.onnx.regions import worth_compiling
from oracle_node.executors.onnx.repetition import Repetition, computed_instructions
from oracle_node.executors.onnx.schedule import Section
from oracle_node.tape.affine import Symbols
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.instruction import Tape


class Layout:
    """Sections of one tape; `repetition` None leaves it in one piece."""

    def __init__(self, tape: Tape, analysis: Analysis, repetition: Repetition | None) -> None:
        self._tape, self._analysis, self.repetition = tape, analysis, repetition
        self._computed = computed_instructions(tape)

    def pieces(self, symbols: Symbols, most_bytes: int, most_instructions: int) -> list[Section]:
        """Sections of blocks whose tensors together stay small."""
        sections: list[Section] = []
        for members in self._parts():
            cuts = list(self._cuts(members[0], symbols, most_bytes, most_instructions))
            pieces = [
                [range(m.start + first, m.start + last) for m in members]
                for first, last in zip([0, *cuts], [*cuts, len(members[0])], strict=True)
            ]
            blocks = [self._block(piece) for piece in pieces]
            sections += [blocks] if len(members) > 1 else [[block] for block in blocks]
        return sections

    def _parts(self) -> list[list[range]]:
        """Computed instructions before, in and after the repeated layers: ranges, one a member."""
        total, r = len(self._computed), self.repetition
        if r is None:
            return [[range(total)]] if total else []
        layers = [range(r.start + m * r.period, r.start + (m + 1) * r.period) for m in range(r.count)]
        parts = [[range(r.start)], layers, [range(r.stop, total)]]
        return [part for part in parts if part[0]]

    def whole(self, loops: Sequence[range] = ()) -> list[Section]:
        """Sections of one block each; those runs of `loops` are for loops."""
        if not loops:
            return [[self._block(members)] for members in self._parts()]
        sections: list[Section] = []
        done = 0
        for run in loops:
            sections += [[self._block([range(done, run.start)])]] if done < run.start else []
            sections.append([self._block([run], is_looped=True)])
            done = run.stop
        total = len(self._computed)
        return [*sections, [self._block([range(done, total)])]] if done < total else sections

    def loops(self, symbols: Symbols, least_ns: float) -> list[range]:
        """What is worth compiling; nothing where layers share a graph."""
        if self.repetition is not None:
            return []
        return list(worth_compiling(self._tape, self._computed, symbols, least_ns))

    def _block(self, members: Sequence[range], is_looped: bool = False) -> Block:
        positions = [[self._computed[i] for i in member] for member in members]
        return Block(self._tape, self._analysis, positions, is_looped)

    def _cuts(
        self, instructions: range, symbols: Symbols, most_bytes: int, most_instructions: int
    ) -> Iterator[int]:
        """Where to cut, from the start of the range."""
        start, size = 0, 0
        for place, index in enumerate(instructions):
            instruction = self._tape.instructions[self._computed[index]]
            own = instruction.count(symbols) * instruction.dtype.width
            if place > start and (size + own > most_bytes or place - start >= most_instructions):
                yield place
                start, size = place, 0
            size += own
