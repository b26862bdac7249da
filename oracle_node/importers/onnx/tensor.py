"""Tensors of a network on their way to a tape: constants, or expressions that nothing has forced into memory yet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from oracle_node.importers.onnx.expression import (
    Expression,
    Immediate,
    Leaf,
    leaves,
    map_leaves,
    reshaped_view,
)
from oracle_node.importers.onnx.extents import (
    Dims,
    Extent,
    Extents,
    extent,
    extents_of,
    fixed,
    is_fixed,
    size,
)
from oracle_node.tape.interval import Interval
from oracle_node.tape.types import Array
from oracle_node.tape.view import View

_ABSENT = Immediate(0)


@dataclass(frozen=True, eq=False)
class Scaling:
    """A pending `x·(factor·scale) + shift`, kept in binary64 so that biases and normalisations fold into one.

    `scale` and `shift` broadcast over the tensor; `factor` is an expression known only at run time, or None.
    """

    scale: Array
    shift: Array
    factor: Expression | None = None

    def then(self, scale: Array, shift: Array) -> "Scaling":
        """This, and after it `y·scale + shift`; single binary64 operations."""
        return Scaling(np.asarray(self.scale * scale), np.asarray(self.shift * scale + shift), self.factor)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of the network: `extents` in the network's axis order, whatever lies in memory.

    A constant has `data`; of whole numbers that depend on the request's length, an array of objects (`extents.Extent`).
    Otherwise `expression` runs over `axes`, whose row-major order is that of `extents`: they differ where a reshape
    waits for the tensor to be written. `dtype` is the network's type; the tape may store a narrower one.
    """

    extents: Extents
    dtype: np.dtype[np.generic]
    data: Array | None = None
    expression: Expression = _ABSENT
    axes: Extents = ()
    scaling: Scaling | None = None

    @classmethod
    def constant(cls, data: Array) -> "Tensor":
        if data.dtype != object:
            return cls(data.shape, data.dtype, data)
        values = [extent(v) for v in data.reshape(-1)]
        kind = np.dtype(np.int64)
        return cls(
            data.shape, kind, np.asarray(values, kind if is_fixed(values) else object).reshape(data.shape)
        )

    @classmethod
    def lengths(cls, values: Sequence[Extent]) -> "Tensor":
        """A vector of whole numbers, known at import up to the request's length."""
        return cls.constant(np.asarray(values, np.int64 if is_fixed(values) else object))

    @classmethod
    def of(cls, expression: Expression, shape: Extents, dtype: "np.dtype[np.generic]") -> "Tensor":
        return cls(shape, dtype, None, expression, shape)

    @classmethod
    def of_view(cls, view: View, interval: Interval, dtype: "np.dtype[np.generic]") -> "Tensor":
        return cls.of(Leaf(view, interval), extents_of(view), dtype)

    @property
    def shape(self) -> Dims:
        """The extents as numbers; ModelError where one depends on the request."""
        return fixed(self.extents)

    @property
    def rank(self) -> int:
        return len(self.extents)

    @property
    def size(self) -> int:
        """Elements; ModelError where they depend on the request."""
        return size(self.extents)

    @property
    def is_single(self) -> bool:
        """Whether it has one element."""
        return all(e == 1 for e in self.extents)

    @property
    def is_free(self) -> bool:
        """Whether its shape, or a number in it, depends on the request's length."""
        return not is_fixed(self.extents) or (self.data is not None and self.data.dtype == object)

    @property
    def is_constant(self) -> bool:
        return self.data is not None

    @property
    def is_float(self) -> bool:
        return self.dtype == np.float32

    @property
    def is_reshaped(self) -> bool:
        """Whether a reshape is pending that no strides can express."""
        return self.axes != self.extents

    def axis(self, axis: int) -> int:
        """A possibly negative axis as an index."""
        if not -self.rank <= axis < self.rank:
            raise ValueError(f"axis {axis} of a tensor of rank {self.rank}")
        return axis % self.rank

    def moved(
        self, shape: Extents, of_array: Callable[[Array], Array], of_view: Callable[[View], View]
    ) -> "Tensor":
        """Data movement: `of_array` for a constant, `of_view` for every leaf of a settled expression."""
        if self.data is not None:
            return Tensor.constant(of_array(self.data))
        if self.is_reshaped or self.scaling is not None:
            raise AssertionError("settle a tensor before moving it")
        return Tensor.of(map_leaves(self.expression, of_view), shape, self.dtype)

    def reshaped(self, shape: Extents) -> "Tensor":
        """The same elements in another shape; pending where the leaves' strides cannot express it."""
        if self.data is not None:
            return Tensor.constant(self.data.reshape(fixed(shape)))
        if self.scaling is not None:
            raise AssertionError("settle a tensor before moving it")
        if all(reshaped_view(view, shape) is not None for view in leaves(self.expression)):
            return Tensor.of(map_leaves(self.expression, lambda v: _reshaped(v, shape)), shape, self.dtype)
        return replace(self, extents=shape)


def _reshaped(view: View, shape: Extents) -> View:
    moved = reshaped_view(view, shape)
    assert moved is not None
    return moved
