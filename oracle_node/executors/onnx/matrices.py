"""The operands of a MATMUL as stacks of matrices, whatever axes its views walk."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from oracle_node.executors.onnx import arrays
from oracle_node.executors.onnx.constants import Constant
from oracle_node.executors.onnx.context import Context
from oracle_node.executors.onnx.graph import Elem, Value
from oracle_node.executors.onnx.tensors import Reading
from oracle_node.executors.onnx.views import read
from oracle_node.tape.interval import Interval


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product in concrete terms; `result` bounds every element of it."""

    left: Reading
    right: Reading
    shape: tuple[int, ...]
    reduce_shape: tuple[int, ...]
    result: Interval

    def swapped(self) -> "Product":
        return Product(self.right, self.left, self.shape, self.reduce_shape, self.result)

    def size(self, axis: int) -> int:
        """Length of an output or reduce axis."""
        return (*self.shape, *self.reduce_shape)[axis]


class Matrices:
    """`out[batch, rows, columns] = Σ_inner left[batch, rows, inner] · right[batch, inner, columns]`.

    Output axes that both operands walk are batch axes; those that neither walks repeat the result.
    """

    def __init__(self, context: Context, product: Product) -> None:
        self.context, self.product = context, product
        left, right = product.left.view.core, product.right.view.core
        outer = range(len(product.shape))
        self._batch = [a for a in outer if left[a] > 1 and right[a] > 1]
        self._rows = [a for a in outer if left[a] > 1 and right[a] == 1]
        self._columns = [a for a in outer if left[a] == 1 and right[a] > 1]
        self._inner = [len(product.shape) + a for a in range(len(product.reduce_shape))]
        self.batch, self.rows, self.columns, self.inner = (
            prod(map(product.size, axes)) for axes in (self._batch, self._rows, self._columns, self._inner)
        )

    @property
    def result_order(self) -> list[int]:
        """Output axes in the order of the stacked result."""
        return [*self._batch, *self._rows, *self._columns]

    def stack(self, *shape: int) -> tuple[int, ...]:
        """The shape of a stack of matrices; one matrix alone has no batch axis."""
        return shape if self.batch == 1 else (self.batch, *shape)

    def left(self, elem: Elem) -> Value:
        """The left operand, (batch, rows, inner)."""
        order = [*self._batch, *self._rows, *self._inner]
        value = self.context.tensors.read(self.product.left.ref, self.product.left.view.permuted(order), elem)
        return self._full(value, order, self.stack(self.rows, self.inner))

    def left_planes(self, planes: Value) -> Value:
        """The left operand from planes (n, *its tensor's shape), one below the other: (batch, n·rows, inner)."""
        count = planes.shape[0]
        stacked = self.product.left.view.stacked(count, planes.count // count)
        view = stacked.permuted(
            [*(1 + a for a in self._batch), 0, *(1 + a for a in (*self._rows, *self._inner))]
        )
        value = self.context.graph.expand(read(self.context.graph, planes, view), view.shape)
        return self.context.graph.reshape(value, self.stack(count * self.rows, self.inner))

    def right(self, elem: Elem) -> Value:
        """The right operand, (batch, inner, columns)."""
        constant = self.constant_right()
        if constant is not None:
            return self.context.tensors.constant(constant.cast(elem.numpy))
        order = [*self._batch, *self._inner, *self._columns]
        value = self.context.tensors.read(
            self.product.right.ref, self.product.right.view.permuted(order), elem
        )
        return self._full(value, order, self.stack(self.inner, self.columns))

    def constant_right(self) -> Constant | None:
        """The right operand's data in its own type, (batch, inner, columns), if it is a constant."""
        if self.context.tensor(self.product.right).array is None:
            return None
        return self.constant(
            [*self._batch, *self._inner, *self._columns], self.stack(self.inner, self.columns)
        )

    def constant(self, order: Sequence[int], shape: tuple[int, ...]) -> Constant:
        """The constant right operand with these axes in this order, reshaped."""
        tensor, view = self.context.tensor(self.product.right), self.product.right.view.permuted(order)
        assert tensor.array is not None
        return tensor.array.moved(view, [self.product.size(a) for a in order], shape)

    def largest_sum(self) -> int:
        """Σ|left||right|: the most that any partial sum can reach."""
        weights = self.constant_right()
        left, right = (self.context.tensor(r) for r in (self.product.left, self.product.right))
        if weights is None:
            return int(left.interval.magnitude) * int(right.interval.magnitude) * self.inner
        if left.balanced:  # signs may fall so that no product takes from another: the bound of the result
            return int(self.product.result.magnitude)
        return int(left.interval.magnitude) * largest_column_sum(weights)

    def _full(self, value: Value, order: Sequence[int], shape: Sequence[int]) -> Value:
        graph = self.context.graph
        return graph.reshape(graph.expand(value, [self.product.size(a) for a in order]), shape)


def largest_column_sum(weights: Constant) -> int:
    """The largest Σ|w| over the inner axis."""
    return weights.fact("largest column sum", arrays.largest_column_sum)
