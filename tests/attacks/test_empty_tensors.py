"""Requests of no elements, and of every other admitted length: executors agree, and the chain decodes everything."""

from random import Random

import numpy as np
import pytest

from oracle_node.executors import reference
from oracle_node.executors.evm import EvmEvaluator, Opening
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import Source, Tape
from oracle_node.tape.region import Region
from tests.strategies import STEP_BOUND, Grower, values

EMPTY = np.zeros(0, np.uint8)
EVALUATOR = EvmEvaluator()


class Shrunk(Grower):
    """Grows tapes for requests of 0 elements up to a few."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.source = Source(self.source.dtype, 0, rng.choice([3, 7]))
        self.length = rng.choice([0, 0, 1, self.source.max_elements])
        self.symbols = (self.length, 0, 0, 0, 0, 0, 0, 0)
        self.analysis = Analysis(Region((self.source, Source(), Source())), self.weights, STEP_BOUND)


@pytest.mark.parametrize("seed", range(60))
def test_executors__tape_for_requests_that_may_be_empty__agree_and_decode_at_every_length(seed: int) -> None:
    rng = Random(seed)
    grower = Shrunk(rng)
    grower.grow(8)
    sources = (grower.source, Source(), Source())
    tape = Tape(tuple(grower.instructions), grower.weights, sources, output=0, ok=0, step_bound=STEP_BOUND)
    data = (values(rng, grower.source.dtype, grower.length), EMPTY, EMPTY)
    slow = dict(reference.run(tape, grower.symbols, data))
    fast = OnnxExecutor(tape, 1, grower.analysis).run(grower.symbols, data, list(slow))
    for index, instruction in enumerate(tape.instructions):
        assert fast[index].tobytes() == slow[index].tobytes()
        for length in range(grower.source.max_elements + 1):
            EVALUATOR.inspect(encode(instruction), (length, 0, 0, 0, 0, 0, 0, 0))
        if slow[index].size:
            operands = reference.operand_tensors(tape, instruction, data, slow)
            refs = {operand.ref: t for operand, t in zip(instruction.operands, operands, strict=True)}
            openings = [Opening.whole(ref, np.ascontiguousarray(refs[ref]).tobytes()) for ref in sorted(refs)]
            (bits,) = EVALUATOR.evaluate(
                encode(instruction), grower.symbols, [slow[index].size - 1], openings
            )
            last = slow[index].reshape(-1)[-1:].tobytes()
            assert bits == int.from_bytes(last, "little")
