"""Scalar programs written as Python expressions: `lambda x, s: (x * s).round()`.

Tracing a function over `Scalar` placeholders records each operation once; the result is a `Program`.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from oracle_node.tape.scalar import SIGNATURES, Op, Program, ScalarOp
from oracle_node.tape.types import Kind

Number = int | float


@dataclass
class _Recorder:
    kinds: list[Kind]
    operands: int
    ops: list[ScalarOp] = field(default_factory=list)
    seen: dict[ScalarOp, int] = field(default_factory=dict)

    def emit(self, op: Op, arguments: tuple[int, ...], immediate: int = 0) -> "Scalar":
        operation = ScalarOp(op, arguments, immediate)
        if operation not in self.seen:
            self.seen[operation] = len(self.kinds)
            self.kinds.append(SIGNATURES[op].result)
            self.ops.append(operation)
        return Scalar(self, self.seen[operation])

    def constant(self, value: Number, kind: Kind) -> "Scalar":
        if kind == "int":
            return self.emit(Op.ICONST, (), int(value))
        return self.emit(Op.FCONST, (), struct.unpack("<I", struct.pack("<f", value))[0])


@dataclass(frozen=True, eq=False)
class Scalar:
    """A register of the program being recorded. Python numbers become constants of the other side's kind."""

    recorder: _Recorder
    register: int

    @property
    def kind(self) -> Kind:
        return self.recorder.kinds[self.register]

    def _lift(self, other: "Scalar | Number") -> "Scalar":
        return other if isinstance(other, Scalar) else self.recorder.constant(other, self.kind)

    def _binary(self, name: str, other: "Scalar | Number", swap: bool = False) -> "Scalar":
        other = self._lift(other)
        if other.kind != self.kind:
            raise TypeError(
                f"{name} of {self.kind} and {other.kind}: convert one with to_float() or to_int()"
            )
        a, b = (other, self) if swap else (self, other)
        return self.recorder.emit(Op[self.kind[0].upper() + name], (a.register, b.register))

    def _unary(self, op: Op) -> "Scalar":
        return self.recorder.emit(op, (self.register,))

    def __add__(self, other: "Scalar | Number") -> "Scalar":
        return self._binary("ADD", other)

    def __radd__(self, other: Number) -> "Scalar":
        return self._binary("ADD", other, swap=True)

    def __sub__(self, other: "Scalar | Number") -> "Scalar":
        return self._binary("SUB", other)

    def __rsub__(self, other: Number) -> "Scalar":
        return self._binary("SUB", other, swap=True)

    def __mul__(self, other: "Scalar | Number") -> "Scalar":
        return self._binary("MUL", other)

    def __rmul__(self, other: Number) -> "Scalar":
        return self._binary("MUL", other, swap=True)

    def __truediv__(self, other: "Scalar | Number") -> "Scalar":
        """Float division; for integers, division that truncates towards zero."""
        return self._binary("DIV", other)

    def __rtruediv__(self, other: Number) -> "Scalar":
        return self._binary("DIV", other, swap=True)

    def __neg__(self) -> "Scalar":
        return self._unary(Op.FNEG) if self.kind == "float" else 0 - self

    def __rshift__(self, count: "Scalar | int") -> "Scalar":
        return self.recorder.emit(Op.ISHR, (self.register, self._lift(count).register))

    def __and__(self, other: "Scalar | int") -> "Scalar":
        return self.recorder.emit(Op.IAND, (self.register, self._lift(other).register))

    def __or__(self, other: "Scalar | int") -> "Scalar":
        return self.recorder.emit(Op.IOR, (self.register, self._lift(other).register))

    def __xor__(self, other: "Scalar | int") -> "Scalar":
        return self.recorder.emit(Op.IXOR, (self.register, self._lift(other).register))

    def __lt__(self, other: "Scalar | Number") -> "Scalar":
        return self._binary("LT", other)

    def __le__(self, other: "Scalar | Number") -> "Scalar":
        return self._binary("LE", other)

    def __gt__(self, other: "Scalar | Number") -> "Scalar":
        return self._binary("LT", other, swap=True)

    def __ge__(self, other: "Scalar | Number") -> "Scalar":
        return self._binary("LE", other, swap=True)

    def equals(self, other: "Scalar | Number") -> "Scalar":
        """1 where equal, else 0 (−0 equals +0)."""
        return self._binary("EQ", other)

    def minimum(self, other: "Scalar | Number") -> "Scalar":
        return self._binary("MIN", other)

    def maximum(self, other: "Scalar | Number") -> "Scalar":
        return self._binary("MAX", other)

    def clamp(self, lo: "Scalar | Number", hi: "Scalar | Number") -> "Scalar":
        return self.maximum(lo).minimum(hi)

    def where(self, yes: "Scalar | Number", no: "Scalar | Number") -> "Scalar":
        """`yes` where this integer is not 0, else `no`."""
        if not isinstance(yes, Scalar):
            yes = no._lift(yes) if isinstance(no, Scalar) else self.recorder.constant(yes, _kind_of(yes))
        no = yes._lift(no)
        op = Op.FWHERE if yes.kind == "float" else Op.IWHERE
        return self.recorder.emit(op, (self.register, yes.register, no.register))

    def abs(self) -> "Scalar":
        return self._unary(Op.FABS) if self.kind == "float" else self.maximum(0 - self)

    def floor(self) -> "Scalar":
        return self._unary(Op.FFLOOR)

    def round(self) -> "Scalar":
        """To the nearest integer, half to even."""
        return self._unary(Op.FROUND)

    def sqrt(self) -> "Scalar":
        return self._unary(Op.FSQRT)

    def pow2(self) -> "Scalar":
        """2 to the power of this integer (−126…127), exactly."""
        return self._unary(Op.FPOW2)

    def to_float(self) -> "Scalar":
        return self if self.kind == "float" else self._unary(Op.I2F)

    def to_int(self) -> "Scalar":
        """Truncated towards zero."""
        return self if self.kind == "int" else self._unary(Op.F2I)


def _kind_of(value: Number) -> Kind:
    return "float" if isinstance(value, float) else "int"


ScalarFunction = Callable[..., "Scalar | Number"]


def record(function: ScalarFunction, operands: Sequence[Kind]) -> Program:
    """The program that `function` computes from one scalar an operand."""
    recorder = _Recorder(list(operands), len(operands))
    result = function(*(Scalar(recorder, register) for register in range(len(operands))))
    if not isinstance(result, Scalar):
        result = recorder.constant(result, _kind_of(result))
    return _result_last(recorder, result.register)


def _result_last(recorder: _Recorder, result: int) -> Program:
    """Drop what the result does not need and make it the last register."""
    needed, todo = set(), [result]
    while todo:
        register = todo.pop()
        if register not in needed:
            needed.add(register)
            if register >= recorder.operands:
                todo += recorder.ops[register - recorder.operands].arguments
    renumbered = {register: register for register in range(recorder.operands)}
    ops: list[ScalarOp] = []
    for register in sorted(r for r in needed if r >= recorder.operands):
        operation = recorder.ops[register - recorder.operands]
        renumbered[register] = recorder.operands + len(ops)
        ops.append(
            ScalarOp(operation.op, tuple(renumbered[r] for r in operation.arguments), operation.immediate)
        )
    if result < recorder.operands and (ops or result != recorder.operands - 1):
        # the result is an operand that is not the last register: a neutral operation copies it there
        neutral = Op.IOR if recorder.kinds[result] == "int" else None
        if neutral is None:
            raise ValueError("a float program must end in an operation or in its last operand")
        ops.append(ScalarOp(neutral, (result, result)))
    return Program(tuple(ops))
