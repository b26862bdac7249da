"""Scalar programs: the straight-line arithmetic that MAP and REDUCE apply at every coordinate.

Not here: what the operations compute on arrays (executors) or on intervals (analysis).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from oracle_node.tape.types import Kind

MAX_OPERATIONS = 120
"""Constants included: with 8 operands, registers stay below 128."""


class Op(IntEnum):
    """Scalar operations; the values are the codes of the encoding (docs/protocol.md §1.2)."""

    ICONST = 0x01
    FCONST = 0x02
    IADD = 0x10
    ISUB = 0x11
    IMUL = 0x12
    IDIV = 0x13
    IMIN = 0x14
    IMAX = 0x15
    IAND = 0x16
    IOR = 0x17
    IXOR = 0x18
    ISHR = 0x19
    IEQ = 0x1A
    ILT = 0x1B
    ILE = 0x1C
    IWHERE = 0x1D
    FADD = 0x20
    FSUB = 0x21
    FMUL = 0x22
    FDIV = 0x23
    FMIN = 0x24
    FMAX = 0x25
    FNEG = 0x26
    FABS = 0x27
    FFLOOR = 0x28
    FROUND = 0x29
    FSQRT = 0x2A
    FEQ = 0x2B
    FLT = 0x2C
    FLE = 0x2D
    FWHERE = 0x2E
    FPOW2 = 0x2F
    I2F = 0x30
    F2I = 0x31


@dataclass(frozen=True, slots=True)
class Signature:
    """Kinds of the register arguments and of the result, and the immediate's bytes."""

    arguments: tuple[Kind, ...]
    result: Kind
    immediate_bytes: int = 0


_II: tuple[Kind, ...] = ("int", "int")
_FF: tuple[Kind, ...] = ("float", "float")

SIGNATURES: dict[Op, Signature] = {
    Op.ICONST: Signature((), "int", 8),
    Op.FCONST: Signature((), "float", 4),
    **{op: Signature(_II, "int") for op in Op if Op.IADD <= op <= Op.ILE},
    Op.IWHERE: Signature(("int", "int", "int"), "int"),
    **{op: Signature(_FF, "float") for op in Op if Op.FADD <= op <= Op.FMAX},
    **{op: Signature(("float",), "float") for op in Op if Op.FNEG <= op <= Op.FSQRT},
    **{op: Signature(_FF, "int") for op in Op if Op.FEQ <= op <= Op.FLE},
    Op.FWHERE: Signature(("int", "float", "float"), "float"),
    Op.FPOW2: Signature(("int",), "float"),
    Op.I2F: Signature(("int",), "float"),
    Op.F2I: Signature(("float",), "int"),
}


@dataclass(frozen=True, slots=True)
class ScalarOp:
    """One operation: register arguments, and for constants the immediate (i64 value, or binary32 bits)."""

    op: Op
    arguments: tuple[int, ...] = ()
    immediate: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """Operations over registers; register `j` of `p` operands is operand j, then one register an operation."""

    ops: tuple[ScalarOp, ...] = ()

    def kinds(self, operands: Sequence[Kind]) -> list[Kind]:
        """The kind of every register; ValueError where an argument has the wrong kind or comes later."""
        if len(self.ops) > MAX_OPERATIONS:
            raise ValueError(
                f"a scalar program has {len(self.ops)} operations, the limit is {MAX_OPERATIONS}"
            )
        kinds = list(operands)
        for position, operation in enumerate(self.ops):
            signature = SIGNATURES[operation.op]
            if len(operation.arguments) != len(signature.arguments):
                raise ValueError(
                    f"scalar operation {position} ({operation.op.name}) has the wrong argument count"
                )
            for register, kind in zip(operation.arguments, signature.arguments, strict=True):
                if not 0 <= register < len(kinds) or kinds[register] != kind:
                    raise ValueError(
                        f"scalar operation {position} ({operation.op.name}) needs {kind} in r{register}"
                    )
            kinds.append(signature.result)
        if not kinds:
            raise ValueError("a scalar program without operands needs an operation")
        return kinds
