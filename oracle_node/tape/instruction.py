"""The seven instructions and the tape they make up. Data only: meaning is in the executors, bytes in `encoding`."""

from dataclasses import dataclass, field
from enum import IntEnum

from oracle_node.tape.affine import SYMBOLS, Affine, Symbols
from oracle_node.tape.scalar import Program
from oracle_node.tape.types import Array, DType

MAX_AXES = 8
MAX_OPERANDS = 8
DEFAULT_STEP_BOUND = 12 * 1024
NO_INDEX = 0xFFFFFFFF


class Opcode(IntEnum):
    """Instruction codes of the encoding; 0 is invalid."""

    INPUT = 1
    CONST = 2
    MAP = 3
    MATMUL = 4
    REDUCE = 5
    GATHER = 6
    CONCAT = 7


class Reducer(IntEnum):
    """How REDUCE combines the program's values."""

    SUM = 0
    MAX = 1
    MIN = 2
    ARGMAX = 3


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor read through a strided view.

    `ref` is an instruction index (for INPUT a source, for CONST a weight index); `shape` is the operand tensor's own
    shape, of which only the product matters; strides run over the reader's output axes, then its reduce axes.
    """

    ref: int
    dtype: DType
    shape: tuple[Affine, ...]
    offset: Affine
    strides: tuple[Affine, ...]

    def count(self, symbols: Symbols) -> int:
        """Elements of the operand tensor."""
        total = 1
        for factor in self.shape:
            total *= factor.at(symbols)
        return total


@dataclass(frozen=True, slots=True)
class Clamp:
    """INPUT's declared range; for f32, `lo` and `hi` are finite binary32 values."""

    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class Reduction:
    """REDUCE's combination and program."""

    reducer: Reducer
    program: Program


@dataclass(frozen=True, slots=True)
class Rows:
    """GATHER: distance between two rows of the table, and their number."""

    stride: Affine
    count: Affine


@dataclass(frozen=True, slots=True)
class Parts:
    """CONCAT: the axis, and each operand's length along it."""

    axis: int
    extents: tuple[Affine, ...]


Tail = Clamp | Program | Reduction | Rows | Parts | None


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; it writes one contiguous row-major tensor of `shape` and `dtype`."""

    opcode: Opcode
    dtype: DType
    shape: tuple[Affine, ...]
    operands: tuple[Operand, ...]
    reduce_shape: tuple[Affine, ...] = ()
    tail: Tail = None

    def concrete_shape(self, symbols: Symbols) -> tuple[int, ...]:
        return tuple(d.at(symbols) for d in self.shape)

    def concrete_reduce_shape(self, symbols: Symbols) -> tuple[int, ...]:
        return tuple(d.at(symbols) for d in self.reduce_shape)

    def count(self, symbols: Symbols) -> int:
        """Elements of the result."""
        total = 1
        for dimension in self.shape:
            total *= dimension.at(symbols)
        return total


@dataclass(frozen=True, slots=True)
class Source:
    """A request input, claim output or claim witness: its type and its length limits in elements."""

    dtype: DType = DType.U8
    min_elements: int = 0
    max_elements: int = 0


@dataclass(frozen=True, slots=True)
class Inequality:
    """`Σ coefficients·(n0, n1, n2) ≤ bound`."""

    coefficients: tuple[int, int, int]
    bound: int


@dataclass(frozen=True, slots=True)
class DerivedSymbol:
    """`ceil(n_source / divisor)`."""

    source: int
    divisor: int


@dataclass(frozen=True)
class Tape:
    """A straight-line program with its weights and the limits of its inputs.

    `weights[k]` is the tensor that CONST ref k reads; arrays may be memory-mapped. `output`, `witness` and `ok` are
    instruction indices (`witness` is None where the model has none).
    """

    instructions: tuple[Instruction, ...]
    weights: tuple[Array, ...]
    sources: tuple[Source, Source, Source]
    output: int
    ok: int
    witness: int | None = None
    inequalities: tuple[Inequality, ...] = ()
    derived: tuple[DerivedSymbol, ...] = ()
    step_bound: int = DEFAULT_STEP_BOUND
    names: tuple[str, ...] = field(default=(), compare=False)
    """A name for people an instruction (a source model's node, a block); not part of the commitment."""

    def symbols(self, lengths: tuple[int, int, int]) -> Symbols:
        """All eight symbol values for the sources' lengths in elements; ValueError outside the registered limits."""
        for kind, (source, length) in enumerate(zip(self.sources, lengths, strict=True)):
            if not source.min_elements <= length <= source.max_elements:
                name = ("the request input", "the output", "the witness")[kind]
                allowed = f"{source.min_elements}…{source.max_elements} {source.dtype.name.lower()} elements"
                raise ValueError(f"{name} has {length}, the model takes {allowed}")
        for rule in self.inequalities:
            if sum(c * n for c, n in zip(rule.coefficients, lengths, strict=True)) > rule.bound:
                raise ValueError(
                    f"lengths {lengths} break the model's limit {rule.coefficients} · n ≤ {rule.bound}"
                )
        derived = tuple(-(-lengths[d.source] // d.divisor) for d in self.derived)
        return (*lengths, *derived, *(0,) * (SYMBOLS - 3 - len(derived)))
