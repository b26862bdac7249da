"""The fast executor: a tape on stock ONNX Runtime, to the last bit the reference's results.

Graphs are compiled for concrete lengths and kept, the least recently used thrown away first. Layers that a tape repeats
share one graph, which is given each layer's weights: a new length then costs no more than one layer's compilation.
"""

from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oracle_node.executors import loops
from oracle_node.executors.onnx.constants import Constants
from oracle_node.executors.onnx.inputs import Reader, input_reader
from oracle_node.executors.onnx.layout import Layout
from oracle_node.executors.onnx.memory import default_cache_bytes
from oracle_node.executors.onnx.repetition import Repetition, computed_instructions, find_repetition
from oracle_node.executors.onnx.reuse import (
    Continued,
    LastRun,
    Remembered,
    SameRows,
    from_the_first,
    from_the_first_needed,
)
from oracle_node.executors.onnx.rows import FirstRow
from oracle_node.executors.onnx.schedule import Arrays, Graphs, Schedule, cut_sections
from oracle_node.executors.onnx.session import require_supported_version
from oracle_node.executors.onnx.trace import Kernel
from oracle_node.executors.reference import last_readers
from oracle_node.tape.affine import Symbols
from oracle_node.tape.analysis import Analysis, analyse
from oracle_node.tape.instruction import Opcode, Tape
from oracle_node.tape.mapped import release
from oracle_node.tape.types import SourceKind

_RUN_GRAPHS = 4
_STREAM_LENGTHS = 2
_INPUTS = 64
_SEGMENT_BYTES = 64 << 20


@dataclass(slots=True)
class _Run:
    """A schedule, the tensors whose rows the next run may take over, and how often it was asked for."""

    schedule: Schedule
    remembered: frozenset[int]
    times: int = 0


class OnnxExecutor:
    """Runs one tape on ONNX Runtime; implements `Executor`.

    `threads` 0 means one a core; `analysis` saves repeating the tape's admission; `cache_bytes` bounds what is kept of
    arrays derived from the weights where layers share graphs (default: most of the memory that is free now); with a
    folder for `traces`, `kernels` tells how long each kernel took. What was run `loops_after` times is compiled to
    loops where that pays, which takes a second or two, once; None: never.
    DeterminismError where the machine is not exact.
    """

    segment_instructions = 48
    """`stream` computes at most so many instructions at once."""
    shared_weight_bytes = 256 << 20
    """Layers share a graph from so many bytes of weights on …"""
    shared_instructions = 96
    """… or, where shapes depend on lengths, if that saves compiling so many instructions."""
    loops_from_ns = 50_000.0
    """Instructions in a row are compiled to loops from so many nanoseconds that this saves, by estimate."""
    remembers = True
    """Where layers share graphs, a run takes over from the one before what is proved to be the same."""

    def __init__(
        self,
        tape: Tape,
        threads: int = 1,
        analysis: Analysis | None = None,
        cache_bytes: int | None = None,
        traces: Path | None = None,
        loops_after: int | None = loops.AFTER,
    ) -> None:
        from oracle_node.executors.canary import require_exact  # it uses this package's graphs

        require_supported_version()
        require_exact(threads)
        self.tape, self.threads = tape, threads
        self._loops_after = loops_after
        self._analysis = analysis if analysis is not None else analyse(tape)
        self._last = last_readers(tape)
        self._layout = Layout(tape, self._analysis, self._repetition())
        shared = self._layout.repetition is not None
        if shared and cache_bytes is None:
            cache_bytes = default_cache_bytes()
        self._constants = Constants(tape.weights, cache_bytes if shared else None, threads if shared else 1)
        self._graphs = Graphs(self._constants, shared, threads, traces)
        self._runs: OrderedDict[Hashable, _Run] = OrderedDict()
        self._readers: OrderedDict[Hashable, Reader] = OrderedDict()
        self._last_run: LastRun | None = None
        self._streams: OrderedDict[Symbols, Schedule] = OrderedDict()
        for weight in tape.weights if shared else ():
            release(weight)  # the analysis read them all

    def run(
        self, symbols: Symbols, sources: Sequence[np.ndarray], wanted: Collection[int]
    ) -> dict[int, np.ndarray]:
        """The wanted tensors, each in its shape and type; other tensors are computed only as far as these need them."""
        asked = frozenset(wanted)
        last = self._last_run
        same = self._same_rows(last, symbols, sources, asked)
        known = last.known if last is not None and same is not None else {}
        key = (tuple(symbols), asked, same, frozenset(known))
        times = self._runs[key].times if key in self._runs else 0
        if key not in self._runs or times == self._loops_after:
            found = self._worth_compiling(symbols, times)
            if key not in self._runs or found:
                self._runs[key] = self._plan_run(symbols, asked, same, key[-1], found)
                self._evict(self._runs, _RUN_GRAPHS)
        self._runs.move_to_end(key)
        plan = self._runs[key]
        plan.times = times + 1
        self._constants.start_round()
        tensors: Arrays = {
            position: self._source(position, symbols, sources)
            for position in {*plan.schedule.inputs, *asked}
            if self._is_source(position)
        }
        plan.schedule.run(tensors, asked | plan.remembered, known)
        if plan.remembered:
            remembered = {position: tensors[position] for position in plan.remembered}
            self._last_run = LastRun(symbols, [source.copy() for source in sources], asked, remembered)
        return {p: tensors[p].copy() if p in plan.remembered else tensors[p] for p in wanted}

    def kernels(self) -> list[Kernel]:
        """The kernels of the runs so far; ends the tracing, for an executor that was made for it."""
        return [kernel for run in self._runs.values() for kernel in run.schedule.end_trace()]

    def forget(self) -> None:
        """Take nothing over from the last run."""
        self._last_run = None

    def _worth_compiling(self, symbols: Symbols, times: int) -> list[range]:
        """What to compile for a run that came so often; nothing where it cannot be done here."""
        if self._loops_after is None or times < self._loops_after:
            return []
        found = self._layout.loops(symbols, self.loops_from_ns)
        return found if found and loops.usable() else []

    def _same_rows(
        self,
        last: LastRun | None,
        symbols: Symbols,
        sources: Sequence[np.ndarray],
        wanted: frozenset[int],
    ) -> SameRows | None:
        """What is as in the last run; None where that is another request, or too little to plan anew for."""
        if last is None or last.wanted != wanted:
            return None
        agreed = last.agreement(sources)
        if agreed is None:
            return None
        rows = symbols[SourceKind.REQUEST] + agreed
        whole_is_planned = (tuple(symbols), wanted, None, frozenset[int]()) in self._runs
        if whole_is_planned and 4 * rows < symbols[SourceKind.REQUEST] + symbols[SourceKind.WITNESS]:
            return None
        return SameRows(tuple(last.symbols), tuple(symbols), agreed)

    def _plan_run(
        self,
        symbols: Symbols,
        wanted: frozenset[int],
        same: SameRows | None,
        known: frozenset[int],
        looped: Sequence[range],
    ) -> _Run:
        sections = self._layout.whole(looped)
        if not self._graphs.feeding:
            return _Run(Schedule(sections, symbols, wanted, from_the_first, self._graphs), frozenset())
        start: FirstRow
        instructions, dependences = self.tape.instructions, self._analysis.causality.results
        if same is not None:
            remembered, start = known, Continued(instructions, dependences, same, known)
        else:
            search, start = Remembered(instructions, dependences, symbols), from_the_first_needed
            cut_sections(sections, symbols, wanted, search)
            remembered = frozenset(search.positions if self.remembers else ())
        return _Run(Schedule(sections, symbols, wanted, start, self._graphs, remembered), remembered)

    def stream(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """Every tensor in instruction order, in segments of bounded size; each is freed after its last reader."""
        key = tuple(symbols)
        if key not in self._streams:
            pieces = self._layout.pieces(symbols, _SEGMENT_BYTES, self.segment_instructions)
            everything = computed_instructions(self.tape)
            self._streams[key] = Schedule(pieces, symbols, everything, from_the_first, self._graphs)
            self._evict(self._streams, _STREAM_LENGTHS)
        self._streams.move_to_end(key)
        self._constants.start_round()
        tensors: Arrays = {}
        start = 0
        for step in self._streams[key].steps:
            stop = step.positions[-1] + 1
            self._read_inputs(range(start, stop), symbols, sources, tensors)
            step.run(tensors, {})
            yield from self._tensors(range(start, stop), symbols, tensors)
            for position in [p for p in tensors if isinstance(p, int) and self._last.get(p, p) < stop]:
                del tensors[position]
            start = stop
        rest = range(start, len(self.tape.instructions))
        self._read_inputs(rest, symbols, sources, tensors)
        yield from self._tensors(rest, symbols, tensors)

    def _read_inputs(
        self,
        positions: range,
        symbols: Symbols,
        sources: Sequence[np.ndarray],
        tensors: Arrays,
    ) -> None:
        for position in positions:
            if self.tape.instructions[position].opcode is Opcode.INPUT:
                tensors[position] = self._source(position, symbols, sources)

    def _tensors(
        self, positions: range, symbols: Symbols, tensors: Arrays
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The tensors of consecutive instructions; weights are let go of as soon as the consumer has seen them."""
        for position in positions:
            if position in tensors:
                yield position, tensors[position]
            else:
                weight = self._source(position, symbols, ())
                yield position, weight
                if self._graphs.feeding:
                    release(weight)

    def _is_source(self, position: int) -> bool:
        return self.tape.instructions[position].opcode in (Opcode.INPUT, Opcode.CONST)

    def _source(self, position: int, symbols: Symbols, sources: Sequence[np.ndarray]) -> np.ndarray:
        """The tensor of an INPUT or CONST."""
        instruction = self.tape.instructions[position]
        ref = instruction.operands[0].ref
        if instruction.opcode is Opcode.CONST:
            return self.tape.weights[ref].reshape(instruction.concrete_shape(symbols))
        key = (position, tuple(symbols))
        if key not in self._readers:
            self._evict(self._readers, _INPUTS - 1)
            self._readers[key] = input_reader(instruction, symbols)
        return self._readers[key](sources[ref])

    def _repetition(self) -> Repetition | None:
        """The tape's repeated layers, if it pays that they share a graph."""
        found = find_repetition(self.tape)
        if found is None:
            return None
        weights = sum(weight.nbytes for weight in self.tape.weights)
        saved = found.period * (found.count - 1)
        is_symbolic = any(not dimension.is_constant for i in self.tape.instructions for dimension in i.shape)
        pays = weights >= self.shared_weight_bytes or (is_symbolic and saved >= self.shared_instructions)
        return found if pays else None

    @staticmethod
    def _evict(cache: OrderedDict, size: int) -> None:  # type: ignore[type-arg]
        while len(cache) > size:
            cache.popitem(last=False)
