"""Writing a network's tensors to a tape: what is fused, what is materialised, and in which layout.

Elementwise work stays an expression until a product, a reduction or a gather needs it in memory, a second node reads
it, or it outgrows one instruction. Not here: `reductions` and `products`, and the operators themselves (`operators`).
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import prod

import numpy as np

from oracle_node.errors import AdmissionError, ModelError
from oracle_node.importers.onnx.expression import (
    Apply,
    Expression,
    Immediate,
    Leaf,
    broadcast,
    leaves,
    map_leaves,
    memory_order,
    place,
    reshaped_view,
    scalar_function,
    select,
)
from oracle_node.importers.onnx.extents import Extent, Extents, broadcast_extents, storable, text
from oracle_node.importers.onnx.scaling import write_scaling
from oracle_node.importers.onnx.tensor import Scaling, Tensor
from oracle_node.tape import interval as iv
from oracle_node.tape.affine import Affine
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.expression import Number, Scalar, ScalarFunction, record
from oracle_node.tape.interval import Interval, RangeError
from oracle_node.tape.region import Region
from oracle_node.tape.scalar import MAX_OPERATIONS
from oracle_node.tape.types import Array, DType
from oracle_node.tape.view import View

MAX_ELEMENTS = 1 << 24
"""Elements that a constant may have which operators make of others; those of the file may be larger."""
MAX_RANK = 64
LIMIT = 2.0**60
"""No float tensor's values are let beyond this: a clamp that no real activation reaches keeps every interval finite."""
FUSED_OPERANDS = 6
"""Each operand of a MAP or CONCAT opens a chunk with its path: more would outgrow the bound on one step's proof."""
_OPERAND_GAS, _OPERATION_GAS = 50_000, 1_400
"""About what proving an element of a MAP takes for each operand and operation; the latter are also sent twice."""
_DEAR_GAS = 280_000
"""What would take more reads what was written down before."""
_ALL_ROOM = 8
"""All constants that operators make may have together so many times as many elements as one."""
F32 = np.dtype(np.float32)
I64 = np.dtype(np.int64)


class Lowering:
    """One tape in the making; the operators call it."""

    def __init__(self, builder: TapeBuilder, weights: int, stored: int = 0) -> None:
        """`stored`: elements of the file's own constants, which others made of them may have too."""
        self.b = builder
        self.region = Region(builder.sources)
        self.weight_bits = weights
        self._room, self._made = max(MAX_ELEMENTS, stored), 0
        self._plain: dict[int, tuple[Tensor, Tensor]] = {}

    def bounds(self, value: Extent) -> tuple[int, int]:
        """The least and the most that a length may be."""
        return self.region.bounds(value)

    def require_room(self, *shape: int) -> None:
        """ModelError for a constant of that shape if it is too large to be made; ask before taking memory for it."""
        if prod(shape) > self._room:
            raise ModelError(f"it makes a constant of {prod(shape)} elements, more than {self._room}")

    def account(self, results: Iterable[Tensor]) -> None:
        """What an operator has made: ModelError where a constant, or all so far, are too large."""
        for result in results:
            if result.data is not None:
                self.require_room(*result.data.shape)
                self._made += result.data.size
        if self._made > _ALL_ROOM * self._room:
            raise ModelError(
                f"the constants made so far have {self._made} elements, far more than the file's"
            )

    def apply(
        self, function: ScalarFunction, *arguments: Tensor | Number, dtype: "np.dtype[np.generic]" = F32
    ) -> Tensor:
        """`function` of scalars over the broadcast arguments; what outgrows a MAP has arguments materialised."""
        tensors = [
            a if isinstance(a, Tensor) else Tensor.constant(np.asarray(a, _number_type(a))) for a in arguments
        ]
        tensors = [self.frozen(t) for t in tensors]
        if all(isinstance(t.expression, Immediate) for t in tensors):
            known = self._computed(function, tensors, dtype)
            if known is not None:
                return known
            tensors[0] = self.materialise(tensors[0])
        while True:
            result = self._combine(function, self._aligned(tensors), dtype)
            whole = _crowded(result, tensors)
            if whole is None and _fits(result.expression):
                _require_no_wrap(result)
                return result
            whole = whole or max(tensors, key=lambda t: _operations(t.expression))
            if _operations(whole.expression) == 0:
                raise ModelError(
                    f"one step of it has more than {MAX_OPERATIONS} operations or {FUSED_OPERANDS} operands"
                )
            written = self.materialise(whole)
            tensors = [written if t is whole else t for t in tensors]

    def _computed(
        self, function: ScalarFunction, tensors: list[Tensor], dtype: "np.dtype[np.generic]"
    ) -> Tensor | None:
        """The function of numbers; None where their intervals do not tell the result to the last bit."""
        first, *others = [t.expression for t in tensors if isinstance(t.expression, Immediate)]
        program = record(lambda s: function(s, *(o.value for o in others)), [first.kind])
        try:
            result = iv.run_program(program, [first.interval])[-1]
        except RangeError as error:
            raise AdmissionError(str(error)) from None
        if result.lo != result.hi or (result.kind == "float" and result.magnitude > LIMIT):
            return None
        return Tensor.of(Immediate(result.lo), broadcast_extents([t.extents for t in tensors]), dtype)

    def scaled(self, x: Tensor, scale: "Array | float", shift: "Array | float" = 0.0) -> Tensor:
        """x·scale + shift with constants (broadcast over x), merged with what is pending; x is f32."""
        a, c = np.asarray(scale, np.float64), np.asarray(shift, np.float64)
        if not (np.isfinite(a).all() and np.isfinite(c).all()):
            raise ModelError("a constant factor or summand is not finite")
        if x.is_reshaped and max(a.size, c.size) > 1:
            x = self.settled(x)
        if x.is_constant:
            x = self.frozen(x)
        a, c = (
            v.reshape(()) if v.size == 1 else v.reshape((1,) * (x.rank - v.ndim) + v.shape) for v in (a, c)
        )
        if broadcast_extents([x.extents, a.shape, c.shape]) != x.extents:
            raise ModelError(f"constants of {a.shape} and {c.shape} do not fit a tensor of {text(x.extents)}")
        if x.scaling is not None:
            shapes = x.scaling.scale.shape, x.scaling.shift.shape, a.shape, c.shape
            if prod(np.broadcast_shapes(*shapes)) > self._room:
                x = self.frozen(x)
        pending = x.scaling or Scaling(np.ones(()), np.zeros(()))
        return Tensor(x.extents, x.dtype, None, x.expression, x.axes, pending.then(a, c))

    def rescaled(self, x: Tensor, scale: Array, factor: Tensor) -> Tensor:
        """x·(factor·scale), pending: `factor` is known only at run time, x has nothing pending."""
        pending = Scaling(scale, np.zeros(()), self._aligned_to(self.frozen(factor), x.axes))
        return Tensor(x.extents, F32, None, x.expression, x.axes, pending)

    def settled(self, x: Tensor) -> Tensor:
        """x without anything pending that stands in the way of moving it: constants pass through."""
        if x.is_constant:
            return x
        x = self.frozen(x)
        return self.materialise(x) if x.is_reshaped else x

    def materialise(self, x: Tensor, order: Sequence[int] | None = None) -> Tensor:
        """x as one tensor of the tape, its axes in `order` in memory (outermost first; None: as its operands lie)."""
        x = self.frozen(x)
        if isinstance(x.expression, Immediate):
            return self.filled(np.asarray(x.expression.value, x.dtype), x.extents)
        if x.is_reshaped:
            view = reshaped_view(self._write(x.expression, x.axes, range(len(x.axes))), x.extents)
            if view is None:
                raise ModelError("two axes of free length cannot be reshaped together")
        else:
            views = leaves(x.expression)
            view = self._write(x.expression, x.extents, order if order is not None else memory_order(views))
        return Tensor.of_view(view, self.b.interval(view), x.dtype)

    def contiguous(self, x: Tensor) -> View:
        """x as a row-major tensor of its own shape; of two free axes the first comes before all others in memory."""
        x = self.settled(x)
        return self.only_view(self.materialise(x, range(x.rank)))

    def compact(self, x: Tensor, operations: int) -> Tensor:
        """x, materialised if recomputing it takes more than that many scalar operations."""
        if x.is_constant:
            return x
        if x.scaling is None and isinstance(x.expression, Leaf):
            return x
        x = self.frozen(x)
        return self.materialise(x) if _operations(x.expression) > operations else x

    def only_view(self, x: Tensor) -> View:
        """The view of a materialised tensor."""
        assert isinstance(x.expression, Leaf)
        return x.expression.view

    def leaf(self, x: Tensor) -> Tensor:
        """x in the tape's memory, read through whatever view it has."""
        if x.data is not None:
            return self.constant(x.data) if x.data.size > 1 or x.is_free else self.filled(x.data, x.extents)
        x = self.settled(x)
        return x if isinstance(x.expression, Leaf) else self.materialise(x)

    def movable(self, x: Tensor) -> Tensor:
        """x as an expression that can be moved into a shape that depends on the request."""
        return self.settled(self.frozen(x))

    def uniform(self, value: Array, extents: Extents) -> Tensor:
        """One number everywhere, known at import; nothing is written to the tape."""
        number = self.frozen(Tensor.constant(value.reshape(())))
        return Tensor.of(number.expression, extents, number.dtype)

    def only_value(self, x: Tensor) -> Number | None:
        """The number that x holds everywhere, where that is known at import."""
        if x.data is not None and x.data.size and x.data.dtype != object:
            first = x.data.flat[0]
            return (float(first) if x.is_float else int(first)) if (x.data == first).all() else None
        if x.scaling is None and isinstance(x.expression, Immediate) and x.data is None:
            return x.expression.value
        return None

    def filled(self, value: Array, shape: Extents) -> Tensor:
        """One number everywhere."""
        view = self.b.const(_narrow(np.asarray(value).reshape(()))).broadcast_to(shape)
        return Tensor.of_view(view, self.b.interval(view), value.dtype)

    def one_type(self, views: list[View]) -> list[View]:
        """The views in one type of the tape, the narrowest that holds all; integers only differ in width."""
        if len({view.dtype for view in views}) == 1:
            return views
        ends = [end for view in views for end in (self.b.interval(view).lo, self.b.interval(view).hi)]
        dtype = DType.of(_narrow(np.asarray(ends, np.int64)))
        return [view if view.dtype is dtype else self.b.map(lambda v: v, view, dtype=dtype) for view in views]

    def interval(self, x: Tensor) -> Interval:
        return self.frozen(x).expression.interval

    def frozen(self, x: Tensor) -> Tensor:
        """x as an expression with nothing to scale: pending scalings are written into it, constants become leaves."""
        if x.data is None and x.scaling is None:
            return x
        # one object a tensor: x·x is then seen as a square
        if id(x) not in self._plain:
            self._plain[id(x)] = (x, self.constant(x.data) if x.data is not None else write_scaling(self, x))
        return self._plain[id(x)][1]

    def constant(self, data: Array) -> Tensor:
        """Constant data as a leaf, or as an immediate where it is a single number."""
        if data.dtype == object:
            return self.measured(data)
        if data.dtype == np.float32 and not np.isfinite(data).all():
            data = _saturated(data)
        if data.dtype not in (np.bool_, *(dtype.numpy for dtype in DType)):
            raise ModelError(
                f"constant data is {data.dtype}: only float32 and integers up to 64 bits can be imported"
            )
        if data.size == 1:
            value = data.reshape(-1)[0]
            number: Number = float(value) if data.dtype == np.float32 else int(value)
            return Tensor.of(Immediate(number), data.shape, data.dtype)
        view = self.b.const(np.ascontiguousarray(_narrow(data)))
        return Tensor.of_view(view, self.b.interval(view), data.dtype)

    def measured(self, values: Array) -> Tensor:
        """Whole numbers that depend on the request's length, as a tensor of the tape: read off a constant 0, 1, 2, …"""
        views = []
        for value in values.reshape(-1):
            value = Affine.of(value)
            least, most = self.bounds(value)
            if least < 0 or most > MAX_ELEMENTS:
                raise ModelError(f"a length of {least} to {most} is not supported")
            views.append(self.b.const(np.arange(most + 1, dtype=np.int32)).slice(0, value, 1))
        view = self.b.concat(views, 0).reshape(*values.shape)
        return Tensor.of_view(view, self.b.interval(view), I64)

    def _aligned(self, tensors: list[Tensor]) -> list[Tensor]:
        """The same tensors over one common list of axes; a pending reshape is kept where all can follow it."""
        shape = broadcast_extents([t.extents for t in tensors])
        pending = next((t for t in tensors if t.is_reshaped), None)
        if pending is not None and pending.extents == shape:
            with suppress(ValueError):
                return [
                    Tensor(shape, t.dtype, None, self._aligned_to(t, pending.axes, shape), pending.axes)
                    for t in tensors
                ]
        settled = [self.settled(t) for t in tensors]
        return [Tensor.of(broadcast(t.expression, shape), shape, t.dtype) for t in settled]

    def _aligned_to(self, x: Tensor, axes: Extents, shape: Extents | None = None) -> Expression:
        """x's expression over axes whose row-major order is that of `shape`; ValueError where it has none."""
        if x.axes == axes and x.extents == (shape or axes):
            return x.expression
        if x.is_single:
            return map_leaves(x.expression, lambda v: _single(v).broadcast_to(axes))
        if shape is None:
            return broadcast(x.expression, axes)
        if (
            x.extents != shape
            or x.is_reshaped
            or any(reshaped_view(v, axes) is None for v in leaves(x.expression))
        ):
            raise ValueError("not expressible")
        return x.reshaped(axes).expression

    def _combine(
        self, function: ScalarFunction, aligned: list[Tensor], dtype: "np.dtype[np.generic]"
    ) -> Tensor:
        first = aligned[0]
        node = self.node(function, tuple(t.expression for t in aligned))
        return Tensor(first.extents, dtype, None, node, first.axes)

    def node(self, function: ScalarFunction, arguments: tuple[Expression, ...]) -> Expression:
        """Apply with its interval proved; a float that may exceed LIMIT is clamped."""
        distinct = list({id(a): a for a in arguments if not isinstance(a, Immediate)}.values())
        place = {id(a): i for i, a in enumerate(distinct)}

        def traced(*scalars: Scalar) -> Scalar | Number:
            return function(
                *(a.value if isinstance(a, Immediate) else scalars[place[id(a)]] for a in arguments)
            )

        try:
            result = iv.run_program(
                record(traced, [a.kind for a in distinct]), [a.interval for a in distinct]
            )[-1]
        except RangeError as error:
            raise AdmissionError(str(error)) from None
        if result.kind == "float" and result.magnitude > LIMIT:
            low, high = result.lo < -LIMIT, result.hi > LIMIT
            clamped = Interval(max(result.lo, -LIMIT), min(result.hi, LIMIT))
            return Apply(lambda *s: _limited(function(*s), low, high), arguments, clamped)
        return Apply(function, arguments, result)

    def _write(self, expression: Expression, shape: Extents, order: Sequence[int]) -> View:
        """Emit the expression with its axes in that order in memory; returns the view in the original order."""
        kept = storable([axis for axis in order if shape[axis] != 1], shape)
        views = leaves(expression)
        moved = [select(view, kept) for view in views]
        if isinstance(expression, Leaf):
            return place(self.b.copy(moved[0]), kept, shape)
        return place(self.b.map(scalar_function(expression, views), *moved), kept, shape)


def _single(view: View) -> View:
    return View(view.ref, view.dtype, view.tensor_shape, (), (), view.offset)


def _saturated(data: Array) -> Array:
    """Infinities as ±LIMIT, which masks as well: added to a score that is far smaller, or chosen instead of it."""
    if np.isnan(data).any():
        raise ModelError("constant data is not a number")
    return np.clip(data, np.float32(-LIMIT), np.float32(LIMIT))


def _operations(expression: Expression) -> int:
    """Scalar operations that recomputing the expression takes."""
    if not isinstance(expression, Apply):
        return 0
    views = leaves(expression)
    return len(record(scalar_function(expression, views), [v.dtype.kind for v in views]).ops)


def integer_bounds(dtype: "np.dtype[np.generic]") -> tuple[int, int]:
    """Smallest and largest value of an integer type of the network."""
    bits = dtype.itemsize * 8
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if dtype.kind == "i" else (0, (1 << bits) - 1)


def _require_no_wrap(x: Tensor) -> None:
    """AdmissionError where an integer may leave the network's type, in which it would wrap around."""
    if x.dtype.kind in "iu":
        (lowest, highest), interval = integer_bounds(x.dtype), x.expression.interval
        if interval.lo < lowest or interval.hi > highest:
            raise AdmissionError(f"the result {interval} may overflow {x.dtype}: cast to a wider type first")


def _crowded(result: Tensor, tensors: Sequence[Tensor]) -> Tensor | None:
    """What to write down first, so that a long program does not also read several operands."""
    read, operations = len(leaves(result.expression)), _operations(result.expression)
    if read * _OPERAND_GAS + operations * _OPERATION_GAS <= _DEAR_GAS:
        return None
    reads = [len(leaves(t.expression)) if _operations(t.expression) else 0 for t in tensors]
    return tensors[reads.index(max(reads))] if max(reads) > 1 else None


def _fits(expression: Expression) -> bool:
    return len(leaves(expression)) <= FUSED_OPERANDS and _operations(expression) <= MAX_OPERATIONS


def _number_type(value: Number) -> "np.dtype[np.generic]":
    return F32 if isinstance(value, float) else I64


def _narrow(data: Array) -> Array:
    """Integers in the narrowest type of a tape that holds them all."""
    if data.dtype == np.float32:
        return data
    values = data.astype(np.int64)
    for dtype in (DType.U8, DType.I8, DType.I16, DType.I32):
        low, high = dtype.bounds
        if low <= values.min(initial=0) and values.max(initial=0) <= high:
            return values.astype(dtype.numpy)
    return values


def _limited(value: Scalar | Number, low: bool, high: bool) -> Scalar | Number:
    assert isinstance(value, Scalar)
    value = value.maximum(-LIMIT) if low else value
    return value.minimum(LIMIT) if high else value
