"""Scalar programs as ONNX kernels, one a scalar operation, each rounded by itself.

Integer registers move between carriers (`tensors`) as their intervals allow. Registers are emitted when first asked
for, so dead ones cost nothing, and a clamp is seen as one.
"""

from collections.abc import Callable, Sequence

import numpy as np

from oracle_node.executors.onnx.extremes import at_least, at_most, clamp, maximum, minimum
from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.registers import (
    fixed_value,
    float_constant,
    integral,
    minus_zero,
    sign_matters,
)
from oracle_node.executors.onnx.tensors import EXACT, carriers
from oracle_node.executors.onnx.wide import rounded_to_f32, shifted_right
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Op, Program, ScalarOp
from oracle_node.tape.types import DType

Load = Callable[[Elem], Value]
_COST = {Elem.F32: 2, Elem.I32: 2, Elem.F64: 6, Elem.I64: 8}
_CAST_COST = 3
_ORDERED = (Elem.F32, Elem.I32, Elem.F64)
"""Carriers whose minima and maxima are kernels, see `extremes`."""
_BINARY = {
    Op.IADD: "Add", Op.ISUB: "Sub", Op.IMUL: "Mul",
    Op.FADD: "Add", Op.FSUB: "Sub", Op.FMUL: "Mul", Op.FDIV: "Div",
}  # fmt: skip
_UNARY = {Op.FNEG: "Neg", Op.FABS: "Abs", Op.FFLOOR: "Floor", Op.FROUND: "Round", Op.FSQRT: "Sqrt"}
_COMPARE = {
    Op.IEQ: "Equal", Op.ILT: "Less", Op.ILE: "LessOrEqual", Op.FEQ: "Equal", Op.FLT: "Less", Op.FLE: "LessOrEqual",
}  # fmt: skip
_BITS = {Op.IAND: "BitwiseAnd", Op.IOR: "BitwiseOr", Op.IXOR: "BitwiseXor"}
_CLAMP = {Op.IMIN: Op.IMAX, Op.IMAX: Op.IMIN, Op.FMIN: Op.FMAX, Op.FMAX: Op.FMIN}


class Operand:
    """A program's operand: how to load it as an element type, which ones it has, and whether it may be −0."""

    def __init__(self, dtype: DType, load: Load, ready: Sequence[Elem], signed_zero: bool) -> None:
        self.dtype, self.load, self.ready, self.signed_zero = dtype, load, tuple(ready), signed_zero


class Registers:
    """The registers of one program at work."""

    def __init__(
        self,
        graph: Graph,
        program: Program,
        operands: Sequence[Operand],
        intervals: Sequence[Interval],
        result_sign_matters: bool,
    ) -> None:
        self.graph, self.program, self.operands, self.intervals = graph, program, operands, intervals
        self.kinds = program.kinds([operand.dtype.kind for operand in operands])
        self._sign_matters = sign_matters(program, len(operands), result_sign_matters)
        self._integral = integral(program, len(operands))
        self._forms: list[dict[Elem, Value]] = [{} for _ in self.kinds]
        self._signed_zero = [operand.signed_zero for operand in operands] + [False] * len(program.ops)
        self._minus_zero = minus_zero(
            program,
            [operand.signed_zero and operand.dtype is DType.F32 for operand in operands],
            intervals,
            self._sign_matters,
        )
        self._uses = [0] * len(self.kinds)
        for operation in program.ops:
            for register in operation.arguments:
                self._uses[register] += 1

    @property
    def result(self) -> int:
        return len(self.kinds) - 1

    def value(self, register: int, elem: Elem) -> Value:
        """The register as that element type; exact, since callers ask only for types that hold its interval."""
        fixed = fixed_value(self.intervals[register], self.kinds[register])
        if fixed is not None:
            return self.graph.scalar(
                bool(fixed)
                if elem is Elem.BOOL
                else fixed.item()
                if isinstance(fixed, np.float32)
                else fixed,
                elem,
            )
        forms = self._forms[register]
        if elem not in forms:
            if register < len(self.operands):
                forms[elem] = self.operands[register].load(elem)
            else:
                self._emit(register)
                if elem not in forms:
                    forms[elem] = self.graph.cast(next(iter(forms.values())), elem)
        return forms[elem]

    def best(self, register: int) -> Value:
        """The register in whichever exact form it has, or gets cheapest."""
        if self.kinds[register] == "float":
            return self.value(register, Elem.F32)
        if register >= len(self.operands) and fixed_value(self.intervals[register], "int") is None:
            self._emit(register)
        return self.value(register, self._cheapest([register], carriers(self.intervals[register].magnitude)))

    def signed_zero(self, register: int) -> bool:
        """Whether a float register, or float forms of an integer one, may hold −0."""
        return (self._minus_zero if self.kinds[register] == "float" else self._signed_zero)[register]

    def _operation(self, register: int) -> ScalarOp | None:
        position = register - len(self.operands)
        return self.program.ops[position] if position >= 0 else None

    def _ready(self, register: int) -> tuple[Elem, ...]:
        """Element types that the register has, or can be loaded in, without a cast."""
        if register < len(self.operands):
            return (*self.operands[register].ready, *self._forms[register])
        return tuple(self._forms[register])

    def ordered(self, register: int) -> Value:
        """The register in a form that minima and maxima take: i64 only where nothing else holds it."""
        value = self.best(register)
        if value.elem is Elem.I64 and self.intervals[register].magnitude <= EXACT[Elem.F64]:
            return self.value(register, Elem.F64)
        return value

    def _cheapest(self, registers: Sequence[int], allowed: Sequence[Elem]) -> Elem:
        """The carrier in which an operation on these registers costs least, casts included."""
        varying = {r for r in registers if fixed_value(self.intervals[r], self.kinds[r]) is None}
        for r in varying:
            if r >= len(self.operands):
                self._emit(r)
        return min(
            allowed,
            key=lambda elem: _COST[elem] + _CAST_COST * sum(elem not in self._ready(r) for r in varying),
        )

    def _carrier(
        self, register: int, arguments: Sequence[int], extra: int = 0, among: Sequence[Elem] = tuple(EXACT)
    ) -> Elem:
        """A carrier for an integer operation: it holds the arguments, the result, and `extra`; `among` if one can."""
        magnitude = max(extra, *(int(self.intervals[r].magnitude) for r in (*arguments, register)))
        allowed = carriers(magnitude)
        return self._cheapest(arguments, [elem for elem in allowed if elem in among] or allowed)

    def _emit(self, register: int) -> None:
        """Compute an operation's register in its first form."""
        if self._forms[register]:
            return
        operation = self._operation(register)
        assert operation is not None
        value = _EMIT[operation.op](self, register, operation)
        self._forms[register].setdefault(value.elem, value)

    def _zero(self, register: int, value: Value, sources: Sequence[int] | None = None) -> Value:
        """+0 for a zero whose sign an ONNX kernel left open, where anyone can tell.

        `sources` are the float registers of which it is one; None where −0 may come from the kernel itself.
        """
        interval = self.intervals[register]
        may_be_minus = sources is None or any(self._minus_zero[r] for r in sources)
        if self._sign_matters[register] and interval.lo <= 0 <= interval.hi and may_be_minus:
            return self.graph.op("Add", [value, self.graph.scalar(0.0, Elem.F32)])
        return value

    # Operations. Each returns the register in one form.

    def _constant(self, register: int, operation: ScalarOp) -> Value:
        if operation.op is Op.FCONST:
            return self.graph.scalar(float(float_constant(operation.immediate)), Elem.F32)
        return self.graph.scalar(operation.immediate, carriers(abs(operation.immediate))[0])

    def _arithmetic(self, register: int, operation: ScalarOp) -> Value:
        """Integer add, subtract, multiply."""
        elem = self._carrier(register, operation.arguments)
        if operation.op is Op.IMUL:
            self._signed_zero[register] = any(
                self.intervals[r].lo < 0 or self._signed_zero[r] for r in operation.arguments
            )
        else:
            self._signed_zero[register] = any(self._signed_zero[r] for r in operation.arguments)
        return self.graph.op(_BINARY[operation.op], [self.value(r, elem) for r in operation.arguments])

    def _limit(self, register: int, operation: ScalarOp) -> Value:
        """Minimum and maximum, of either kind; with constants nested in each other, one clamp."""
        is_int = self.kinds[register] == "int"
        bounded = self._clamp(register, operation)
        if bounded is not None:
            inner, low, high = bounded
            limit = max(abs(int(low)), abs(int(high))) if is_int else 0
            elem = self._carrier(register, [inner], limit, _ORDERED) if is_int else Elem.F32
            self._signed_zero[register] = is_int and self._signed_zero[inner]
            value = clamp(self.graph, self.value(inner, elem), low, high)
        elif not is_int and (bound := self._constant_and_other(register, operation)) is not None:
            one_sided = at_most if operation.op is Op.FMIN else at_least
            value = one_sided(self.graph, self.value(bound[1], Elem.F32), bound[0])
        else:
            elem = self._carrier(register, operation.arguments, among=_ORDERED) if is_int else Elem.F32
            self._signed_zero[register] = is_int and any(self._signed_zero[r] for r in operation.arguments)
            extreme = minimum if operation.op in (Op.IMIN, Op.FMIN) else maximum
            value = extreme(self.graph, [self.value(r, elem) for r in operation.arguments])
        return value if is_int else self._zero(register, value, operation.arguments)

    def _clamp(self, register: int, operation: ScalarOp) -> tuple[int, int | float, int | float] | None:
        """(register, low, high) where this is min(max(register, low), high) or max(min(register, high), low)."""
        outer = self._constant_and_other(register, operation)
        if outer is None:
            return None
        bound, other = outer
        inner = self._operation(other)
        if (
            inner is None
            or self._uses[other] != 1
            or inner.op is not _CLAMP[operation.op]
            or self._forms[other]
        ):
            return None
        nested = self._constant_and_other(other, inner)
        if nested is None:
            return None
        low, high = (nested[0], bound) if operation.op in (Op.IMIN, Op.FMIN) else (bound, nested[0])
        return (nested[1], low, high) if low <= high else None

    def _constant_and_other(self, register: int, operation: ScalarOp) -> tuple[int | float, int] | None:
        for constant, other in (operation.arguments, operation.arguments[::-1]):
            source = self._operation(constant)
            if source is not None and source.op is Op.ICONST:
                return source.immediate, other
            if source is not None and source.op is Op.FCONST:
                return float(float_constant(source.immediate)), other
        return None

    def _divide(self, register: int, operation: ScalarOp) -> Value:
        """Truncating division. In f32 the quotient of integers up to 2^24 never rounds up to a whole number."""
        a, b = operation.arguments
        elem = self._carrier(register, operation.arguments)
        if elem is Elem.F32:
            quotient = self.graph.op("Div", [self.value(a, elem), self.value(b, elem)])
            if self.intervals[a].lo >= 0 and self.intervals[b].lo > 0:
                self._signed_zero[register] = self._signed_zero[a]
                return self.graph.op("Floor", [quotient])
            return self.graph.cast(quotient, Elem.I32)
        elem = elem if elem is Elem.I32 else Elem.I64
        return self.graph.op("Div", [self.value(a, elem), self.value(b, elem)])

    def _bitwise(self, register: int, operation: ScalarOp) -> Value:
        elem = self._carrier(register, operation.arguments, among=(Elem.I32, Elem.I64))
        return self.graph.op(_BITS[operation.op], [self.value(r, elem) for r in operation.arguments])

    def _shift(self, register: int, operation: ScalarOp) -> Value:
        """Floor of a·2^−b, exact in a float that holds a; else the low bits cleared and an exact division."""
        a, b = operation.arguments
        magnitude = self.intervals[a].magnitude
        elem = next(e for e in (Elem.F32, Elem.F64, Elem.I64) if magnitude <= EXACT[e])
        if elem is not Elem.I64:
            scaled = self.graph.op("Mul", [self.value(a, elem), self._power(b, elem, 0, 63, -1)])
            self._signed_zero[register] = True
            return self.graph.op("Floor", [scaled])
        most, value = int(self.intervals[b].hi), self.value(a, elem)
        if most < 63:
            return shifted_right(self.graph, value, self._power(b, elem, 0, 62, 1))
        bits = self.value(b, Elem.I32)
        below = minimum(self.graph, [bits, self.graph.scalar(62, Elem.I32)])
        power = self._table(below, [1 << n for n in range(63)], elem)
        rest = self.graph.op("Sub", [bits, below])
        one_more = self.graph.op("Add", [rest, self.graph.scalar(1, Elem.I32)])  # 2^rest, rest being 0 or 1
        one_more = self.graph.cast(one_more, elem)
        return shifted_right(self.graph, shifted_right(self.graph, value, power), one_more)

    def _power(self, register: int, elem: Elem, low: int, high: int, sign: int) -> Value:
        """2^(sign·register) for a register in low…high."""
        fixed = fixed_value(self.intervals[register], "int")
        if fixed is not None:
            return self.graph.scalar(2 ** (sign * int(fixed)), elem)
        powers = [2 ** (sign * n) if sign * n >= 0 else 2.0 ** (sign * n) for n in range(low, high + 1)]
        return self._table(self.value(register, Elem.I32), powers, elem, low)

    def _table(self, index: Value, table: Sequence[int | float], elem: Elem, first: int = 0) -> Value:
        """`table[index − first]`. Negative indices count from the end, so nothing need be subtracted from the index."""
        size = max(first + len(table), 0) + max(-first, 0)
        data = np.ones(size, elem.numpy)
        data[np.arange(first, first + len(table)) % size] = table
        flat = self.graph.reshape(index, [index.count])
        value = self.graph.op("GatherElements", [self.graph.constant(data), flat], elem, flat.shape, axis=0)
        return self.graph.reshape(value, index.shape)

    def _compare(self, register: int, operation: ScalarOp) -> Value:
        is_float = operation.op in (Op.FEQ, Op.FLT, Op.FLE)
        elem = Elem.F32 if is_float else self._carrier(register, operation.arguments)
        return self.graph.op(
            _COMPARE[operation.op], [self.value(r, elem) for r in operation.arguments], Elem.BOOL
        )

    def _flag(self, register: int, elem: Elem) -> Value:
        """0 or 1 in a carrier: whether the register is not 0."""
        interval = self.intervals[register]
        if interval.lo >= 0 and interval.hi <= 1:
            return self.value(register, elem)
        return self.graph.cast(self._truth(register), elem)

    def _truth(self, register: int) -> Value:
        """Whether an integer register is not 0."""
        if Elem.BOOL not in self._forms[register]:
            equal = self.graph.op(
                "Equal", [self.best(register), self.graph.scalar(0, self.best(register).elem)], Elem.BOOL
            )
            return self.graph.op("Not", [equal])
        return self._forms[register][Elem.BOOL]

    def _where_int(self, register: int, operation: ScalarOp) -> Value:
        """b + flag·(a − b): kernels far faster than Where; i32 and i64 may wrap on the way."""
        c, a, b = operation.arguments
        chosen = self._settled(c, a, b)
        if chosen is not None:
            self._signed_zero[register] = self._signed_zero[chosen]
            return self.best(chosen)
        span = int(
            max(self.intervals[a].hi - self.intervals[b].lo, self.intervals[b].hi - self.intervals[a].lo)
        )
        elem = self._carrier(register, [a, b])
        if elem in (Elem.F32, Elem.F64) and span > EXACT[elem]:
            elem = self._carrier(register, [a, b], among=(Elem.I32, Elem.I64))
        value = self._flag(c, elem)
        first, second = (fixed_value(self.intervals[r], "int") for r in (a, b))
        if first is None or second is None or first - second != 1:
            value = self.graph.op(
                "Mul", [value, self.graph.op("Sub", [self.value(a, elem), self.value(b, elem)])]
            )
        if second != 0:
            value = self.graph.op("Add", [self.value(b, elem), value])
        self._signed_zero[register] = True
        return value

    def _where_float(self, register: int, operation: ScalarOp) -> Value:
        """a·flag + b·(1 − flag): exact for finite values."""
        c, a, b = operation.arguments
        chosen = self._settled(c, a, b)
        if chosen is not None:
            return self._zero(register, self.value(chosen, Elem.F32), [chosen])
        flag = self._flag(c, Elem.F32)
        other = self.graph.op("Sub", [self.graph.scalar(1.0, Elem.F32), flag])
        first = self.graph.op("Mul", [self.value(a, Elem.F32), flag])
        second = self.graph.op("Mul", [self.value(b, Elem.F32), other])
        return self._zero(register, self.graph.op("Add", [first, second]), [a, b])

    def _settled(self, c: int, a: int, b: int) -> int | None:
        """The register that is always selected, if the condition's interval decides."""
        interval = self.intervals[c]
        if interval.lo > 0 or interval.hi < 0:
            return a
        return b if interval.lo == interval.hi == 0 else None

    def _float_binary(self, register: int, operation: ScalarOp) -> Value:
        return self.graph.op(_BINARY[operation.op], [self.value(r, Elem.F32) for r in operation.arguments])

    def _float_unary(self, register: int, operation: ScalarOp) -> Value:
        return self.graph.op(_UNARY[operation.op], [self.value(operation.arguments[0], Elem.F32)])

    def _pow2(self, register: int, operation: ScalarOp) -> Value:
        interval = self.intervals[operation.arguments[0]]
        return self._power(operation.arguments[0], Elem.F32, int(interval.lo), int(interval.hi), 1)

    def _to_float(self, register: int, operation: ScalarOp) -> Value:
        (a,) = operation.arguments
        magnitude = self.intervals[a].magnitude
        source = self.best(a)
        if Elem.F32 in self._forms[a]:
            source = self._forms[a][Elem.F32]
        if source.elem is Elem.I64 and magnitude > EXACT[Elem.F64]:
            return rounded_to_f32(self.graph, source)
        value = self.graph.cast(source, Elem.F32)
        if source.elem in (Elem.F32, Elem.F64) and self._signed_zero[a]:
            return self._zero(register, value)
        return value

    def _to_int(self, register: int, operation: ScalarOp) -> Value:
        (a,) = operation.arguments
        value, interval = self.value(a, Elem.F32), self.intervals[register]
        if self._integral[a]:
            self._signed_zero[register] = True
            return value
        if self.intervals[a].lo >= 0:
            self._signed_zero[register] = True
            return self.graph.op("Floor", [value])
        return self.graph.cast(value, Elem.I32 if interval.magnitude <= EXACT[Elem.I32] else Elem.I64)


_EMIT: dict[Op, Callable[[Registers, int, ScalarOp], Value]] = {
    Op.ICONST: Registers._constant,
    Op.FCONST: Registers._constant,
    **dict.fromkeys((Op.IADD, Op.ISUB, Op.IMUL), Registers._arithmetic),
    **dict.fromkeys((Op.IMIN, Op.IMAX, Op.FMIN, Op.FMAX), Registers._limit),
    Op.IDIV: Registers._divide,
    **dict.fromkeys(_BITS, Registers._bitwise),
    Op.ISHR: Registers._shift,
    **dict.fromkeys(_COMPARE, Registers._compare),
    Op.IWHERE: Registers._where_int,
    Op.FWHERE: Registers._where_float,
    **dict.fromkeys((Op.FADD, Op.FSUB, Op.FMUL, Op.FDIV), Registers._float_binary),
    **dict.fromkeys(_UNARY, Registers._float_unary),
    Op.FPOW2: Registers._pow2,
    Op.I2F: Registers._to_float,
    Op.F2I: Registers._to_int,
}
