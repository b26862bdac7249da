"""`model selftest`: reference = onnx = evm, bit for bit, on elements drawn over every instruction of a model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

import numpy as np

from oracle_node.commitments.hashing import CHUNK_BYTES, pad_chunk
from oracle_node.commitments.tensor import tensor_bytes
from oracle_node.executors import reference
from oracle_node.executors.base import Executor
from oracle_node.executors.evm import EvmEvaluator, Opening
from oracle_node.game.footprint import chunks_read
from oracle_node.model.model import Model
from oracle_node.tape.affine import Symbols
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import Clamp, Instruction, Opcode
from oracle_node.tape.types import DType, SourceKind

Sources = tuple[np.ndarray, np.ndarray, np.ndarray]
_MAX_CORNERS = 16


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
    """What was checked; `by_opcode` counts elements."""

    elements_checked: int = 0
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

    Of each instruction the corners come first, then elements drawn at random.
    """
    generator = np.random.default_rng(seed)
    found = SelfTest()
    evm = EvmEvaluator()
    for request in requests:
        sources = _with_claim(model, request, generator)
        symbols = model.symbols(sources)
        share = _share([i.count(symbols) for i in model.tape.instructions], -(-elements // len(requests)))
        for index, tensors in _live(model, executor, symbols, sources):
            instruction = model.tape.instructions[index]
            operands = reference.operand_tensors(model.tape, instruction, sources, tensors)
            chosen = _choose(instruction.concrete_shape(symbols), share, generator)
            bits = zip(
                _bits(reference.evaluate(instruction, symbols, operands, chosen)),
                _bits(tensors[index].reshape(-1)[chosen]),
                (_evm_bits(evm, instruction, symbols, operands, int(element)) for element in chosen),
                strict=True,
            )
            for element, (slow, fast, chain) in zip(chosen, bits, strict=True):
                if not slow == fast == chain:
                    found.mismatches.append(
                        Mismatch(index, instruction.opcode.name, int(element), slow, fast, chain)
                    )
                progress(1)
            found.elements_checked += len(chosen)
            name = instruction.opcode.name
            found.by_opcode[name] = found.by_opcode.get(name, 0) + len(chosen)
    return found


def random_requests(model: Model, count: int, seed: int) -> list[bytes]:
    """Request inputs of admitted lengths, shortest and longest first, over the whole declared range and beyond it."""
    generator = np.random.default_rng(seed)
    source = model.tape.sources[SourceKind.REQUEST]
    lengths = [source.max_elements, source.min_elements]
    lengths += [
        int(n) for n in generator.integers(source.min_elements, source.max_elements, count, endpoint=True)
    ]
    clamps = [
        i.tail
        for i in model.tape.instructions
        if i.opcode is Opcode.INPUT and i.operands[0].ref == SourceKind.REQUEST
    ]
    low, high = _declared_range([clamp for clamp in clamps if isinstance(clamp, Clamp)], source.dtype)
    return [_draw(source.dtype, length, low, high, generator).tobytes() for length in lengths[:count]]


def _declared_range(clamps: Sequence[Clamp], dtype: DType) -> tuple[float, float]:
    if clamps:
        return min(clamp.lo for clamp in clamps), max(clamp.hi for clamp in clamps)
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


def _with_claim(model: Model, request: bytes, generator: np.random.Generator) -> Sources:
    """The request with a claim of zeros and ones, as short as the model admits: right or wrong, every tape is total."""
    _, *claim = model.tape.sources
    drawn = [_draw(source.dtype, source.min_elements, 0, 1, generator).tobytes() for source in claim]
    return model.sources(request, *drawn)


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
