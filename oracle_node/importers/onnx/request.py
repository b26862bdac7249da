"""What a request to a network is: its inputs, one after another, the length of one of them perhaps free.

Where it is, masks and segments of the same length are no part of the request: it holds one sequence, without padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oracle_node.errors import ModelError
from oracle_node.importers.imported import FILLED, LENGTH, TensorInfo
from oracle_node.importers.onnx.extents import Extent, Extents, is_fixed, text, times
from oracle_node.importers.onnx.graph import Graph
from oracle_node.importers.onnx.lowering import Lowering
from oracle_node.importers.onnx.tabular import has_tables
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.affine import Affine
from oracle_node.tape.instruction import Source
from oracle_node.tape.types import DType, SourceKind

DEFAULT_FLOAT_RANGE = (-(2.0**20), 2.0**20)
"""What float inputs are clamped to unless the importer is told otherwise."""
TABLE_FLOAT_RANGE = (-(2.0**40), 2.0**40)
"""The same for models of tables, whose features are incomes and populations too."""
DEFAULT_LENGTH = 256
"""Elements of the longest request where its length is free: an element of attention is proved by reading so many."""


@dataclass(frozen=True)
class Request:
    """The inputs that a request holds, those that are the same everywhere, and the request's type and lengths."""

    inputs: tuple[TensorInfo, ...]
    filled: tuple[TensorInfo, ...]
    source: Source

    @property
    def length(self) -> Affine:
        """The free length: what the inputs of fixed length leave of the request."""
        return Affine.symbol(SourceKind.REQUEST) - sum(i.elements for i in self.inputs if not i.is_free)

    def named(self, extents: Extents) -> tuple[int | str, ...]:
        """A shape for people, the free length by the name that the file has for it."""
        name = next((d for info in self.inputs for d in info.shape if isinstance(d, str)), LENGTH)
        return tuple(
            e if isinstance(e, int) else name if e == self.length else text([e])[1:-1] for e in extents
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of inputs that were taken out."""
        if not self.filled:
            return ()
        said = ", ".join(f"{info.name} {FILLED[info.name]}" for info in self.filled)
        return (f"Requests are not padded, so every token has {said}",)


def request_of(path: Path, graph: Graph, longest: int | None) -> Request:
    """The request of a network; ModelError where it is not one row of numbers of one type, or a length is too free."""
    free = [info for info in graph.inputs if info.is_free]
    filled = tuple(info for info in free if len(free) > 1 and info.name in FILLED)
    inputs = tuple(info for info in graph.inputs if info not in filled)
    if len({info.dtype for info in inputs}) > 1:
        raise ModelError(f"{path}: its inputs have different types, but a request has one: add Cast nodes")
    free = [info for info in inputs if info.is_free]
    for info in free[1:] or free:
        _require_row(path, info, alone=len(free) == 1)
    if longest is not None and not free:
        raise ModelError(f"{path}: has no input of free length, which a limit could be for")
    least = sum(info.elements for info in inputs if not info.is_free)
    most = least + (DEFAULT_LENGTH if longest is None else longest) if free else least
    dtype = DType.of(np.empty(0, inputs[0].dtype))
    return Request(inputs, filled, Source(dtype, least + len(free), most))


def _require_row(path: Path, info: TensorInfo, alone: bool) -> None:
    """A free length has to be the only dimension of the only such input: then the request's length says what it is."""
    axis = next(a for a, d in enumerate(info.shape) if isinstance(d, str))
    others = [d for a, d in enumerate(info.shape) if a != axis]
    if not alone or others != [1] * len(others):
        raise ModelError(
            f"{path}: dimension {axis} of input {info.name} is not fixed, which only that of one row of numbers "
            "can be: fix it with onnxruntime.tools.make_dynamic_shape_fixed"
        )


def read(
    low: Lowering, graph: Graph, request: Request, input_range: tuple[float, float] | None
) -> dict[str, Tensor]:
    """The network's inputs as tensors."""
    source, b = request.source, low.b
    if input_range is None:
        floats = TABLE_FLOAT_RANGE if has_tables(graph.nodes) else DEFAULT_FLOAT_RANGE
        lowest, highest = floats if source.dtype is DType.F32 else _integer_range(source.dtype)
    else:
        lowest, highest = input_range
    shapes = {i.name: _extents(i, request.length) for i in (*request.inputs, *request.filled)}
    if len(request.inputs) == 1:
        info = request.inputs[0]
        view = b.input(SourceKind.REQUEST, shapes[info.name], lowest, highest)
        tensors = {info.name: Tensor.of_view(view, b.interval(view), np.dtype(info.dtype))}
    else:
        whole = b.input(SourceKind.REQUEST, (_whole(shapes, request.inputs),), lowest, highest)
        start, tensors = Affine(0), {}
        for info in request.inputs:
            size = times(shapes[info.name])
            view = whole.slice(0, start, size).reshape(*shapes[info.name])
            tensors[info.name] = Tensor.of_view(view, b.interval(view), np.dtype(info.dtype))
            start = start + size
    for info in request.filled:
        tensors[info.name] = low.uniform(np.asarray(FILLED[info.name], info.dtype), shapes[info.name])
    return tensors


def _extents(info: TensorInfo, length: Affine) -> tuple[Extent, ...]:
    return tuple(d if isinstance(d, int) else length for d in info.shape)


def _whole(shapes: dict[str, tuple[Extent, ...]], inputs: Sequence[TensorInfo]) -> Extent:
    sizes = [times(shapes[info.name]) for info in inputs]
    fixed = [size for size in sizes if isinstance(size, int)]
    return sum(fixed) if is_fixed(sizes) else Affine.symbol(SourceKind.REQUEST)


def _integer_range(dtype: DType) -> tuple[int, int]:
    low, high = dtype.bounds
    return max(low, -(2**31)), min(high, 2**31 - 1)
