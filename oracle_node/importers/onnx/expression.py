"""Elementwise expressions over views, not yet written to a tape: what an importer fuses into one MAP or REDUCE.

An expression is a small graph: leaves are views broadcast to the expression's shape, numbers are immediates, every
other node applies a scalar function. Moving data moves the leaves. Not here: when to emit (`lowering`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oracle_node.importers.onnx.extents import Extents, typical
from oracle_node.tape.affine import Affine
from oracle_node.tape.expression import Number, Scalar, ScalarFunction
from oracle_node.tape.interval import Interval
from oracle_node.tape.types import Kind
from oracle_node.tape.view import View


@dataclass(frozen=True, eq=False)
class Leaf:
    """A tensor of the tape, read through a view of the expression's shape."""

    view: View
    interval: Interval

    @property
    def kind(self) -> Kind:
        return self.view.dtype.kind


@dataclass(frozen=True, eq=False)
class Immediate:
    """A number inside the scalar program."""

    value: Number

    @property
    def interval(self) -> Interval:
        return Interval(self.value, self.value)

    @property
    def kind(self) -> Kind:
        return "float" if isinstance(self.value, float) else "int"


@dataclass(frozen=True, eq=False)
class Apply:
    """A scalar function of other expressions, and the interval of its result."""

    function: ScalarFunction
    arguments: "tuple[Expression, ...]"
    interval: Interval

    @property
    def kind(self) -> Kind:
        return self.interval.kind


Expression = Leaf | Immediate | Apply


def leaves(expression: Expression) -> list[View]:
    """The distinct views an expression reads, in the order of first use."""
    found: dict[View, None] = {}
    seen: set[int] = set()
    todo = [expression]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Leaf):
            found[node.view] = None
        elif isinstance(node, Apply):
            todo += reversed(node.arguments)
    return list(found)


def scalar_function(expression: Expression, views: list[View]) -> ScalarFunction:
    """The expression as a function of one scalar a view; every node is computed once."""

    def function(*scalars: Scalar) -> Scalar | Number:
        known: dict[int, Scalar | Number] = {}

        def value(node: Expression) -> Scalar | Number:
            if id(node) not in known:
                if isinstance(node, Leaf):
                    known[id(node)] = scalars[views.index(node.view)]
                elif isinstance(node, Immediate):
                    known[id(node)] = node.value
                else:
                    known[id(node)] = node.function(*map(value, node.arguments))
            return known[id(node)]

        return value(expression)

    return function


def map_leaves(expression: Expression, move: Callable[[View], View]) -> Expression:
    """The expression with every leaf's view moved."""
    known: dict[int, Expression] = {}

    def moved(node: Expression) -> Expression:
        if id(node) not in known:
            if isinstance(node, Leaf):
                known[id(node)] = Leaf(move(node.view), node.interval)
            elif isinstance(node, Apply):
                known[id(node)] = Apply(node.function, tuple(map(moved, node.arguments)), node.interval)
            else:
                known[id(node)] = node
        return known[id(node)]

    return moved(expression)


def memory_order(views: list[View]) -> tuple[int, ...]:
    """The axes from the outermost to the innermost in memory, judged by the view that spans most elements."""

    def spanned(view: View) -> int:
        total = 1
        for dimension, stride in zip(view.shape, view.strides, strict=True):
            total *= typical(dimension) if typical(stride) else 1
        return total

    main = max(views, key=spanned)
    strides = [typical(s) for s in main.strides]
    # a broadcast axis goes outside: nothing is near anything along it
    return tuple(sorted(range(main.rank), key=lambda a: (strides[a] != 0, -abs(strides[a]))))


def reshaped_view(view: View, shape: Extents) -> View | None:
    """The same elements in the same order as a view of another shape; None where no strides can express it."""
    target = tuple(map(Affine.of, shape))
    try:
        strides = _reshaped_strides(view, target)
    except ValueError:  # two free lengths in one product
        return None
    return None if strides is None else View(
        view.ref, view.dtype, view.tensor_shape, target, strides, view.offset
    )  # fmt: skip


def _reshaped_strides(view: View, shape: tuple[Affine, ...]) -> tuple[Affine, ...] | None:
    one = Affine(1)
    old = [(d, s) for d, s in zip(view.shape, view.strides, strict=True) if d != one]
    new = [(axis, d) for axis, d in enumerate(shape) if d != one]
    strides = [Affine(0)] * len(shape)
    i = j = 0
    while i < len(old) and j < len(new):
        old_end, new_end = i + 1, j + 1
        old_size, new_size = old[i][0], new[j][1]
        while old_size != new_size:
            if typical(new_size) < typical(old_size):
                if new_end == len(new):
                    return None
                new_size = new_size * new[new_end][1]
                new_end += 1
            else:
                if old_end == len(old):
                    return None
                old_size = old_size * old[old_end][0]
                old_end += 1
        if any(old[k][1] != old[k + 1][0] * old[k + 1][1] for k in range(i, old_end - 1)):
            return None
        stride = old[old_end - 1][1]
        for axis, dimension in reversed(new[j:new_end]):
            strides[axis] = stride
            stride = stride * dimension
        i, j = old_end, new_end
    return tuple(strides)


def select(view: View, axes: Sequence[int]) -> View:
    """The view with only those axes, in that order; the others have length 1."""
    return View(
        view.ref, view.dtype, view.tensor_shape,
        tuple(view.shape[a] for a in axes), tuple(view.strides[a] for a in axes), view.offset,
    )  # fmt: skip


def place(view: View, axes: Sequence[int], shape: Extents) -> View:
    """The opposite of `select`: axis i of the view becomes axis axes[i] of `shape`, the others have length 1."""
    dimensions, strides = [Affine(1)] * len(shape), [Affine(0)] * len(shape)
    for position, axis in enumerate(axes):
        dimensions[axis], strides[axis] = view.shape[position], view.strides[position]
    return View(view.ref, view.dtype, view.tensor_shape, tuple(dimensions), tuple(strides), view.offset)


def broadcast(expression: Expression, axes: Extents) -> Expression:
    return map_leaves(expression, lambda view: view.broadcast_to(axes))
