"""Which graphs compute a tape's tensors, in which order, and what each one is fed.

A section is a list of blocks with as many members each; all blocks of the first member run before those of the second.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from oracle_node.executors.onnx.block import Block
from oracle_node.executors.onnx.borders import Borders, whole_view
from oracle_node.executors.onnx.constants import Constants
from oracle_node.executors.onnx.graph import Elem
from oracle_node.executors.onnx.looped import LoopPlan, Loops
from oracle_node.executors.onnx.plan import Plan
from oracle_node.executors.onnx.rows import Cut, FirstRow
from oracle_node.executors.onnx.session import Session
from oracle_node.executors.onnx.tensors import Port
from oracle_node.executors.onnx.trace import Kernel
from oracle_node.executors.onnx.views import View
from oracle_node.tape.affine import Symbols

Section = Sequence[Block]
Key = int | tuple[int, View]
"""The position of a tensor, and the view through which it was handed over, if it was."""
Arrays = dict[Key, np.ndarray]


@dataclass(frozen=True, slots=True)
class Graphs:
    """How plans become graphs: the constants, whether they are fed, ONNX Runtime's threads, a folder for traces."""

    constants: Constants
    feeding: bool
    threads: int
    traces: Path | None = None

    def compile(self, cuts: Sequence[Cut], kept: Collection[int]) -> "list[Compiled]":
        """What computes each cut; tensors at `kept` positions come in their own types."""
        borders, compiled = Borders(cuts, kept), dict[Cut, Compiled]()
        for cut in sorted(cuts, key=lambda cut: cut.block.is_looped):  # loops go by what graphs have settled
            if cut.block.is_looped:
                loops = LoopPlan(cut.node, self.constants, borders.wanted(cut), cut.given, borders.given(cut))
                compiled[cut] = Compiled(loops, cut, Loops(loops, self.traces is not None))
                continue
            wanted = sorted(cut.outputs)
            plan = Plan(cut.node, self.constants, wanted, cut.given, self.feeding, borders.loose(cut))
            borders.settle(cut, {**plan.inputs, **plan.outputs})
            in_turn = self.feeding or len(cuts) > 1
            session = Session(plan.graph, self.threads, in_turn, self.traces) if wanted else None
            compiled[cut] = Compiled(plan, cut, session)
        return [compiled[cut] for cut in cuts]


class Compiled:
    """A plan and what runs it: None for one that computes nothing."""

    def __init__(self, plan: Plan | LoopPlan, cut: Cut, runner: Session | Loops | None) -> None:
        self.plan, self.cut, self._runner = plan, cut, runner

    def run(self, feeds: Mapping[str, np.ndarray]) -> Iterable[np.ndarray]:
        """The outputs in order, for all inputs by name."""
        return () if self._runner is None else self._runner.run(feeds).values()

    def end_trace(self) -> Iterator[Kernel]:
        """The kernels that ran since it was compiled for tracing, by the first member's positions."""
        if self._runner is not None:
            for number, operator, seconds in self._runner.end_trace():
                position = self.cut.block.places[self.cut.part(number)[0]][0]
                yield Kernel(position, operator, seconds)


@dataclass(frozen=True, slots=True)
class _Given:
    """An input of a graph: which tensor's last elements it takes, or the first ones of what the last run knew."""

    name: str
    key: Key
    is_known: bool
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def of(self, tensor: np.ndarray) -> np.ndarray:
        """As the graph takes it; other members may have it in another shape or type."""
        if tensor.shape != self.shape:
            count, flat = prod(self.shape), tensor.reshape(-1)
            tensor = (flat[:count] if self.is_known else flat[flat.size - count :]).reshape(self.shape)
        return tensor.astype(self.dtype, copy=False)


@dataclass(frozen=True, slots=True)
class _Result:
    """An output of a graph, the last of its tensor's rows: behind `known_rows` of the last run's."""

    key: Key
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    known_rows: int

    def of(self, tensor: np.ndarray, known: Mapping[Any, np.ndarray]) -> np.ndarray:
        """All of the tensor, as far as the run has it."""
        tensor = tensor.reshape(self.shape)
        if self.known_rows:
            tensor = np.concatenate([known[self.key][: self.known_rows], tensor])
        return tensor.astype(self.dtype, copy=False)


class Step:
    """One run of a graph, or of loops, for a member of a block; `reads` and `writes` are keys of tensors."""

    def __init__(self, compiled: Compiled, member: int, constants: Constants) -> None:
        cut, block = compiled.cut, compiled.cut.block
        self.positions = block.members[member]
        self.compiled, self._member, self._constants = compiled, member, constants
        self._given: list[_Given] = []
        for port, value in compiled.plan.inputs.items():
            number, is_known = cut.part(port.ref)
            key = _key(cut, block.places[number][member], port)
            self._given.append(_Given(value.name, key, is_known, value.shape, value.elem.numpy))
        self._results: list[_Result] = []
        for port, value in compiled.plan.outputs.items():
            (number, _), node = cut.part(port.ref), cut.node(port.ref)
            key, dtype = _key(cut, block.places[number][member], port), block.numpy_dtype(number, member)
            if port.view is not None or value.elem != Elem.of(node.dtype):  # as the next block takes it
                dtype = value.elem.numpy
            shape = node.shape if port.view is None else value.shape
            self._results.append(_Result(key, shape, dtype, cut.known_rows(port.ref)))
        self.reads = [given.key for given in self._given if not given.is_known]
        self.writes = [result.key for result in self._results]

    def run(self, tensors: Arrays, known: Mapping[Any, np.ndarray]) -> None:
        """Put its tensors beside those that it reads; `known` are those of the run before."""
        feeds = {
            given.name: given.of((known if given.is_known else tensors)[given.key]) for given in self._given
        }
        fed = self.compiled.plan.fed
        feeds.update(zip(fed, self._constants.arrays(fed.values(), self._member), strict=True))
        for result, tensor in zip(self._results, self.compiled.run(feeds), strict=True):
            tensors[result.key] = result.of(tensor, known)


class Schedule:
    """The steps that compute the wanted tensors, from the first row on that `start` says."""

    def __init__(
        self,
        sections: Sequence[Section],
        symbols: Symbols,
        wanted: Collection[int],
        start: FirstRow,
        graphs: Graphs,
        also: Collection[int] = (),
    ) -> None:
        """Those in `also` are computed too, in full, though nobody may need them."""
        steps: list[Step] = []
        cuts = cut_sections(sections, symbols, wanted, start, also)
        every = iter(graphs.compile([cut for own in cuts for cut in own], {*wanted, *also}))
        for section, own in zip(sections, cuts, strict=True):
            compiled = [next(every) for _ in own]
            members = range(len(section[0].members))
            steps += [Step(graph, member, graphs.constants) for member in members for graph in compiled]
        self.steps = list(_useful(steps, {*wanted, *also}))
        keys = {key for step in self.steps for key in (*step.reads, *step.writes)}
        self.inputs = {key for step in self.steps for key in step.reads if isinstance(key, int)}
        self._dead = _last_uses(self.steps, keys)

    def end_trace(self) -> Iterator[Kernel]:
        """The kernels of all graphs that were compiled for tracing."""
        for compiled in dict.fromkeys(step.compiled for step in self.steps):
            yield from compiled.end_trace()

    def run(self, tensors: Arrays, wanted: Collection[int], known: Mapping[Any, np.ndarray]) -> None:
        """Put the wanted tensors beside the given ones; others are freed as soon as nobody reads them any more."""
        for step, dead in zip(self.steps, self._dead, strict=True):
            step.run(tensors, known)
            for key in dead:
                if key not in wanted:
                    del tensors[key]


def cut_sections(
    sections: Sequence[Section],
    symbols: Symbols,
    wanted: Collection[int],
    start: FirstRow,
    also: Collection[int] = (),
) -> list[list[Cut]]:
    """What a run computes of every block."""
    demand, cuts = dict.fromkeys(wanted, 0), []
    for section in reversed(sections):
        cuts.append([Cut(block, symbols, demand, start, also) for block in reversed(section)][::-1])
    return cuts[::-1]


def _key(cut: Cut, position: int, port: Port) -> Key:
    view = whole_view(cut, port)
    return position if view is None else (position, view)


def _last_uses(steps: Sequence[Step], keys: set[Key]) -> list[list[Key]]:
    """For every step, the tensors that no later one reads."""
    dead: list[list[Key]] = []
    for step in reversed(steps):
        dead.append([key for key in {*step.reads, *step.writes} if key in keys])
        keys.difference_update(dead[-1])
    return dead[::-1]


def _useful(steps: Sequence[Step], needed: set[Key]) -> Iterable[Step]:
    """The steps without those whose tensors nobody needs."""
    kept: list[Step] = []
    for step in reversed(steps):
        if not needed.isdisjoint(step.writes):
            kept.append(step)
            needed.update(step.reads)
    return reversed(kept)
