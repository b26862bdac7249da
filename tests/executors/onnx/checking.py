"""Comparing the fast executor with the reference, and seeing which kernels it chose."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from oracle_node.executors import reference
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.executors.onnx.block import Block
from oracle_node.executors.onnx.constants import Constants
from oracle_node.executors.onnx.graph import Graph
from oracle_node.executors.onnx.plan import Plan
from oracle_node.executors.onnx.repetition import computed_instructions
from oracle_node.tape.analysis import Analysis, analyse
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Source, Tape
from oracle_node.tape.types import DType
from oracle_node.tape.view import View

EMPTY = np.empty(0, np.uint8)


def new_builder(dtype: DType = DType.I16, elements: int = 0) -> TapeBuilder:
    """A builder for a request of exactly so many elements, with room for large steps."""
    return TapeBuilder(Source(dtype, elements, elements), step_bound=1 << 24)


def require_exact(builder: TapeBuilder, result: View, request: np.ndarray = EMPTY) -> Counter[str]:
    """The result alone, and every tensor, equal the reference's bits, with loops and without.

    Returns the kernels of the result's graph, which has no loops.
    """
    tape = builder.finish(result)
    sources = (request, EMPTY, EMPTY)
    symbols = tape.symbols((len(request), 0, 0))
    expected = dict(reference.run(tape, symbols, sources))
    _require_same(expected[tape.output], looping(tape).run(symbols, sources, [tape.output])[tape.output])
    executor = OnnxExecutor(tape)
    _require_same(expected[tape.output], executor.run(symbols, sources, [tape.output])[tape.output])
    for index, tensor in executor.stream(symbols, sources):
        _require_same(expected[index], tensor)
    return kernels(tape, symbols, [tape.output])


def looping(tape: Tape, analysis: Analysis | None = None) -> OnnxExecutor:
    """An executor that compiles to loops whatever can be, at once."""
    executor = OnnxExecutor(tape, analysis=analysis, loops_after=0)
    executor.loops_from_ns = 0
    return executor


def kernels(tape: Tape, symbols: tuple[int, ...], wanted: Sequence[int]) -> Counter[str]:
    """The operators of the graph that computes the wanted tensors."""
    block = Block(tape, analyse(tape), [computed_instructions(tape)])
    return operators(Plan(lambda n: block.node(n, symbols), Constants(tape.weights), wanted).graph)


def operators(graph: Graph) -> Counter[str]:
    """How often each operator appears in what the graph's outputs need."""
    return Counter(node.op_type for node in graph.live_nodes())


def _require_same(expected: np.ndarray, found: np.ndarray) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    different = np.flatnonzero(_bits(expected) != _bits(found))
    assert different.size == 0, (
        f"{different.size} elements differ: {expected.reshape(-1)[different[:5]]} is {found.reshape(-1)[different[:5]]}"
    )


def _bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(f"u{array.itemsize}")
