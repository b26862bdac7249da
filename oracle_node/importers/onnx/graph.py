"""An ONNX file as plain data: nodes, constants, inputs and outputs, with every doubt about the file settled here."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.external_data_helper import load_external_data_for_model

from oracle_node.errors import ModelError
from oracle_node.files import read_regular
from oracle_node.importers.imported import LENGTH, TensorInfo
from oracle_node.importers.onnx import tabular
from oracle_node.tape.types import Array

OPSETS = range(7, 26)
MAX_NODES = 1 << 16
"""More than networks have, unrolled ones too."""
_MAX_FILE_BYTES = (1 << 31) - 1
"""Of a protobuf message; larger networks keep their weights in other files."""
_TENSOR_TYPES = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64"}


@dataclass(frozen=True)
class GraphNode:
    """One operator application; inputs are names, empty where left out."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Graph:
    """A network: `nodes` in order, only those that the outputs need."""

    opset: int
    nodes: tuple[GraphNode, ...]
    constants: dict[str, Array]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[str, ...]
    sha256: str
    labels: tuple[str, ...] = ()
    """Names of a classifier's classes, where the file has them."""
    notes: tuple[str, ...] = ()
    """What the file asks for that no tape can do."""


def load(path: Path, outputs: tuple[str, ...] | None = None) -> Graph:
    """The network in an ONNX file; ModelError in one line where it is none, or one that cannot be read."""
    content, model = _parsed(path)
    if not model.graph.node or not model.graph.output:
        raise ModelError(f"{path}: is not an ONNX file, or holds no network")
    _require_names(path, model.graph)
    constants = {i.name: _array(i, f"constant {i.name}") for i in model.graph.initializer}
    names = {o.name for o in model.graph.output}
    wanted = outputs or tabular.default_outputs(model.graph)
    if missing := [name for name in wanted if name not in names]:
        raise ModelError(f"{path}: has no output {missing[0]}; its outputs are {', '.join(sorted(names))}")
    nodes = _needed([_node(n) for n in model.graph.node], wanted)
    used = {name for n in nodes for name in n.inputs} | set(wanted)
    inputs = [i for i in model.graph.input if i.name not in constants and i.name in used]
    if not inputs:
        raise ModelError(f"{path}: its outputs depend on no input")
    return Graph(
        opset=_opset(path, model),
        nodes=nodes,
        constants=constants,
        inputs=tuple(_input(i) for i in inputs),
        outputs=wanted,
        sha256=hashlib.sha256(content).hexdigest(),
        labels=tabular.class_labels(model.graph),
        notes=tabular.notes(model.graph),
    )


def _parsed(path: Path) -> tuple[bytes, onnx.ModelProto]:
    """The file's bytes and what they say, with weights that lie in files beside it."""
    try:
        content = read_regular(path, _MAX_FILE_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # each backend of the parser has its own type for "not a message"
        raise ModelError(f"{path}: is not an ONNX file, or is cut short") from error
    if len(model.graph.node) > MAX_NODES:
        raise ModelError(f"{path}: has {len(model.graph.node)} nodes, more than {MAX_NODES}")
    try:
        load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{path}: its weights in other files cannot be read ({_line(error)})") from None
    return content, model


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _require_names(path: Path, graph: onnx.GraphProto) -> None:
    """ModelError unless every value has one source; before version 4 constants are listed among the inputs too."""
    constants, inputs = ([value.name for value in values] for values in (graph.initializer, graph.input))
    results = [name for node in graph.node for name in node.output if name]
    _require_distinct(path, [*constants, *results])
    _require_distinct(path, [*inputs, *results])
    _require_distinct(path, [output.name for output in graph.output])


def _require_distinct(path: Path, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ModelError(f"{path}: {name!r} names two values: the file is damaged")
        seen.add(name)


def _opset(path: Path, model: onnx.ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(set(versions)) > 1:
        raise ModelError(f"{path}: asks for opsets {min(versions)} and {max(versions)}: the file is damaged")
    if not versions and all(tabular.is_tabular(node) for node in model.graph.node):
        return OPSETS[-1]  # converters of trees alone leave out what they do not use
    if not versions or versions[0] not in OPSETS:
        have = versions[0] if versions else "none"
        raise ModelError(
            f"{path}: opset {have} is not supported (only {OPSETS[0]} to {OPSETS[-1]}): "
            "convert it with onnx.version_converter"
        )
    return int(versions[0])


def _array(proto: onnx.TensorProto, what: str) -> Array:
    if any(size < 0 for size in proto.dims):
        raise ModelError(f"{what} has dimensions {list(proto.dims)}: the file is damaged")
    try:
        data = np.asarray(numpy_helper.to_array(proto))
        # objects are lengths elsewhere in the importer; texts of any width are not padded to the longest
        return data.astype(np.dtypes.StringDType()) if data.dtype == object else data
    except (ValueError, TypeError, LookupError, OSError, MemoryError) as error:
        raise ModelError(f"{what} cannot be read ({_line(error)}): the file may be damaged") from None


def _node(proto: onnx.NodeProto) -> GraphNode:
    name = proto.name or (proto.output[0] if proto.output else "")
    if not all(isinstance(text, str) for text in (name, proto.op_type, proto.domain)):
        raise ModelError(
            f"a node's name or operator is not text ({name!r}, {proto.op_type!r}): the file is damaged"
        )
    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        try:
            value = onnx.helper.get_attribute_value(attribute)
        except ValueError as error:
            raise ModelError(f"attribute {attribute.name} of {name}: {_line(error)}") from None
        if isinstance(value, onnx.TensorProto):
            value = _array(value, f"attribute {attribute.name} of {name}")
        attributes[attribute.name] = value
    operator = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
    return GraphNode(operator, name, tuple(proto.input), tuple(proto.output), attributes)


def _needed(nodes: list[GraphNode], outputs: tuple[str, ...]) -> tuple[GraphNode, ...]:
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def _input(proto: onnx.ValueInfoProto) -> TensorInfo:
    """An input's type and shape; a symbolic or absent batch dimension is 1, any other has its name or is `length`."""
    tensor = proto.type.tensor_type
    if tensor.elem_type not in _TENSOR_TYPES:
        kinds = onnx.TensorProto.DataType
        kind = kinds.Name(tensor.elem_type) if tensor.elem_type in kinds.values() else tensor.elem_type
        raise ModelError(
            f"input {proto.name} is {kind}: only float32 and integers up to 64 bits are supported"
        )
    shape: list[int | str] = []
    for axis, dimension in enumerate(tensor.shape.dim):
        size = int(dimension.dim_value)
        shape.append(size if size > 0 else 1 if axis == 0 else dimension.dim_param or LENGTH)
    return TensorInfo(proto.name, tuple(shape), _TENSOR_TYPES[tensor.elem_type])
