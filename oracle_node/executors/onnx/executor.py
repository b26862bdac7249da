"""The fast executor: a tape on stock ONNX Runtime, to the last bit the reference's results.

Graphs are compiled for concrete lengths and kept, the least recently used thrown away first.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from oracle_node.executors.onnx.inputs import read_input
from oracle_node.executors.onnx.plan import Plan
from oracle_node.executors.onnx.session import Session, require_supported_version
from oracle_node.executors.onnx.tensors import Constants
from oracle_node.executors.reference import last_readers
from oracle_node.tape.affine import Symbols
from oracle_node.tape.analysis import Analysis, analyse
from oracle_node.tape.instruction import Opcode, Tape

_RUN_GRAPHS = 4
_STREAM_LENGTHS = 2
_SEGMENT_BYTES = 64 << 20


class _Compiled:
    """A plan and its session; ONNX Runtime has none for a graph that computes nothing."""

    def __init__(self, plan: Plan, threads: int) -> None:
        self.inputs, self._outputs = plan.inputs, plan.outputs
        self._session = Session(plan.graph, threads) if plan.outputs else None

    def run(self, feeds: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """The plan's outputs for its inputs, by instruction."""
        if self._session is None:
            return {}
        results = self._session.run({self.inputs[position]: array for position, array in feeds.items()})
        return {position: results[name] for position, name in self._outputs.items()}


class OnnxExecutor:
    """Runs one tape on ONNX Runtime; implements `Executor`.

    `threads` 0 means one a core; `analysis` saves repeating the tape's admission. DeterminismError where the machine
    is not exact.
    """

    segment_instructions = 48
    """`stream` computes at most so many instructions at once."""

    def __init__(self, tape: Tape, threads: int = 1, analysis: Analysis | None = None) -> None:
        from oracle_node.executors.canary import require_exact  # it uses this package's graphs

        require_supported_version()
        require_exact(threads)
        self.tape, self.threads = tape, threads
        self._analysis = analysis if analysis is not None else analyse(tape)
        self._constants = Constants()
        self._last = last_readers(tape)
        self._runs: OrderedDict[tuple[Symbols, frozenset[int]], _Compiled] = OrderedDict()
        self._streams: OrderedDict[Symbols, list[tuple[range, _Compiled]]] = OrderedDict()

    def run(
        self, symbols: Symbols, sources: Sequence[np.ndarray], wanted: Collection[int]
    ) -> dict[int, np.ndarray]:
        """The wanted tensors, each in its shape and type; other tensors are computed only as far as these need them."""
        key = (tuple(symbols), frozenset(wanted))
        if key not in self._runs:
            self._runs[key] = self._compile(symbols, sorted(key[1]))
            self._evict(self._runs, _RUN_GRAPHS)
        self._runs.move_to_end(key)
        compiled = self._runs[key]
        return compiled.run(
            {position: self._input(position, symbols, sources) for position in compiled.inputs}
        )

    def stream(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """Every tensor in instruction order, in segments of bounded size; each is freed after its last reader."""
        key = tuple(symbols)
        if key not in self._streams:
            self._streams[key] = [(s, self._segment(symbols, s)) for s in self._segments(symbols)]
            self._evict(self._streams, _STREAM_LENGTHS)
        self._streams.move_to_end(key)
        tensors: dict[int, np.ndarray] = {}
        for segment, compiled in self._streams[key]:
            yield from self._run_segment(segment, compiled, symbols, sources, tensors)
            for position in [p for p in tensors if self._last.get(p, p) < segment.stop]:
                del tensors[position]

    def _run_segment(
        self,
        segment: range,
        compiled: _Compiled,
        symbols: Symbols,
        sources: Sequence[np.ndarray],
        tensors: dict[int, np.ndarray],
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The tensors of consecutive instructions; leaves them in `tensors`, beside the earlier ones."""
        for position in segment:
            instruction = self.tape.instructions[position]
            if instruction.opcode is Opcode.INPUT:
                tensors[position] = self._input(position, symbols, sources)
            elif instruction.opcode is Opcode.CONST:
                weight = self.tape.weights[instruction.operands[0].ref]
                tensors[position] = weight.reshape(instruction.concrete_shape(symbols))
        tensors.update(compiled.run({position: tensors[position] for position in compiled.inputs}))
        for position in segment:
            yield position, tensors[position]

    def _input(self, position: int, symbols: Symbols, sources: Sequence[np.ndarray]) -> np.ndarray:
        instruction = self.tape.instructions[position]
        return read_input(instruction, symbols, sources[instruction.operands[0].ref])

    def _segments(self, symbols: Symbols) -> Iterator[range]:
        """Runs of instructions whose tensors together stay small."""
        start, size = 0, 0
        for position, instruction in enumerate(self.tape.instructions):
            own = (
                0
                if instruction.opcode is Opcode.CONST
                else instruction.count(symbols) * instruction.dtype.width
            )
            if position > start and (
                size + own > _SEGMENT_BYTES or position - start >= self.segment_instructions
            ):
                yield range(start, position)
                start, size = position, 0
            size += own
        if start < len(self.tape.instructions):
            yield range(start, len(self.tape.instructions))

    def _segment(self, symbols: Symbols, segment: range) -> _Compiled:
        """A graph for the instructions of a segment, which takes the earlier tensors as inputs."""
        computed = [
            p for p in segment if self.tape.instructions[p].opcode not in (Opcode.INPUT, Opcode.CONST)
        ]
        needed = {operand.ref for p in computed for operand in self.tape.instructions[p].operands}
        given = [
            p for p in needed if p < segment.start and self.tape.instructions[p].opcode is not Opcode.CONST
        ]
        return self._compile(symbols, computed, given)

    def _compile(self, symbols: Symbols, wanted: Collection[int], given: Collection[int] = ()) -> _Compiled:
        plan = Plan(self.tape, self._analysis, self._constants, symbols, wanted, given)
        return _Compiled(plan, self.threads)

    @staticmethod
    def _evict(cache: OrderedDict, size: int) -> None:  # type: ignore[type-arg]
        while len(cache) > size:
            cache.popitem(last=False)
