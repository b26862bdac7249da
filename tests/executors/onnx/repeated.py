"""Random tapes that repeat themselves: a random body again and again, with weights of its own each time."""

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import strategies as st

from oracle_node.errors import AdmissionError
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.instruction import Instruction, Opcode, Source, Tape
from oracle_node.tape.region import Region
from oracle_node.tape.types import DType
from tests.strategies import STEP_BOUND, Case, Grower, values


class _Copies:
    """Grows a tape by copies of a body's instructions."""

    def __init__(self, rng: Random, body: Grower) -> None:
        self.rng, self.body = rng, body
        self.weights = list(body.weights)
        self.analysis = Analysis(Region((body.source, Source(), Source())), self.weights, STEP_BOUND)
        self.places: list[dict[int, int]] = []

    def copy(self) -> bool:
        """Whether another copy was admitted; integers that came from the input may come from the copy before."""
        places: dict[int, int] = {}
        for position, instruction in enumerate(self.body.instructions):
            if instruction.opcode is Opcode.INPUT and self.places:
                places[position] = 0
                continue
            for candidate in (self._renumbered(instruction, places, carry) for carry in (True, False)):
                try:
                    self.analysis.admit(candidate)
                except AdmissionError:
                    continue
                places[position] = len(self.analysis.instructions) - 1
                break
            else:
                return False
        self.places.append(places)
        return True

    def _renumbered(self, instruction: Instruction, places: dict[int, int], carry: bool) -> Instruction:
        if instruction.opcode is Opcode.INPUT:
            return instruction
        if instruction.opcode is Opcode.CONST:
            (operand,) = instruction.operands
            return replace(instruction, operands=(replace(operand, ref=self._weight(operand.ref)),))
        operands = []
        for operand in instruction.operands:
            ref = places[operand.ref]
            if carry and operand.ref == 0 and self.places:
                ref = self._carried(operand.dtype, operand.shape, ref)
            operands.append(replace(operand, ref=ref))
        return replace(instruction, operands=tuple(operands))

    def _carried(self, dtype: DType, shape: object, default: int) -> int:
        """The last tensor of that type and shape in the copy before."""
        before = (self.places[-1][p] for p in sorted(self.places[-1], reverse=True))
        fitting = (
            p
            for p in before
            if (self.analysis.instructions[p].dtype, self.analysis.instructions[p].shape) == (dtype, shape)
        )
        return next(fitting, default)

    def _weight(self, ref: int) -> int:
        """A new weight like the first copy's: shrunk, negated or shuffled."""
        original = self.weights[ref]
        if not self.places or self.rng.random() < 0.2:
            return ref
        flat = original.reshape(-1)
        order = self.rng.sample(range(flat.size), flat.size)
        shrunk = flat if original.dtype == np.float32 else flat // self.rng.choice([1, 3, 50])
        self.weights.append(shrunk.astype(original.dtype)[order].reshape(original.shape))
        return len(self.weights) - 1


@st.composite
def repeated_cases(draw: st.DrawFn, instructions: int = 6) -> tuple[Case, Analysis]:
    """A random tape of up to five copies of a body, data to run it on, and the analysis."""
    rng = draw(st.randoms(use_true_random=False))
    body = Grower(rng)
    body.grow(instructions)
    copies = _Copies(rng, body)
    while len(copies.places) < 5:
        start = len(copies.analysis.instructions)
        if not copies.copy():
            del copies.analysis.instructions[start:], copies.analysis.results[start:]
            break
    sources = (body.source, Source(), Source())
    tape = Tape(
        tuple(copies.analysis.instructions), tuple(copies.weights), sources, 0, 0, step_bound=STEP_BOUND
    )
    data = (values(rng, body.source.dtype, body.length), np.empty(0, np.uint8), np.empty(0, np.uint8))
    return Case(tape, body.symbols, data), copies.analysis
