"""Where a tape repeats itself: equal layers one after another, found by what the instructions do, not by their names.

Layers count as equal if each instruction does the same to operands of the same kind: the same one of the layer's own
tensors, or any tensor from outside, or any weights of one type and shape. How wide the integers of a tensor are stored
may differ: it says how large they are, not what is computed.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from oracle_node.executors.onnx.nodes import SOURCES
from oracle_node.tape.instruction import MAX_OPERANDS, Instruction, Opcode, Tape

_OUTSIDE = -1


@dataclass(frozen=True, slots=True)
class Repetition:
    """`count` layers of `period` computed instructions each; the first begins at the computed instruction `start`."""

    start: int
    period: int
    count: int

    @property
    def stop(self) -> int:
        return self.start + self.period * self.count

    def members(self, first: int, last: int) -> list[range]:
        """Computed instructions `first`…`last` − 1 of every layer."""
        starts = [self.start + member * self.period for member in range(self.count)]
        return [range(start + first, start + last) for start in starts]


def computed_instructions(tape: Tape) -> list[int]:
    """The positions of all instructions but CONST and INPUT."""
    return [p for p, instruction in enumerate(tape.instructions) if instruction.opcode not in SOURCES]


def find_repetition(tape: Tape) -> Repetition | None:
    """The longest repetition, cut where the fewest tensors cross; None where nothing repeats three times."""
    return _Search(tape).best()


class _Search:
    """Signatures and operands of the computed instructions, as numbers."""

    def __init__(self, tape: Tape) -> None:
        positions = computed_instructions(tape)
        index = {position: i for i, position in enumerate(positions)}
        known: dict[Hashable, int] = {}
        self.count = len(positions)
        self.signatures = np.empty(self.count, np.int64)
        self.refs = np.full((self.count, MAX_OPERANDS), _OUTSIDE, np.int64)
        self.last_reader = np.arange(self.count)
        for i, position in enumerate(positions):
            instruction = tape.instructions[position]
            signature = _signature(tape, instruction)
            self.signatures[i] = known.setdefault(signature, len(known))
            for place, operand in enumerate(instruction.operands):
                if operand.ref in index:
                    self.refs[i, place] = index[operand.ref]
                    self.last_reader[index[operand.ref]] = i

    def best(self) -> Repetition | None:
        runs = [(*self._longest_run(period), period) for period in range(1, self.count // 2 + 1)]
        run, start, period = max(runs, key=lambda found: found[0], default=(0, 0, 1))
        if run < 2 * period:
            return None
        found = [
            Repetition(first, period, self._layers(first, period))
            for first in range(max(0, start - period), start + period)
        ]
        best = max(found, key=lambda r: (r.count, -self._crossing(r)))
        return best if best.count >= 3 else None

    def _longest_run(self, period: int) -> tuple[int, int]:
        """The longest run of instructions that equal those a period later: its length and start."""
        same = self.signatures[:-period] == self.signatures[period:]
        if np.count_nonzero(same) < 2 * period:
            return 0, 0
        moved = self.refs[period:] - self.refs[:-period]
        same &= ((moved == period) | (moved == 0)).all(axis=1)
        edges = np.flatnonzero(np.diff(same, prepend=False, append=False))
        lengths = edges[1::2] - edges[::2]
        if not lengths.size:
            return 0, 0
        longest = int(lengths.argmax())
        return int(lengths[longest]), int(edges[2 * longest])

    def _layers(self, start: int, period: int) -> int:
        """How many layers equal the one at `start`, itself included."""
        first = self._layer(start, period)
        count = 1
        while np.array_equal(self._layer(start + count * period, period), first):
            count += 1
        return count

    def _layer(self, start: int, period: int) -> np.ndarray:
        """(period, 1 + operands) of signatures and operands, those from outside all alike."""
        refs = self.refs[start : start + period]
        inside = np.where(refs >= start, refs - start, _OUTSIDE)
        return np.concatenate([self.signatures[start : start + period, None], inside], axis=1)

    def _crossing(self, repetition: Repetition) -> int:
        """How many tensors cross the cut before the last layer."""
        cut = repetition.stop - repetition.period
        return int(np.count_nonzero(self.last_reader[:cut] >= cut))


def _signature(tape: Tape, instruction: Instruction) -> Hashable:
    """All of an instruction but which tensors it reads, and in which type integers are stored."""
    operands: list[Hashable] = []
    for operand in instruction.operands:
        source = tape.instructions[operand.ref]
        kind: Hashable = operand.dtype.kind
        if source.opcode in SOURCES:
            kind = (operand.dtype, operand.ref if source.opcode is Opcode.INPUT else None)
        operands.append((kind, operand.shape, operand.offset, operand.strides))
    own: Sequence[Hashable] = (instruction.opcode, instruction.dtype.kind, instruction.shape)
    return (*own, instruction.reduce_shape, instruction.tail, *operands)
