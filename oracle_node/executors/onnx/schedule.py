"""Which graphs compute a tape's tensors, in which order, and what each one is fed.

A section is a list of blocks with as many members each; all blocks of the first member run before those of the second.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from oracle_node.executors.onnx.block import Block
from oracle_node.executors.onnx.constants import Constants
from oracle_node.executors.onnx.nodes import Node
from oracle_node.executors.onnx.plan import Plan, cone
from oracle_node.executors.onnx.session import Session
from oracle_node.tape.affine import Symbols

Section = Sequence[Block]
NodeOf = Callable[[int], Node]


@dataclass(frozen=True, slots=True)
class Graphs:
    """How plans become graphs: the store of constants, whether they are fed, and ONNX Runtime's threads."""

    constants: Constants
    feeding: bool
    threads: int

    def compile(self, node: NodeOf, wanted: Collection[int], given: Collection[int]) -> "Compiled":
        plan = Plan(node, self.constants, sorted(wanted), given, self.feeding)
        return Compiled(plan, node, self.threads, self.feeding)


class Compiled:
    """A plan and its session; ONNX Runtime has none for a graph that computes nothing."""

    def __init__(self, plan: Plan, node: NodeOf, threads: int, common_arena: bool) -> None:
        self.inputs, self.fed = plan.inputs, plan.fed
        self.outputs: Mapping[int, str] = plan.outputs
        self.given = {number: node(number) for number in plan.inputs}
        self._session = Session(plan.graph, threads, common_arena) if plan.outputs else None

    def run(self, feeds: Mapping[str, np.ndarray]) -> Iterable[np.ndarray]:
        """The outputs in order, for all inputs by name."""
        return () if self._session is None else self._session.run(feeds).values()


class Step:
    """One run of a graph: for a member of a block. `reads` and `writes` are positions of tensors."""

    def __init__(self, block: Block, compiled: Compiled, member: int) -> None:
        self.positions = block.members[member]
        self._compiled, self._member = compiled, member
        self._given = [
            (name, block.places[number][member], compiled.given[number])
            for number, name in compiled.inputs.items()
        ]
        self._results = [
            (block.places[number][member], block.numpy_dtype(number, member)) for number in compiled.outputs
        ]
        self.reads = [position for _, position, _ in self._given]
        self.writes = [position for position, _ in self._results]

    def run(self, tensors: dict[int, np.ndarray]) -> None:
        """Put its tensors beside those that it reads."""
        feeds: dict[str, np.ndarray] = {}
        for name, position, node in self._given:
            tensor = tensors[position]
            if tensor.shape != node.shape or tensor.dtype != node.dtype.numpy:  # as other members have it
                tensor = tensor.reshape(node.shape).astype(node.dtype.numpy)
            feeds[name] = tensor
        for name, constant in self._compiled.fed.items():
            feeds[name] = constant.array(self._member)
        for (position, dtype), result in zip(self._results, self._compiled.run(feeds), strict=True):
            tensors[position] = result.astype(dtype, copy=False)


class Schedule:
    """The steps that compute the wanted tensors."""

    def __init__(
        self, sections: Sequence[Section], symbols: Symbols, wanted: Collection[int] | None, graphs: Graphs
    ) -> None:
        """`wanted` None means every tensor."""
        steps: list[Step] = []
        needed = set(wanted or ())
        for section in reversed(sections):
            nodes = [_cached(block, symbols) for block in section]
            outputs = [
                set(block.inside) if wanted is None else _outputs(section, nodes, needed) for block in section
            ]
            compiled = [
                graphs.compile(node, numbers, block.given)
                for node, block, numbers in zip(nodes, section, outputs, strict=True)
            ]
            steps[:0] = [
                Step(block, graph, member)
                for member in range(len(section[0].members))
                for block, graph in zip(section, compiled, strict=True)
            ]
        self.steps = steps if wanted is None else list(_useful(steps, set(wanted)))
        self.inputs = {position for step in self.steps for position in step.reads}
        self._dead = _last_uses(self.steps, self.inputs.union(*(step.writes for step in self.steps)))

    def run(self, tensors: dict[int, np.ndarray], wanted: Collection[int]) -> None:
        """Put the wanted tensors beside the given ones; others are freed as soon as nobody reads them any more."""
        for step, dead in zip(self.steps, self._dead, strict=True):
            step.run(tensors)
            for position in dead:
                if position not in wanted:
                    del tensors[position]


def _last_uses(steps: Sequence[Step], positions: set[int]) -> list[list[int]]:
    """For every step, the tensors that no later one reads."""
    dead: list[list[int]] = []
    for step in reversed(steps):
        dead.append([position for position in {*step.reads, *step.writes} if position in positions])
        positions.difference_update(dead[-1])
    return dead[::-1]


def _outputs(section: Section, nodes: Sequence[NodeOf], needed: set[int]) -> set[int]:
    """The tensors of a section's only block that any later instruction needs, another member's among them.

    Adds to `needed` the positions of what the block reads.
    """
    (block,), (node,) = section, nodes
    outputs: set[int] = set()
    while True:
        more = {n for n in block.inside if n not in outputs and not needed.isdisjoint(block.places[n])}
        if not more:
            return outputs
        outputs |= more
        for number in cone(node, outputs, block.given) & block.given:
            needed.update(block.places[number])


def _useful(steps: Sequence[Step], needed: set[int]) -> Iterable[Step]:
    """The steps without those whose tensors nobody needs."""
    kept: list[Step] = []
    for step in reversed(steps):
        if not needed.isdisjoint(step.writes):
            kept.append(step)
            needed.update(step.reads)
    return reversed(kept)


def _cached(block: Block, symbols: Symbols) -> NodeOf:
    return cache(lambda number: block.node(number, symbols))
