"""`model selftest`: reference = onnx = evm, bit for bit, on elements drawn over every instruction of a model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

import numpy as np

from oracle_node.commitments.hashing import CHUNK_BYTES, pad_chunk
from oracle_node.commitments.merkle import depth
from oracle_node.commitments.tensor import chunk_count, tensor_bytes
from oracle_node.errors import DeterminismError
from oracle_node.executors import reference
from oracle_node.executors.base import Executor
from oracle_node.executors.evm import EvmEvaluator, Opening
from oracle_node.game.footprint import chunks_read
from oracle_node.model.model import Model
from oracle_node.tape.affine import Symbols
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import Clamp, Instruction, Opcode, Source
from oracle_node.tape.types import DType, SourceKind

Sources = tuple[np.ndarray, np.ndarray, np.ndarray]
_MAX_CORNERS = 16
_MAX_MORE = 64
"""Elements beyond the least of a source whose length varies."""
_TENSORS_A_CASE = 6
"""Intermediate tensors that `run` is asked for beside one request: half of them one by one, half together."""
_MAX_REPORTED = 8
"""Wrong elements of one tensor from `run` that are reported."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One element on which the executors differ: its bits by each."""

    instruction: int
    opcode: str
    element: int
    reference: int
    onnx: int
    evm: int


@dataclass
class SelfTest:
    """What was checked; `by_opcode` counts elements of all three executors, `elements_checked` is their sum.

    `run_elements` are those that the plan for answers computed once more, `padding_elements` those past a tensor's end.
    """

    elements_checked: int = 0
    run_elements: int = 0
    padding_elements: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    by_opcode: dict[str, int] = field(default_factory=dict)


def selftest(
    model: Model,
    executor: Executor,
    requests: Sequence[bytes],
    elements: int,
    seed: int,
    progress: Callable[[int], None],
) -> SelfTest:
    """Check at least `elements` elements (fewer only where the model has fewer), alike over requests and instructions.

    Every request goes with the shortest claim, and with a longer one where the limits leave room. Of each instruction
    the corners come first, then elements drawn at random. What `run` computes, which may join what `stream` keeps
    apart, is compared whole: the answers, and some of the other tensors alone or a few at a time.
    """
    generator = np.random.default_rng(seed)
    cases = [case for request in requests for case in _with_claims(model, request, generator)]
    check = _Check(model, executor, -(-elements // len(cases)), generator, progress)
    for sources in cases:
        check.case(sources)
    return check.found


class _Check:
    """The checks of one self test; every case takes other intermediate tensors from `run`."""

    def __init__(
        self,
        model: Model,
        executor: Executor,
        elements: int,
        generator: np.random.Generator,
        progress: Callable[[int], None],
    ) -> None:
        self.model, self.executor, self.elements = model, executor, elements
        self.generator, self.progress = generator, progress
        self.found, self._evm = SelfTest(), EvmEvaluator()
        computed = [
            index
            for index, instruction in enumerate(model.tape.instructions)
            if instruction.opcode not in (Opcode.INPUT, Opcode.CONST)
        ]
        self._untold = [int(index) for index in generator.permutation(computed)]

    def case(self, sources: Sources) -> None:
        """One request with one claim."""
        model, symbols = self.model, self.model.symbols(sources)
        share = _share([i.count(symbols) for i in model.tape.instructions], self.elements)
        computed = self._run(symbols, sources)
        for index, tensors in _live(model, self.executor, symbols, sources):
            instruction = model.tape.instructions[index]
            operands = reference.operand_tensors(model.tape, instruction, sources, tensors)
            chosen = _choose(instruction.concrete_shape(symbols), share, self.generator)
            self._compare(index, symbols, operands, chosen, tensors[index])
            self.found.elements_checked += len(chosen)
            name = instruction.opcode.name
            self.found.by_opcode[name] = self.found.by_opcode.get(name, 0) + len(chosen)
            self.progress(len(chosen))
            for tensor in computed.pop(index, ()):
                self.found.run_elements += tensors[index].size
                differing = _differing(tensors[index], tensor)
                if differing.size:
                    self._compare(index, symbols, operands, differing[:_MAX_REPORTED], tensor)
            self._check_padding(index, symbols)

    def _run(self, symbols: Symbols, sources: Sequence[np.ndarray]) -> dict[int, list[np.ndarray]]:
        """What `run` makes of the answers, and of the next intermediate tensors one by one and together."""
        tape = self.model.tape
        answers = sorted({tape.output, tape.ok} | (set() if tape.witness is None else {tape.witness}))
        told = (self._untold * _TENSORS_A_CASE)[:_TENSORS_A_CASE]
        self._untold = self._untold[_TENSORS_A_CASE:] + self._untold[:_TENSORS_A_CASE]
        singles, together = told[: _TENSORS_A_CASE // 2], told[_TENSORS_A_CASE // 2 :]
        computed: dict[int, list[np.ndarray]] = {}
        for wanted in filter(None, [answers, *([index] for index in singles), sorted(set(together))]):
            for index, tensor in self.executor.run(symbols, sources, wanted).items():
                computed.setdefault(index, []).append(np.array(tensor))
        return computed

    def _compare(
        self,
        index: int,
        symbols: Symbols,
        operands: Sequence[np.ndarray],
        elements: np.ndarray,
        tensor: np.ndarray,
    ) -> None:
        """The elements of an instruction's tensor by the fast executor beside those of the two others."""
        instruction = self.model.tape.instructions[index]
        if tensor.dtype != instruction.dtype.numpy or tensor.shape != instruction.concrete_shape(symbols):
            raise DeterminismError(
                f"instruction {index}: {tensor.dtype} of shape {tensor.shape}, not {instruction.dtype.numpy} of "
                f"{instruction.concrete_shape(symbols)}"
            )
        bits = zip(
            _bits(reference.evaluate(instruction, symbols, operands, elements)),
            _bits(tensor.reshape(-1)[elements]),
            (_evm_bits(self._evm, instruction, symbols, operands, int(element)) for element in elements),
            strict=True,
        )
        for element, (slow, fast, chain) in zip(elements, bits, strict=True):
            if not slow == fast == chain:
                self.found.mismatches.append(
                    Mismatch(index, instruction.opcode.name, int(element), slow, fast, chain)
                )

    def _check_padding(self, index: int, symbols: Symbols) -> None:
        """Past the count there are only zeros: beside the data, and at the end of the tree."""
        instruction = self.model.tape.instructions[index]
        count, slots = instruction.count(symbols), CHUNK_BYTES // instruction.dtype.width
        end = slots << depth(chunk_count(count * instruction.dtype.width))
        for element in {count, end - 1} if end > count else ():
            (bits,) = self._evm.evaluate(encode(instruction), symbols, [element], [])
            if bits != 0:
                self.found.mismatches.append(Mismatch(index, instruction.opcode.name, element, 0, 0, bits))
            self.found.padding_elements += 1


def random_requests(model: Model, count: int, seed: int) -> list[bytes]:
    """Request inputs of admitted lengths over the whole declared range and beyond it.

    A long one comes first, then the shortest; where lengths vary they stay near the shortest, so that checks end soon.
    """
    generator = np.random.default_rng(seed)
    source = model.tape.sources[SourceKind.REQUEST]
    least = _least_claim(model)
    lengths = [n for n in _lengths(source) if _is_admitted(model, (n, *least))] or [source.min_elements]
    drawn = [lengths[-1], lengths[0]]
    drawn += [int(n) for n in generator.choice(lengths, count)]
    low, high = _declared_range(model, SourceKind.REQUEST)
    return [_draw(source.dtype, length, low, high, generator).tobytes() for length in drawn[:count]]


def _lengths(source: Source) -> range:
    """Admitted lengths of a source, ascending: all of few, else those near the least."""
    return range(source.min_elements, min(source.max_elements, source.min_elements + _MAX_MORE) + 1)


def _least_claim(model: Model) -> tuple[int, int]:
    _, output, witness = model.tape.sources
    return output.min_elements, witness.min_elements


def _is_admitted(model: Model, lengths: tuple[int, int, int]) -> bool:
    try:
        model.tape.symbols(lengths)
    except ValueError:
        return False
    return True


def _declared_range(model: Model, kind: SourceKind) -> tuple[float, float]:
    clamps = [
        i.tail
        for i in model.tape.instructions
        if i.opcode is Opcode.INPUT and i.operands[0].ref == kind and isinstance(i.tail, Clamp)
    ]
    if clamps:
        return min(clamp.lo for clamp in clamps), max(clamp.hi for clamp in clamps)
    dtype = model.tape.sources[kind].dtype
    return (-1.0, 1.0) if dtype is DType.F32 else dtype.bounds


def _draw(dtype: DType, length: int, low: float, high: float, generator: np.random.Generator) -> np.ndarray:
    """Elements in [low, high]; floats of mixed magnitudes, a few of them not finite, −0 or outside the range."""
    if dtype is not DType.F32:
        return generator.integers(int(low), int(high), length, endpoint=True).astype(dtype.numpy)
    largest = np.float32(min(max(abs(low), abs(high)), 256.0))
    values = (generator.uniform(-1, 1, length) * largest).astype(np.float32)
    special = np.asarray([np.nan, np.inf, -np.inf, -0.0, 1e-40, low, high], np.float32)
    places = generator.random(length) < 0.05
    values[places] = generator.choice(special, int(places.sum()))
    return values


def _with_claims(model: Model, request: bytes, generator: np.random.Generator) -> list[Sources]:
    """The request with the shortest claim, of zeros and ones, and perhaps with a longer one: every tape is total.

    Right or wrong does not matter; a longer claim is drawn over its whole declared range.
    """
    kinds = (SourceKind.OUTPUT, SourceKind.WITNESS)
    dtypes = [model.tape.sources[kind].dtype for kind in kinds]
    least = _least_claim(model)
    claims = [[_draw(dtype, length, 0, 1, generator) for dtype, length in zip(dtypes, least, strict=True)]]
    longer = _longer_claim(model, len(model.source(SourceKind.REQUEST, request)))
    if longer != least:
        ranges = [_declared_range(model, kind) for kind in kinds]
        drawn = zip(dtypes, longer, ranges, strict=True)
        claims.append([_draw(dtype, length, *limits, generator) for dtype, length, limits in drawn])
    return [model.sources(request, *(claim.tobytes() for claim in both)) for both in claims]


def _longer_claim(model: Model, request: int) -> tuple[int, int]:
    """Lengths of a claim beside that request: both longer than the least, else one of them, where that is admitted."""
    least = _least_claim(model)
    output, witness = (_lengths(source)[-1] for source in model.tape.sources[1:])
    for most in ((output, witness), (output, least[1]), (least[0], witness)):
        more = _MAX_MORE
        while more:
            longer = min(most[0], least[0] + more), min(most[1], least[1] + more)
            if longer != least and _is_admitted(model, (request, *longer)):
                return longer
            more //= 2
    return least


def _live(
    model: Model, executor: Executor, symbols: Symbols, sources: Sources
) -> Iterator[tuple[int, dict[int, np.ndarray]]]:
    """Every instruction with its tensor and those it reads, each dropped after its last reader."""
    last = reference.last_readers(model.tape)
    tensors: dict[int, np.ndarray] = {}
    for index, tensor in executor.stream(symbols, sources):
        tensors[index] = np.array(tensor)
        yield index, tensors
        for done in [i for i in tensors if last.get(i, i) <= index]:
            del tensors[done]


def _share(sizes: Sequence[int], elements: int) -> int:
    """The least number drawn from every tensor (or the whole of it) that makes up so many elements, if they exist."""
    share = -(-elements // len(sizes))
    while sum(min(size, share) for size in sizes) < min(elements, sum(sizes)):
        share += 1
    return share


def _choose(shape: tuple[int, ...], share: int, generator: np.random.Generator) -> np.ndarray:
    """(n,) ascending element numbers: corners of the shape, then random ones."""
    size = prod(shape)
    if size <= share:
        return np.arange(size)
    ends = [sorted({0, n - 1}) for n in shape]
    corners = [int(np.ravel_multi_index(corner, shape)) for corner in product(*ends)] if shape else [0]
    chosen = set(corners[: min(_MAX_CORNERS, share)])
    while len(chosen) < share:
        chosen.update(generator.integers(0, size, share - len(chosen)).tolist())
    return np.asarray(sorted(chosen), np.int64)


def _differing(streamed: np.ndarray, computed: np.ndarray) -> np.ndarray:
    """(n,) ascending numbers of the elements whose bits differ; the first alone where types or shapes do."""
    if (streamed.dtype, streamed.shape) != (computed.dtype, computed.shape):
        return np.zeros(1, np.int64)
    words = [
        np.ascontiguousarray(tensor).reshape(-1).view(f"<u{tensor.itemsize}")
        for tensor in (streamed, computed)
    ]
    return np.flatnonzero(words[0] != words[1])


def _bits(values: np.ndarray) -> list[int]:
    """Elements as unsigned integers of their width."""
    values = np.ascontiguousarray(values)
    return [int(bits) for bits in values.view(f"<u{values.dtype.itemsize}")]


def _evm_bits(
    evm: EvmEvaluator,
    instruction: Instruction,
    symbols: Symbols,
    operands: Sequence[np.ndarray],
    element: int,
) -> int:
    tensors = {o.ref: tensor_bytes(tensor) for o, tensor in zip(instruction.operands, operands, strict=True)}
    openings = [
        Opening(ref, tuple(positions), b"".join(_chunk(tensors[ref], position) for position in positions))
        for ref, positions in chunks_read(instruction, symbols, operands, element).items()
        if positions
    ]
    return evm.evaluate(encode(instruction), symbols, [element], openings)[0]


def _chunk(data: memoryview, position: int) -> bytes:
    return pad_chunk(data[position * CHUNK_BYTES : (position + 1) * CHUNK_BYTES])
