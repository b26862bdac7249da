"""A run of instructions that stands in one or more places of a tape (its members) and is lowered once for all of them.

What is proved of a tensor holds for every member; where members read different tensors from outside, or different
weights, the graph takes them as inputs. Tensors have the numbers that they have in the first member.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from oracle_node.executors.onnx.nodes import Bounds, Node, concrete
from oracle_node.tape.affine import Symbols
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.instruction import Opcode, Reduction, Tape
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Program
from oracle_node.tape.types import DType


class Block:
    """Members are positions of computed instructions, in order, as many in each; `is_looped`: to be compiled to loops.

    `places[number]` are the positions of a tensor in the tape, one a member.
    """

    def __init__(
        self, tape: Tape, analysis: Analysis, members: Sequence[Sequence[int]], is_looped: bool = False
    ) -> None:
        self.members, self.is_looped = members, is_looped
        self.places: dict[int, tuple[int, ...]] = dict(
            zip(members[0], zip(*members, strict=True), strict=True)
        )
        self.given: set[int] = set()
        """Numbers of tensors that are inputs, or computed elsewhere."""
        self._tape, self._analysis = tape, analysis
        self._outside: dict[tuple[int, ...], int] = {}
        self._bounds: dict[int, Bounds] = {}
        self._refs = {number: self._renumbered(number) for number in members[0]}

    @property
    def inside(self) -> Sequence[int]:
        """The numbers of the computed tensors."""
        return self.members[0]

    def node(self, number: int, symbols: Symbols) -> Node:
        """The instruction that computes a tensor, in terms of the first member."""
        position = self.places[number][0]
        instruction = self._tape.instructions[position]
        weights: list[int] = []
        if instruction.opcode is Opcode.CONST:
            weights = [self._tape.instructions[p].operands[0].ref for p in self.places[number]]
        refs, bounds = self._refs.get(number, ()), self.bounds(number)
        return concrete(instruction, self._dtype(number), symbols, refs, weights, bounds)

    def numpy_dtype(self, number: int, member: int) -> np.dtype[np.generic]:
        """The type in which a member stores a tensor."""
        return self._tape.instructions[self.places[number][member]].dtype.numpy

    def _dtype(self, number: int) -> DType:
        """A type that holds a tensor in all of its places."""
        found = {self._tape.instructions[position].dtype for position in self.places[number]}
        wide = np.result_type(*(dtype.numpy for dtype in found))
        return DType.of(np.empty(0, wide))

    def bounds(self, number: int) -> Bounds:
        """What is proved of a tensor in all of its places."""
        if number not in self._bounds:
            places = sorted(set(self.places[number]))
            intervals = [self._analysis.results[position] for position in places]
            registers: tuple[Interval, ...] = ()
            if number in self._refs and isinstance(
                self._tape.instructions[number].tail, (Program, Reduction)
            ):
                columns = zip(*(self._analysis.registers(position) for position in places), strict=True)
                registers = tuple(map(_union, columns))
            balanced = all(interval.lo == -interval.hi for interval in intervals)
            self._bounds[number] = Bounds(_union(intervals), registers, balanced)
        return self._bounds[number]

    def _renumbered(self, number: int) -> tuple[int, ...]:
        """The operands of an instruction by number."""
        instructions = [self._tape.instructions[position] for position in self.places[number]]
        return tuple(
            self._number(tuple(instruction.operands[place].ref for instruction in instructions))
            for place in range(len(instructions[0].operands))
        )

    def _number(self, places: tuple[int, ...]) -> int:
        first = places[0]
        if self.places.get(first) == places:
            return first
        if places not in self._outside:
            # two members may read one tensor where two others read two
            self._outside[places] = -1 - len(self._outside) if first in self.places else first
            self.places[self._outside[places]] = places
            if self._tape.instructions[first].opcode is not Opcode.CONST:
                self.given.add(self._outside[places])
        return self._outside[places]


def _union(intervals: Sequence[Interval]) -> Interval:
    return reduce(Interval.union, intervals)
