"""Windows of convolutions and pools: padding, strides, dilations and output sizes of every spatial axis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oracle_node.importers.onnx.node import Node
from oracle_node.tape.types import Array
from oracle_node.tape.view import View


@dataclass(frozen=True)
class WindowAxis:
    """One spatial axis: `before`/`after` elements of padding, `count` windows of `size` elements `dilation` apart."""

    length: int
    size: int
    stride: int
    dilation: int
    before: int
    after: int
    count: int

    @property
    def overhang(self) -> int:
        """Elements that the last window reaches past the padded end (ceil_mode only)."""
        reach = (self.count - 1) * self.stride + self.dilation * (self.size - 1) + 1
        return max(0, reach - self.before - self.length - self.after)

    @property
    def is_padded(self) -> bool:
        return self.before + self.after + self.overhang > 0

    def covered(self, include_pad: bool) -> Array:
        """(count,): elements that every window counts, those of the tensor, or of it and its declared padding."""
        low, high = self.before, self.before + self.length
        if include_pad:
            low, high = 0, high + self.after
        starts = np.arange(self.count, dtype=np.int64) * self.stride
        before, until = (np.clip(-(-(end - starts) // self.dilation), 0, self.size) for end in (low, high))
        return np.asarray(until - before)


def windows_of(node: Node, lengths: Sequence[int], kernel: Sequence[int]) -> list[WindowAxis]:
    """The windows a node's attributes describe."""
    rank = len(lengths)
    strides, dilations = node.each("strides", [1] * rank), node.each("dilations", [1] * rank)
    pads, mode = node.each("pads", [0] * 2 * rank), node.get("auto_pad", "NOTSET")
    if min(*kernel, *strides, *dilations) < 1:
        node.refuse(f"kernel {list(kernel)}, strides {strides} and dilations {dilations} must be positive")
    if min(pads, default=0) < 0 or mode not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        node.refuse(f"padding {mode} {pads} is not supported")
    ceil_mode = bool(node.get("ceil_mode", 0))
    axes = []
    for axis, (length, size, stride, dilation) in enumerate(
        zip(lengths, kernel, strides, dilations, strict=True)
    ):
        before, after = (pads[axis], pads[axis + rank]) if mode == "NOTSET" else (0, 0)
        span = dilation * (size - 1) + 1
        if mode.startswith("SAME"):
            needed = max(0, (-(-length // stride) - 1) * stride + span - length)
            before = needed // 2 if mode == "SAME_UPPER" else needed - needed // 2
            after = needed - before
        room = length + before + after - span
        if room < 0:
            node.refuse(f"a window of {span} is longer than the padded axis of {length + before + after}")
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        if ceil_mode and (count - 1) * stride >= length + before:
            count -= 1  # a window that starts in the trailing padding is dropped
        axes.append(WindowAxis(length, size, stride, dilation, before, after, count))
    return axes


def windowed(view: View, first: int, axes: Sequence[WindowAxis]) -> View:
    """Axes first, first+1, … of the padded view become window positions; the insides of the windows follow last."""
    for position, axis in enumerate(axes):
        padded = view.shape[first + position].constant
        used = (axis.count - 1) * axis.stride + axis.dilation * (axis.size - 1) + 1
        view = view.slice(first + position, 0, min(used, padded)).windows(
            first + position, axis.size, axis.stride, axis.dilation
        )
    return view
