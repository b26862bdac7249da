"""What we hold true of one claim: our own trace of the tape on the claim's own bytes.

Only the 32-byte roots stay; tensors and their trees are recomputed when a dispute asks for them, in a bounded cache.
Not here: what the claimant says (`state`), and what to answer (`strategy`).
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import numpy as np

from oracle_node.commitments.hashing import CHUNK_BYTES, pad_chunk
from oracle_node.commitments.merkle import MerkleTree
from oracle_node.commitments.model import program_tree
from oracle_node.commitments.tensor import TensorTree, tensor_bytes
from oracle_node.commitments.trace import Progress, Trace, trace
from oracle_node.errors import DeterminismError
from oracle_node.executors import reference
from oracle_node.executors.base import Executor
from oracle_node.game.geometry import Place, children_count
from oracle_node.tape.affine import Symbols
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import Instruction, Opcode, Tape

DEFAULT_CACHE_BYTES = 256 << 20


class Knowledge:
    """Our trace for one (request, output, witness); every answer is checked against its roots before it is given."""

    def __init__(
        self,
        tape: Tape,
        executor: Executor,
        symbols: Symbols,
        sources: tuple[np.ndarray, np.ndarray, np.ndarray],
        known: Trace | None = None,
        weight_roots: tuple[bytes, ...] | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        """`sources` as `Model.sources` gives them; `known` is a trace kept from before, which saves the run."""
        self.tape, self.executor, self.symbols, self.sources = tape, executor, symbols, sources
        self._trace, self._weight_roots, self._cache_bytes = known, weight_roots, cache_bytes
        self._tensors: OrderedDict[int, np.ndarray] = OrderedDict()
        self._trees: dict[int, TensorTree] = {}
        self._weight_trees: dict[int, TensorTree] = {}
        self._program: MerkleTree | None = None

    def run(self, progress: Progress | None = None) -> Trace:
        """Compute the trace now, unless it is known; the slow part of a dispute."""
        if self._trace is None:
            known = zip(self.tape.weights, self._weight_roots or (), strict=False)
            self._trace = trace(self.executor, self.symbols, self.sources, progress, known)
        return self._trace

    @property
    def trace(self) -> Trace:
        """Our trace; runs the tape on first use."""
        return self.run()

    @property
    def program(self) -> MerkleTree:
        if self._program is None:
            self._program = program_tree(self.tape.instructions)
        return self._program

    def instruction(self, index: int) -> Instruction:
        return self.tape.instructions[index]

    def encoded(self, index: int) -> tuple[bytes, tuple[bytes, ...]]:
        """An instruction's bytes and its path in the program root."""
        return encode(self.instruction(index)), self.program.path(index)

    def byte_length(self, index: int) -> int:
        instruction = self.instruction(index)
        return instruction.count(self.symbols) * instruction.dtype.width

    def tensors(self, indices: Iterable[int]) -> dict[int, np.ndarray]:
        """Tensors by index, computed again where they are not at hand, all in one run."""
        wanted = set(indices)
        missing = wanted - self._tensors.keys()
        if missing:
            self._tensors.update(self.executor.run(self.symbols, self.sources, missing))
        for index in wanted:
            self._tensors.move_to_end(index)
        self._evict(wanted)
        return {index: self._tensors[index] for index in wanted}

    def tree(self, index: int) -> TensorTree:
        """The tree of one tensor; DeterminismError where it is not the one in our trace."""
        tensor = self.tensors([index])[index]
        if index not in self._trees:
            tree = TensorTree(tensor)
            if tree.root != self.trace.roots[index]:
                raise DeterminismError(
                    f"tensor {index} was {self.trace.roots[index].hex()} in the trace and is {tree.root.hex()} when "
                    "computed again: the executor does not repeat itself"
                )
            self._trees[index] = tree
        return self._trees[index]

    def node(self, place: Place) -> bytes:
        """Our hash of a node; at a tensor's top level it is the tensor root."""
        if place.tensor is None:
            return self.trace.tree.node(place.level, place.position)
        tree = self.tree(place.tensor)
        return tree.root if place.level == tree.depth else tree.node(place.level, place.position)

    def children(self, place: Place) -> tuple[bytes, ...]:
        """What a reveal of the node lists, left to right."""
        children = map(place.child, range(children_count(place.level)))
        if place.tensor is None:
            return tuple(self.trace.tree.node(child.level, child.position) for child in children)
        tree = self.tree(place.tensor)
        return tuple(tree.node(child.level, child.position) for child in children)

    def chunk(self, tensor: int, position: int) -> bytes:
        """1,024 bytes of a tensor, zeros past its end."""
        return self.tree(tensor).chunk(position)

    def operands(self, index: int) -> list[np.ndarray]:
        """The tensors that an instruction reads: sources, weights, or our own earlier results."""
        instruction = self.instruction(index)
        earlier: Mapping[int, np.ndarray] = {}
        if instruction.opcode not in (Opcode.INPUT, Opcode.CONST):
            earlier = self.tensors(operand.ref for operand in instruction.operands)
        return reference.operand_tensors(self.tape, instruction, self.sources, dict(earlier))

    def operand_tree(self, opcode: Opcode, ref: int) -> TensorTree:
        """The tree that an operand's chunks are opened against."""
        if opcode is Opcode.INPUT:
            return TensorTree(self.sources[ref])
        if opcode is Opcode.CONST:
            if ref not in self._weight_trees:
                self._weight_trees = {ref: TensorTree(self.tape.weights[ref])}
            return self._weight_trees[ref]
        return self.tree(ref)

    @property
    def weights_tree(self) -> MerkleTree:
        """The tree over the constants' tensor roots."""
        if self._weight_roots is None:
            self._weight_roots = tuple(TensorTree(weight).root for weight in self.tape.weights)
        return MerkleTree.of(self._weight_roots)

    def require_sound(self, tensor: int, position: int) -> None:
        """Recompute a chunk with the reference evaluator; DeterminismError where it contradicts our fast path."""
        instruction = self.instruction(tensor)
        width = instruction.dtype.width
        first = position * CHUNK_BYTES // width
        elements = np.arange(first, min(first + CHUNK_BYTES // width, instruction.count(self.symbols)))
        slow = pad_chunk(
            tensor_bytes(reference.evaluate(instruction, self.symbols, self.operands(tensor), elements))
        )
        fast = pad_chunk(tensor_bytes(self.tensors([tensor])[tensor])[position * CHUNK_BYTES :][:CHUNK_BYTES])
        if slow != fast:
            byte = next(i for i, (a, b) in enumerate(zip(slow, fast, strict=True)) if a != b)
            raise DeterminismError(
                f"element {first + byte // width} of tensor {tensor} ({instruction.opcode.name}): the executor and the "
                "reference disagree; abstaining"
            )

    def _evict(self, wanted: set[int]) -> None:
        """Drop the tensors used longest ago until the rest fits."""
        total = sum(tensor.nbytes for tensor in self._tensors.values())
        for index in [i for i in self._tensors if i not in wanted]:
            if total <= self._cache_bytes:
                break
            total -= self._tensors.pop(index).nbytes
            self._trees.pop(index, None)
