"""What a run may take over from the one before: rows that `tape.causality` proves to be the same.

Claims about one request are run again and again while they are drafted. Where both witnesses begin alike, so do all
tensors whose row t depends on witness elements before t + some bound alone; only later rows are computed again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oracle_node.executors.onnx.nodes import Node
from oracle_node.executors.onnx.rows import Start
from oracle_node.tape.affine import Symbols
from oracle_node.tape.causality import Dependence
from oracle_node.tape.instruction import Instruction
from oracle_node.tape.types import SourceKind


@dataclass(frozen=True, slots=True)
class LastRun:
    """A run's symbols, copies of its sources, what it was asked for, and all rows of some tensors, by position."""

    symbols: Symbols
    sources: Sequence[np.ndarray]
    wanted: frozenset[int]
    known: Mapping[int, np.ndarray]

    def agreement(self, sources: Sequence[np.ndarray]) -> int | None:
        """How many first elements of the witness are the same; None where the request is another."""
        if not np.array_equal(self.sources[SourceKind.REQUEST], sources[SourceKind.REQUEST]):
            return None
        old, new = self.sources[SourceKind.WITNESS], sources[SourceKind.WITNESS]
        shared = min(len(old), len(new))
        different = np.flatnonzero(old[:shared] != new[:shared])
        return int(different[0]) if different.size else shared


@dataclass(frozen=True, slots=True)
class SameRows:
    """How many first rows of each tensor two runs share: one request, witnesses that agree in `witness` elements.

    Equal for all that is equal here: a schedule is made for one of these.
    """

    before: Symbols
    now: Symbols
    witness: int

    def of(self, instruction: Instruction, dependence: Dependence) -> int:
        """For one tensor; at least one row is left to compute."""
        old, new = (instruction.concrete_shape(symbols) for symbols in (self.before, self.now))
        if dependence.rows is None or dependence.output or not new or old[1:] != new[1:]:
            return 0
        if any(self.before[source] != self.now[source] for source in dependence.lengths):
            return 0
        count = min(old[0], new[0] - 1)
        for axis, bound in dependence.rows:
            reach = max(bound.at(self.before), bound.at(self.now))
            count = min(count, self.witness - reach if axis == 0 else 0)
        return max(0, count)


class Continued:
    """Starts tensors after the rows that are known from the run before."""

    def __init__(
        self,
        instructions: Sequence[Instruction],
        dependences: Sequence[Dependence],
        same: SameRows,
        known: Collection[int],
    ) -> None:
        self._instructions, self._dependences, self._same = instructions, dependences, same
        self._known = known

    def __call__(self, places: Sequence[int], node: Node, needed: int) -> Start:
        if not all(position in self._known for position in places):
            return Start(needed)
        rows = min(self._same.of(self._instructions[p], self._dependences[p]) for p in places)
        return Start(rows, rows > 0)


class Remembered:
    """Finds the tensors that a later run would want to know: `positions`, once a schedule was made with this.

    Supposes a claim a little longer, which agrees in all else.
    """

    def __init__(
        self, instructions: Sequence[Instruction], dependences: Sequence[Dependence], symbols: Symbols
    ) -> None:
        self._instructions, self._dependences, self._symbols = instructions, dependences, symbols
        self.positions: set[int] = set()

    def __call__(self, places: Sequence[int], node: Node, needed: int) -> Start:
        rows = min(self._same_rows(position) for position in places)
        if needed >= rows:
            self.positions.difference_update(places)
            return Start(needed)
        self.positions.update(places)
        return Start(rows, known=True)

    def _same_rows(self, position: int) -> int:
        instruction, dependence = self._instructions[position], self._dependences[position]
        if dependence.lengths or not all(d.is_constant for d in instruction.shape[1:]):
            return 0
        witness = self._symbols[SourceKind.WITNESS]
        return SameRows(self._symbols, self._symbols, witness).of(instruction, dependence)


def from_the_first_needed(places: Sequence[int], node: Node, needed: int) -> Start:
    """Nothing is known."""
    return Start(needed)


def from_the_first(places: Sequence[int], node: Node, needed: int) -> Start:
    """Nothing is known, and all rows are computed though some may not be needed."""
    return Start(0)
