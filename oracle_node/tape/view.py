"""Tensors of a tape under construction, and strided views of them: reshape, transpose, slice, broadcast, windows.

No view copies anything; each is an offset and one stride an axis into the tensor it came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from oracle_node.tape.affine import Affine, Dim
from oracle_node.tape.instruction import Operand
from oracle_node.tape.region import count
from oracle_node.tape.types import DType

Shape = tuple[Affine, ...]
ZERO = Affine(0)


def as_shape(shape: Sequence[Dim]) -> Shape:
    return tuple(Affine.of(d) for d in shape)


def contiguous_strides(shape: Sequence[Affine]) -> Shape:
    """Row-major strides; ValueError where one would not be affine (two symbolic dimensions inside another)."""
    strides = [Affine(1)]
    for dimension in list(shape)[:0:-1]:
        strides.append(strides[-1] * dimension)
    return tuple(reversed(strides))[: len(shape)] if shape else ()


@dataclass(frozen=True)
class View:
    """A strided window on tensor `ref` of `tensor_shape`; `strides` has one entry an axis of `shape`."""

    ref: int
    dtype: DType
    tensor_shape: Shape
    shape: Shape
    strides: Shape
    offset: Affine = ZERO

    @classmethod
    def whole(cls, ref: int, dtype: DType, shape: Shape) -> "View":
        """A tensor as it lies in memory."""
        return cls(ref, dtype, shape, shape, contiguous_strides(shape))

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape as integers; ValueError where it depends on the inputs' lengths."""
        if not all(d.is_constant for d in self.shape):
            raise ValueError(f"shape ({', '.join(map(str, self.shape))}) is not fixed")
        return tuple(d.constant for d in self.shape)

    @property
    def is_contiguous(self) -> bool:
        """Whether it reads the elements of a row-major tensor in order, from its offset on."""
        expected = Affine(1)
        for dimension, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if dimension != Affine(1):
                if stride != expected:
                    return False
                expected = expected * dimension
        return True

    def reshape(self, *shape: Dim) -> "View":
        """The same elements in another shape; ValueError unless this view is contiguous and the sizes agree."""
        target = as_shape(shape)
        if count(target) != count(self.shape):
            raise ValueError(f"cannot reshape {_text(self.shape)} to {_text(target)}")
        if not self.is_contiguous:
            raise ValueError("only a contiguous view can be reshaped: copy it first")
        return replace(self, shape=target, strides=contiguous_strides(target))

    def split_axis(self, axis: int, inner: int) -> "View":
        """Axis of length n as two of lengths (n / inner, inner)."""
        dimension = self.shape[axis]
        if dimension.constant % inner or any(c % inner for _, c in dimension.terms):
            raise ValueError(f"{dimension} is not a multiple of {inner}")
        outer = Affine(dimension.constant // inner, tuple((s, c // inner) for s, c in dimension.terms))
        shape = (*self.shape[:axis], outer, Affine(inner), *self.shape[axis + 1 :])
        stride = self.strides[axis]
        return replace(
            self,
            shape=shape,
            strides=(*self.strides[:axis], stride * inner, stride, *self.strides[axis + 1 :]),
        )

    def transpose(self, *axes: int) -> "View":
        return replace(
            self, shape=tuple(self.shape[a] for a in axes), strides=tuple(self.strides[a] for a in axes)
        )

    def moved(self, source: int, target: int) -> "View":
        """One axis moved to another position."""
        axes = list(range(self.rank))
        axes.insert(target % self.rank, axes.pop(source % self.rank))
        return self.transpose(*axes)

    def slice(self, axis: int, start: Dim, length: Dim, step: int = 1) -> "View":
        """`length` positions of an axis from `start` on, `step` (not 0, may be negative) apart."""
        axis %= self.rank
        offset = self.offset + self.strides[axis] * Affine.of(start)
        return replace(
            self,
            offset=offset,
            shape=(*self.shape[:axis], Affine.of(length), *self.shape[axis + 1 :]),
            strides=(*self.strides[:axis], self.strides[axis] * step, *self.strides[axis + 1 :]),
        )

    def pick(self, axis: int, position: Dim) -> "View":
        """One position of an axis; the axis goes."""
        return self.slice(axis, position, 1).squeeze(axis)

    def squeeze(self, axis: int) -> "View":
        axis %= self.rank
        if self.shape[axis] != Affine(1):
            raise ValueError(f"axis {axis} of {_text(self.shape)} is not 1")
        return replace(
            self,
            shape=self.shape[:axis] + self.shape[axis + 1 :],
            strides=self.strides[:axis] + self.strides[axis + 1 :],
        )

    def unsqueeze(self, axis: int) -> "View":
        """A new axis of length 1 at that position."""
        axis %= self.rank + 1
        return replace(
            self,
            shape=(*self.shape[:axis], Affine(1), *self.shape[axis:]),
            strides=(*self.strides[:axis], Affine(0), *self.strides[axis:]),
        )

    def broadcast_to(self, shape: Sequence[Dim]) -> "View":
        """numpy's broadcasting: new axes in front, axes of length 1 repeated (stride 0)."""
        target = as_shape(shape)
        view = self
        while view.rank < len(target):
            view = view.unsqueeze(0)
        strides = []
        for have, want, stride in zip(view.shape, target, view.strides, strict=True):
            if have != want and have != Affine(1):
                raise ValueError(f"cannot broadcast {_text(self.shape)} to {_text(target)}")
            strides.append(stride if have == want and want != Affine(1) else Affine(0))
        return replace(view, shape=target, strides=tuple(strides))

    def windows(self, axis: int, size: int, stride: int = 1, dilation: int = 1) -> "View":
        """Sliding windows: the axis becomes the windows' positions, and a new last axis of `size` runs inside them."""
        axis %= self.rank
        span = dilation * (size - 1) + 1
        length = self.shape[axis]
        positions = length - (span - 1) if stride == 1 else Affine((self._fixed(axis) - span) // stride + 1)
        shape = (*self.shape[:axis], positions, *self.shape[axis + 1 :], Affine(size))
        step = self.strides[axis]
        return replace(
            self,
            shape=shape,
            strides=(*self.strides[:axis], step * stride, *self.strides[axis + 1 :], step * dilation),
        )

    def _fixed(self, axis: int) -> int:
        if not self.shape[axis].is_constant:
            raise ValueError(f"axis {axis} of {_text(self.shape)} must have a fixed length here")
        return self.shape[axis].constant

    def operand(self, axes: Shape) -> Operand:
        """This view as an operand of an instruction over those axes."""
        view = self.broadcast_to(axes)
        return Operand(self.ref, self.dtype, self.tensor_shape, view.offset, view.strides)


def broadcast_shape(shapes: Sequence[Shape]) -> Shape:
    """The common shape under numpy's rules; ValueError where there is none."""
    rank = max((len(s) for s in shapes), default=0)
    result = []
    for axis in range(rank):
        sizes = {s[axis - rank + len(s)] for s in shapes if axis - rank + len(s) >= 0} - {Affine(1)}
        if len(sizes) > 1:
            raise ValueError(f"shapes {', '.join(_text(s) for s in shapes)} do not broadcast")
        result.append(sizes.pop() if sizes else Affine(1))
    return tuple(result)


def _text(shape: Sequence[Affine]) -> str:
    return f"({', '.join(map(str, shape))})"
