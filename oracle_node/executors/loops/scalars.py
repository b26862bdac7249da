"""Scalar operations as LLVM instructions, each rounded by itself.

No instruction carries a fast-math flag, so LLVM neither contracts a product and a sum nor reorders sums; what it does
with the loops around them cannot show in a result. Integers are 32 bits wide where the proven interval fits.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from llvmlite import ir

from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Op, Program, ScalarOp
from oracle_node.tape.types import Kind

F32, F64, I32, I64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
_I32_MAX = (1 << 31) - 1
_COMPARE = {Op.IEQ: "==", Op.ILT: "<", Op.ILE: "<=", Op.FEQ: "==", Op.FLT: "<", Op.FLE: "<="}
_INTRINSIC = {
    Op.FABS: "llvm.fabs", Op.FFLOOR: "llvm.floor", Op.FROUND: "llvm.roundeven", Op.FSQRT: "llvm.sqrt",
}  # fmt: skip


def integer_type(interval: Interval) -> ir.IntType:
    """The type of an integer register: it holds every value of the interval."""
    return I32 if interval.magnitude <= _I32_MAX else I64


class Registers:
    """Writes a program's registers, one after another, where the builder stands."""

    def __init__(
        self,
        builder: ir.IRBuilder,
        program: Program,
        operands: Sequence[ir.Value],
        kinds: Sequence[Kind],
        intervals: Sequence[Interval],
    ) -> None:
        """Operands as they lie in memory; integers may lie there as floats."""
        self.builder, self._intervals = builder, intervals
        self.kinds = program.kinds(kinds)
        self._lying = tuple(operands)
        self._values = [
            value if kind == "float" else as_integer(builder, value, self._type(register))
            for register, (value, kind) in enumerate(zip(operands, kinds, strict=True))
        ]
        for operation in program.ops:
            self._values.append(_EMIT[operation.op](self, len(self._values), operation))

    @property
    def result(self) -> ir.Value:
        """The last register."""
        return self._values[-1]

    def _type(self, register: int) -> ir.IntType:
        return integer_type(self._intervals[register])

    def _floats(self, operation: ScalarOp) -> list[ir.Value]:
        return [self._values[r] for r in operation.arguments]

    def _integer(self, register: int, kind: ir.IntType) -> ir.Value:
        return resized(self.builder, self._values[register], kind)

    def _integers(self, register: int, arguments: Sequence[int]) -> tuple[list[ir.Value], ir.IntType]:
        """The arguments in a type that holds them and the result."""
        wide = any(self._type(r) is I64 for r in (*arguments, register) if self.kinds[r] == "int")
        kind = I64 if wide else I32
        return [self._integer(r, kind) for r in arguments], kind

    def _constant(self, register: int, operation: ScalarOp) -> ir.Value:
        if operation.op is Op.FCONST:
            return ir.Constant(I32, operation.immediate).bitcast(F32)
        return ir.Constant(self._type(register), operation.immediate)

    def _arithmetic(self, register: int, operation: ScalarOp, method: str) -> ir.Value:
        """Add, subtract, multiply and the bitwise operations: exact, since the result fits."""
        (a, b), _ = self._integers(register, operation.arguments)
        return self._stored(register, getattr(self.builder, method)(a, b))

    def _stored(self, register: int, value: ir.Value) -> ir.Value:
        return resized(self.builder, value, self._type(register))

    def _divide(self, register: int, operation: ScalarOp) -> ir.Value:
        """Truncating division; 0 for ÷ 0 and for the quotient that leaves 64 bits."""
        (a, b), kind = self._integers(register, operation.arguments)
        builder, lowest = self.builder, ir.Constant(kind, -(1 << kind.width - 1))
        overflow = builder.and_(
            builder.icmp_signed("==", a, lowest), builder.icmp_signed("==", b, ir.Constant(kind, -1))
        )
        undefined = builder.or_(builder.icmp_signed("==", b, ir.Constant(kind, 0)), overflow)
        quotient = builder.sdiv(a, builder.select(undefined, ir.Constant(kind, 1), b))
        return self._stored(register, builder.select(undefined, ir.Constant(kind, 0), quotient))

    def _shift(self, register: int, operation: ScalarOp) -> ir.Value:
        """Arithmetic shift right by 0…63; further than a type is wide leaves its sign."""
        (a, b), kind = self._integers(register, operation.arguments)
        bits = self._clamp(b, 0, kind.width - 1)
        return self._stored(register, self.builder.ashr(a, bits))

    def _clamp(self, value: ir.Value, low: int, high: int) -> ir.Value:
        lowest, highest = value.type(low), value.type(high)
        value = self.builder.select(self.builder.icmp_signed("<", value, lowest), lowest, value)
        return self.builder.select(self.builder.icmp_signed(">", value, highest), highest, value)

    def _integer_limit(self, register: int, operation: ScalarOp) -> ir.Value:
        (a, b), _ = self._integers(register, operation.arguments)
        smaller = self.builder.icmp_signed("<", a, b)
        first, second = (a, b) if operation.op is Op.IMIN else (b, a)
        return self._stored(register, self.builder.select(smaller, first, second))

    def _integer_compare(self, register: int, operation: ScalarOp) -> ir.Value:
        (a, b), _ = self._integers(register, operation.arguments)
        truth = self.builder.icmp_signed(_COMPARE[operation.op], a, b)
        return self.builder.zext(truth, self._type(register))

    def _truth(self, register: int) -> ir.Value:
        value = self._values[register]
        return self.builder.icmp_signed("!=", value, ir.Constant(value.type, 0))

    def _where_integer(self, register: int, operation: ScalarOp) -> ir.Value:
        condition, *choices = operation.arguments
        a, b = (self._integer(r, I64) for r in choices)
        return self._stored(register, self.builder.select(self._truth(condition), a, b))

    def _where_float(self, register: int, operation: ScalarOp) -> ir.Value:
        condition, a, b = operation.arguments
        return positive_zero(
            self.builder, self.builder.select(self._truth(condition), self._values[a], self._values[b])
        )

    def _float_arithmetic(self, register: int, operation: ScalarOp, method: str) -> ir.Value:
        return getattr(self.builder, method)(*self._floats(operation))

    def _float_limit(self, register: int, operation: ScalarOp) -> ir.Value:
        a, b = self._floats(operation)
        smaller = self.builder.fcmp_ordered("<", a, b)
        first, second = (a, b) if operation.op is Op.FMIN else (b, a)
        return positive_zero(self.builder, self.builder.select(smaller, first, second))

    def _float_unary(self, register: int, operation: ScalarOp) -> ir.Value:
        (a,) = self._floats(operation)
        if operation.op is Op.FNEG:
            return self.builder.fneg(a)
        return self.builder.call(_intrinsic(self.builder, _INTRINSIC[operation.op], F32, F32), [a])

    def _float_compare(self, register: int, operation: ScalarOp) -> ir.Value:
        truth = self.builder.fcmp_ordered(_COMPARE[operation.op], *self._floats(operation))
        return self.builder.zext(truth, self._type(register))

    def _power(self, register: int, operation: ScalarOp) -> ir.Value:
        """2^n for n limited to the exponents of normal numbers."""
        (argument,) = operation.arguments
        exponent = self._clamp(self._values[argument], -126, 127)
        exponent = resized(self.builder, exponent, I32)
        biased = self.builder.add(exponent, ir.Constant(I32, 127))
        return self.builder.bitcast(self.builder.shl(biased, ir.Constant(I32, 23)), F32)

    def _to_float(self, register: int, operation: ScalarOp) -> ir.Value:
        """Rounded once; floats that lie in memory are spared the way through integers, but for the sign of a zero."""
        (argument,) = operation.arguments
        lying = self._lying[argument] if argument < len(self._lying) else None
        if lying is None or lying.type not in (F32, F64):
            return self.builder.sitofp(self._values[argument], F32)
        return positive_zero(self.builder, self.builder.fptrunc(lying, F32) if lying.type == F64 else lying)

    def _to_integer(self, register: int, operation: ScalarOp) -> ir.Value:
        """Towards zero; saturating at 64 bits where the argument may be larger."""
        (argument,) = operation.arguments
        value, largest = self._values[argument], self._intervals[argument].magnitude
        kind = self._type(register)
        if largest < 1 << (kind.width - 1):
            return self.builder.fptosi(value, kind)
        saturating = _intrinsic(self.builder, "llvm.fptosi.sat", I64, F32)
        return self._stored(register, self.builder.call(saturating, [value]))


def positive_zero(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """+0 for either zero, any other f32 as it is."""
    return builder.fadd(value, ir.Constant(F32, 0.0))


def as_integer(builder: ir.IRBuilder, value: ir.Value, kind: ir.IntType) -> ir.Value:
    """An integer that lies in memory, signed, in a type that holds it."""
    return builder.fptosi(value, kind) if value.type in (F32, F64) else resized(builder, value, kind)


def resized(builder: ir.IRBuilder, value: ir.Value, kind: ir.IntType) -> ir.Value:
    """A signed integer in another width, which holds it."""
    if value.type.width == kind.width:
        return value
    return builder.sext(value, kind) if value.type.width < kind.width else builder.trunc(value, kind)


def _intrinsic(builder: ir.IRBuilder, name: str, result: ir.Type, argument: ir.Type) -> ir.Function:
    types = [result] if result == argument else [result, argument]
    function: ir.Function = builder.module.declare_intrinsic(name, types, ir.FunctionType(result, [argument]))
    return function


_EMIT: dict[Op, Callable[[Registers, int, ScalarOp], Any]] = {
    Op.ICONST: Registers._constant,
    Op.FCONST: Registers._constant,
    Op.IADD: partial(Registers._arithmetic, method="add"),
    Op.ISUB: partial(Registers._arithmetic, method="sub"),
    Op.IMUL: partial(Registers._arithmetic, method="mul"),
    Op.IAND: partial(Registers._arithmetic, method="and_"),
    Op.IOR: partial(Registers._arithmetic, method="or_"),
    Op.IXOR: partial(Registers._arithmetic, method="xor"),
    Op.IDIV: Registers._divide,
    Op.ISHR: Registers._shift,
    **dict.fromkeys((Op.IMIN, Op.IMAX), Registers._integer_limit),
    **dict.fromkeys((Op.IEQ, Op.ILT, Op.ILE), Registers._integer_compare),
    Op.IWHERE: Registers._where_integer,
    Op.FADD: partial(Registers._float_arithmetic, method="fadd"),
    Op.FSUB: partial(Registers._float_arithmetic, method="fsub"),
    Op.FMUL: partial(Registers._float_arithmetic, method="fmul"),
    Op.FDIV: partial(Registers._float_arithmetic, method="fdiv"),
    **dict.fromkeys((Op.FMIN, Op.FMAX), Registers._float_limit),
    **dict.fromkeys((Op.FNEG, *_INTRINSIC), Registers._float_unary),
    **dict.fromkeys((Op.FEQ, Op.FLT, Op.FLE), Registers._float_compare),
    Op.FWHERE: Registers._where_float,
    Op.FPOW2: Registers._power,
    Op.I2F: Registers._to_float,
    Op.F2I: Registers._to_integer,
}
