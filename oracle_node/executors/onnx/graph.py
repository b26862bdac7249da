"""A graph of ONNX nodes under construction: typed values of known shape. Knows ONNX, knows no tape.

Shapes are always static. Large constants do not travel inside the protobuf (its limit is 2 GiB): the session gets
them by reference.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from oracle_node.tape.types import DType

OPSET = 18
IR_VERSION = 9
_INLINE_BYTES = 256
_NO_I64 = frozenset({"Min", "Max", "Clip", "ReduceMin", "ReduceMax", "Sign", "Relu"})
"""Kernels that are wrong for i64 in some versions; see `extremes`."""


class Elem(IntEnum):
    """Element types of graph values; the values are ONNX's."""

    F32 = TensorProto.FLOAT
    U8 = TensorProto.UINT8
    I8 = TensorProto.INT8
    I16 = TensorProto.INT16
    I32 = TensorProto.INT32
    I64 = TensorProto.INT64
    BOOL = TensorProto.BOOL
    F64 = TensorProto.DOUBLE

    @property
    def numpy(self) -> np.dtype[np.generic]:
        return _NUMPY[self]

    @classmethod
    def of(cls, dtype: "np.dtype[np.generic] | DType") -> "Elem":
        """The element type of a numpy dtype or a tape type."""
        return _ELEMS[dtype.numpy if isinstance(dtype, DType) else np.dtype(dtype)]


_NUMPY: dict[Elem, np.dtype[np.generic]] = {
    Elem.F32: np.dtype(np.float32),
    Elem.U8: np.dtype(np.uint8),
    Elem.I8: np.dtype(np.int8),
    Elem.I16: np.dtype(np.int16),
    Elem.I32: np.dtype(np.int32),
    Elem.I64: np.dtype(np.int64),
    Elem.BOOL: np.dtype(np.bool_),
    Elem.F64: np.dtype(np.float64),
}
_ELEMS = {dtype: elem for elem, dtype in _NUMPY.items()}


@dataclass(frozen=True, slots=True)
class Value:
    """The name, element type and shape of one edge of the graph."""

    name: str
    elem: Elem
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return prod(self.shape)


class Graph:
    """Nodes in execution order, with their constants."""

    def __init__(self) -> None:
        self.label = 0
        """What the nodes are written for: the first part of their names."""
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self._shared: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._nodes: dict[Hashable, Value] = {}
        self._reshaped: dict[str, Value] = {}
        self._padded: dict[str, tuple[Value, tuple[int, ...], tuple[int, ...]]] = {}
        self._input_names: set[str] = set()
        self.aliases: dict[tuple[str, tuple[int, ...]], str] = {}
        """Names of inputs that are others in another shape: to feed an array twice is free, to reshape it a copy."""
        self._held: dict[int, tuple[np.ndarray, Value]] = {}

    def input(self, name: str, elem: Elem, shape: Sequence[int]) -> Value:
        self._input_names.add(name)
        self.inputs.append(helper.make_tensor_value_info(name, elem, shape))
        return Value(name, elem, tuple(shape))

    def output(self, value: Value) -> str:
        """Expose a value; the name to ask for it by. An input, a constant or what is an output already is copied."""
        name = value.name
        if not name.startswith("value") or any(output.name == name for output in self.outputs):
            name = f"copy{len(self.outputs)}"
            self.nodes.append(helper.make_node("Identity", [value.name], [name], name=f"{self.label}/{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, value.elem, value.shape))
        return name

    def constant(self, array: np.ndarray) -> Value:
        """A constant; equal small ones, and the same large array, are stored once."""
        if id(array) in self._held:
            return self._held[id(array)][1]
        key = (array.dtype.str, array.shape, array.tobytes()) if array.nbytes <= _INLINE_BYTES else None
        if key in self._shared:
            return self._shared[key]
        value = Value(f"constant{len(self.constants)}", Elem.of(array.dtype), array.shape)
        self.constants[value.name] = np.ascontiguousarray(array).reshape(array.shape)
        if key is None:
            self._held[id(array)] = (array, value)
        else:
            self._shared[key] = value
        return value

    def scalar(self, number: int | float, elem: Elem) -> Value:
        """A rank-0 constant."""
        return self.constant(np.asarray(number, elem.numpy))

    def op(
        self,
        kind: str,
        inputs: Sequence[Value],
        elem: Elem | None = None,
        shape: Sequence[int] | None = None,
        **attributes: Any,
    ) -> Value:
        """A node with one output, by default of the first input's type and the inputs' broadcast shape.

        A node that exists already is not repeated: instructions often begin with the same computation.
        """
        assert kind not in _NO_I64 or inputs[0].elem is not Elem.I64, f"{kind} of i64 is not exact everywhere"
        if shape is None:
            shape = np.broadcast_shapes(*(value.shape for value in inputs))
        names = tuple(value.name for value in inputs)
        key = (kind, names, elem, tuple(shape), repr(sorted(attributes.items())))
        if key not in self._nodes:
            result = Value(f"value{len(self.nodes)}", inputs[0].elem if elem is None else elem, tuple(shape))
            self.nodes.append(
                helper.make_node(kind, names, [result.name], name=f"{self.label}/{result.name}", **attributes)
            )
            self._nodes[key] = result
        return self._nodes[key]

    def cast(self, value: Value, elem: Elem) -> Value:
        return value if value.elem is elem else self.op("Cast", [value], elem, to=int(elem))

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """The same elements in another shape; of what was reshaped before, as if it had not been."""
        value = self._reshaped.get(value.name, value)
        if tuple(shape) == value.shape:
            return value
        if value.name in self._input_names:
            result = self._alias(value, tuple(shape))
        else:
            result = self.op("Reshape", [value, self._ints(shape)], shape=shape, allowzero=1)
        self._reshaped[result.name] = value
        return result

    def before_reshaping(self, value: Value) -> Value:
        """The same elements in the shape in which they were computed."""
        return self._reshaped.get(value.name, value)

    def _alias(self, value: Value, shape: tuple[int, ...]) -> Value:
        """An input once more, in another shape."""
        key = (value.name, shape)
        if key in self.aliases:
            return Value(self.aliases[key], value.elem, shape)
        self.aliases[key] = f"{value.name}/{len(self.aliases)}"
        return self.input(self.aliases[key], value.elem, shape)

    def expand(self, value: Value, shape: Sequence[int]) -> Value:
        """Repeat along axes of size 1."""
        if tuple(shape) == value.shape:
            return value
        return self.op("Expand", [value, self._ints(shape)], shape=shape)

    def transpose(self, value: Value, axes: Sequence[int]) -> Value:
        """Axis i of the result is axis `axes[i]` of the value."""
        shape = [value.shape[a] for a in axes]
        moving = [a for a in axes if value.shape[a] != 1]
        if moving == sorted(moving):
            return self.reshape(value, shape)
        return self.op("Transpose", [value], shape=shape, perm=list(axes))

    def slice(
        self, value: Value, starts: Sequence[int], counts: Sequence[int], steps: Sequence[int]
    ) -> Value:
        """`counts[a]` elements of every axis from `starts[a]` on; a negative step walks backwards."""
        touched = [a for a, n in enumerate(value.shape) if (starts[a], counts[a], steps[a]) != (0, n, 1)]
        if not touched:
            return value
        ends = [starts[a] + counts[a] * steps[a] for a in touched]
        ends = [end if end >= 0 else -(1 << 31) for end in ends]
        parameters = [[starts[a] for a in touched], ends, touched, [steps[a] for a in touched]]
        return self.op("Slice", [value, *map(self._ints, parameters)], shape=counts)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        if len(values) == 1:
            return values[0]
        shape = list(values[0].shape)
        shape[axis] = sum(value.shape[axis] for value in values)
        return self.op("Concat", values, shape=shape, axis=axis)

    def pad(self, value: Value, before: Sequence[int], after: Sequence[int]) -> Value:
        """Zeros around a value: so many on either side of each axis. Around one that is padded already, all at once."""
        inner, first, last = self._padded.get(value.name, (value, (0,) * len(before), (0,) * len(before)))
        before, after = (
            tuple(map(sum, zip(*pair, strict=True))) for pair in ((first, before), (last, after))
        )
        shape = [a + n + b for a, n, b in zip(before, inner.shape, after, strict=True)]
        zero = self.scalar(0, value.elem)
        result = self.op("Pad", [inner, self._ints([*before, *after]), zero], shape=shape)
        self._padded[result.name] = (inner, before, after)
        return result

    def reduce(self, kind: str, value: Value, axes: Sequence[int]) -> Value:
        """A `Reduce…` operator over the axes, which vanish."""
        shape = [n for a, n in enumerate(value.shape) if a not in axes]
        return self.op(kind, [value, self._ints(axes)], shape=shape, keepdims=0)

    def _ints(self, numbers: Sequence[int]) -> Value:
        return self.constant(np.asarray(numbers, np.int64).reshape(-1))

    def serialize(self) -> tuple[bytes, dict[str, np.ndarray]]:
        """The model without anything that no output needs, and the constants that it declares but does not carry."""
        nodes, used = self.live_nodes(), self._read_names()
        initializers, shared = [], {}
        for name in (name for name in self.constants if name in used):
            array = self.constants[name]
            tensor = TensorProto(name=name, data_type=Elem.of(array.dtype), dims=array.shape)
            if array.nbytes <= _INLINE_BYTES:
                tensor.raw_data = array.tobytes()
            else:
                shared[name] = array
                tensor.data_location = TensorProto.EXTERNAL
                tensor.external_data.add(key="location", value="constants")
            initializers.append(tensor)
        inputs = [value for value in self.inputs if value.name in used]
        graph = helper.make_graph(nodes, "tape", inputs, self.outputs, initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        return bytes(model.SerializeToString()), shared

    def used_names(self) -> set[str]:
        """The values that the outputs need, and the outputs; inputs that are needed in another shape too."""
        used = self._read_names()
        return used | {source for (source, _), name in self.aliases.items() if name in used}

    def _read_names(self) -> set[str]:
        return {output.name for output in self.outputs}.union(*(node.input for node in self.live_nodes()))

    def live_nodes(self) -> list[NodeProto]:
        """The nodes that the outputs need, in order."""
        used = {output.name for output in self.outputs}
        nodes = []
        for node in reversed(self.nodes):
            if used.intersection(node.output):
                nodes.append(node)
                used.update(node.input)
        return nodes[::-1]
