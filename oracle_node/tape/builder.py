"""A fluent builder of tapes: every call appends at most one instruction and proves it total at once.

Equal instructions are written once. Views are free; see `view`. Blocks made of several instructions are in `blocks`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from oracle_node.errors import AdmissionError
from oracle_node.tape import interval as iv
from oracle_node.tape.affine import Affine, Dim
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.expression import ScalarFunction, record
from oracle_node.tape.instruction import (
    DEFAULT_STEP_BOUND,
    Clamp,
    DerivedSymbol,
    Inequality,
    Instruction,
    Opcode,
    Operand,
    Parts,
    Reducer,
    Reduction,
    Rows,
    Source,
    Tail,
    Tape,
)
from oracle_node.tape.interval import Interval
from oracle_node.tape.region import Region, count
from oracle_node.tape.scalar import Program
from oracle_node.tape.types import Array, DType, SourceKind
from oracle_node.tape.view import Shape, View, as_shape, broadcast_shape

_SUM_TYPES = (DType.I32, DType.I64)
_INT_TYPES = (DType.U8, DType.I8, DType.I16, DType.I32, DType.I64)


class TapeBuilder:
    """Builds one tape for the given sources and limits; `finish` returns it."""

    def __init__(
        self,
        request: Source,
        output: Source | None = None,
        witness: Source | None = None,
        inequalities: Sequence[Inequality] = (),
        derived: Sequence[DerivedSymbol] = (),
        step_bound: int = DEFAULT_STEP_BOUND,
        keep: Callable[[Array], Array] | None = None,
    ) -> None:
        """`keep` may put a weight elsewhere (a mapped file) as it is added; it returns the same data."""
        self._keep = keep
        self.sources = (request, output or Source(), witness or Source())
        self.inequalities, self.derived, self.step_bound = tuple(inequalities), tuple(derived), step_bound
        self._weights: list[Array] = []
        self._analysis = Analysis(Region(self.sources, inequalities, derived), self._weights, step_bound)
        self._known: dict[Instruction, int] = {}
        self._constants: dict[tuple[DType, tuple[int, ...], bytes], View] = {}
        self._names: list[str] = []
        self._scope = ""

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Name the instructions written inside, for people."""
        outer, self._scope = self._scope, f"{self._scope}/{name}" if self._scope else name
        try:
            yield
        finally:
            self._scope = outer

    def interval(self, view: View) -> Interval:
        """What is proved of every element of the view's tensor."""
        return self._analysis.results[view.ref]

    @property
    def instructions(self) -> int:
        """How many instructions there are so far."""
        return len(self._analysis.instructions)

    def input(self, source: SourceKind, shape: Sequence[Dim], lo: float, hi: float) -> View:
        """A source's elements, sanitised into [lo, hi], as a tensor of `shape` (row-major)."""
        dtype, target = self.sources[source].dtype, as_shape(shape)
        view = View.whole(int(source), dtype, (Affine.symbol(source),))
        length, bounds = count((Affine.symbol(source),)), self._analysis.region.bounds
        if count(target) != length and bounds(count(target)) != bounds(length):
            raise AdmissionError(f"the {source.name.lower()} does not always have the elements of its shape")
        strided = View(view.ref, dtype, view.tensor_shape, target, View.whole(0, dtype, target).strides)
        return self._emit(Opcode.INPUT, dtype, target, (strided.operand(target),), tail=Clamp(lo, hi))

    def const(self, array: Array) -> View:
        """A weight tensor; equal ones are stored once."""
        dtype, shape = DType.of(array), array.shape
        # only small arrays are worth hashing for equality
        key = (dtype, shape, array.tobytes()) if array.size <= 1 << 16 else None
        if key is not None and key in self._constants:
            return self._constants[key]
        self._weights.append(array if self._keep is None else self._keep(array))
        target = as_shape(shape)
        view = View.whole(len(self._weights) - 1, dtype, target).operand(target)
        result = self._emit(Opcode.CONST, dtype, target, (view,))
        if key is not None:
            self._constants[key] = result
        return result

    def full(self, value: float, dtype: DType = DType.F32) -> View:
        """A constant of shape () that broadcasts."""
        return self.const(np.asarray(value, dtype.numpy))

    def map(self, function: ScalarFunction, *views: View, dtype: DType | None = None) -> View:
        """`function` of scalars, elementwise over the broadcast views; integers get the narrowest type that fits."""
        program = record(function, [view.dtype.kind for view in views])
        value = self._value(program, views)
        axes = broadcast_shape([view.shape for view in views])
        operands = tuple(view.operand(axes) for view in views)
        return self._emit(Opcode.MAP, dtype or _narrowest(value, _INT_TYPES), axes, operands, tail=program)

    def copy(self, view: View) -> View:
        """The view's elements as a contiguous tensor; a tensor that already is one passes through."""
        if view.is_contiguous and view.offset == Affine(0) and count(view.shape) == count(view.tensor_shape):
            return view
        return self.map(lambda x: x, view, dtype=view.dtype)

    def contract(self, a: View, b: View, reduce_axes: int = 1, dtype: DType | None = None) -> View:
        """Σ a·b over the last `reduce_axes` axes of the broadcast integer views; i32 where that is proved to fit."""
        axes = broadcast_shape([a.shape, b.shape])
        split = len(axes) - reduce_axes
        operands = (a.operand(axes), b.operand(axes))
        for choice in _SUM_TYPES if dtype is None else (dtype,):
            try:
                return self._emit(Opcode.MATMUL, choice, axes[:split], operands, axes[split:])
            except AdmissionError:
                if dtype is not None or choice is DType.I64:
                    raise
        raise AssertionError("unreachable")

    def matmul(self, a: View, b: View) -> View:
        """`a` (…, m, k) times `b` (…, n, k): (…, m, n)."""
        return self.contract(a.unsqueeze(-2), b.unsqueeze(-3))

    def reduce(
        self,
        reducer: Reducer,
        *views: View,
        axes: int = 1,
        function: ScalarFunction = lambda x: x,
        dtype: DType | None = None,
    ) -> View:
        """`function` of scalars, combined over the last `axes` axes of the broadcast views."""
        program = record(function, [view.dtype.kind for view in views])
        value = self._value(program, views)
        shape = broadcast_shape([view.shape for view in views])
        split = len(shape) - axes
        size = self._analysis.region.bounds(count(shape[split:]))[1]
        if dtype is None and reducer is Reducer.SUM:
            dtype = _narrowest(
                Interval(min(value.lo * size, value.lo), max(value.hi * size, value.hi)), _SUM_TYPES
            )
        dtype = DType.I32 if reducer is Reducer.ARGMAX else dtype or _narrowest(value, _INT_TYPES)
        operands = tuple(view.operand(shape) for view in views)
        return self._emit(
            Opcode.REDUCE, dtype, shape[:split], operands, shape[split:], Reduction(reducer, program)
        )

    def gather(self, index: View, table: View) -> View:
        """Rows of `table` (rows, …) at `index` (…): shape index + row."""
        row_shape = table.shape[1:]
        axes = (*index.shape, *row_shape)
        zeros = (Affine(0),) * len(row_shape)
        index_operand = Operand(
            index.ref, index.dtype, index.tensor_shape, index.offset, (*index.strides, *zeros)
        )
        strides = (*((Affine(0),) * index.rank), *table.strides[1:])
        table_operand = Operand(table.ref, table.dtype, table.tensor_shape, table.offset, strides)
        tail = Rows(table.strides[0], table.shape[0])
        return self._emit(Opcode.GATHER, table.dtype, axes, (index_operand, table_operand), tail=tail)

    def take(self, index: View, table: View) -> View:
        """For every position of `index` (…) that element of the last axis of `table` (…, n)."""
        operands = (
            index.operand(index.shape),
            Operand(table.ref, table.dtype, table.tensor_shape, table.offset, table.strides[:-1]),
        )
        tail = Rows(table.strides[-1], table.shape[-1])
        return self._emit(Opcode.GATHER, table.dtype, index.shape, operands, tail=tail)

    def concat(self, views: Sequence[View], axis: int) -> View:
        """The views one after another along an axis, at most 8 an instruction."""
        if len(views) == 1:
            return views[0]
        while len(views) > 8:
            views = [self.concat(views[i : i + 8], axis) for i in range(0, len(views), 8)]
        axis %= views[0].rank
        extents = tuple(view.shape[axis] for view in views)
        shape = (*views[0].shape[:axis], sum(extents, Affine(0)), *views[0].shape[axis + 1 :])
        operands = tuple(
            view.operand((*shape[:axis], extent, *shape[axis + 1 :]))
            for view, extent in zip(views, extents, strict=True)
        )
        return self._emit(Opcode.CONCAT, views[0].dtype, shape, operands, tail=Parts(axis, extents))

    def pad(self, view: View, axis: int, before: int, after: int, value: float = 0) -> View:
        """A constant before and after along an axis."""
        axis %= view.rank
        filler = self.full(value, view.dtype)

        def side(amount: int) -> list[View]:
            shape = (*view.shape[:axis], Affine(amount), *view.shape[axis + 1 :])
            return [filler.broadcast_to(shape)] if amount else []

        return self.concat([*side(before), view, *side(after)], axis)

    def finish(self, output: View, ok: View | None = None, witness: View | None = None) -> Tape:
        """The tape that answers `output`; `ok` defaults to always 1."""
        answers = [None if view is None else self._answer(view) for view in (output, witness)]
        ok = ok or self._emit(Opcode.MAP, DType.U8, (Affine(1),), (), tail=record(lambda: 1, []))
        assert answers[0] is not None
        return Tape(
            instructions=tuple(self._analysis.instructions),
            weights=tuple(self._weights),
            sources=self.sources,
            output=answers[0],
            witness=answers[1],
            ok=ok.ref,
            inequalities=self.inequalities,
            derived=self.derived,
            step_bound=self.step_bound,
            names=tuple(self._names),
        )

    def _answer(self, view: View) -> int:
        return self.copy(view).ref

    def _value(self, program: Program, views: Sequence[View]) -> Interval:
        try:
            return iv.run_program(program, [self.interval(view) for view in views])[-1]
        except iv.RangeError as error:
            raise AdmissionError(
                f"instruction {self.instructions} ({self._scope or 'unnamed'}): {error}"
            ) from None

    def _emit(
        self,
        opcode: Opcode,
        dtype: DType,
        shape: Shape,
        operands: tuple[Operand, ...],
        reduce_shape: Shape = (),
        tail: Tail = None,
    ) -> View:
        instruction = Instruction(opcode, dtype, shape, operands, reduce_shape, tail)
        if instruction not in self._known:
            self._analysis.admit(instruction, self._scope)
            self._known[instruction] = self.instructions - 1
            self._names.append(self._scope)
        return View.whole(self._known[instruction], dtype, shape)


def _narrowest(value: Interval, choices: Sequence[DType]) -> DType:
    """The first type that holds every value of the interval."""
    if value.kind == "float":
        return DType.F32
    for dtype in choices:
        low, high = dtype.bounds
        if low <= value.lo and value.hi <= high:
            return dtype
    return DType.I64
