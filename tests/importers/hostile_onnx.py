"""ONNX files that no honest exporter writes: each builder returns the bytes of a file, or makes its own beside it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HUGE = 10**12
X = (2, 3)
Nodes = Sequence[tuple[str, Sequence[str], Sequence[str], Mapping[str, Any]]]
Edit = Callable[[onnx.ModelProto], object]


def model(
    nodes: Nodes, constants: Mapping[str, Any] | None = None, edit: Edit | None = None, domain: str = ""
) -> bytes:
    """A network from x (2, 3) f32 to y, after `edit` has had it."""
    made = [
        helper.make_node(operator, reads, writes, name=f"{operator.lower()}{i}", domain=domain, **attributes)
        for i, (operator, reads, writes, attributes) in enumerate(nodes)
    ]
    graph = helper.make_graph(
        made,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if edit is not None:
        edit(proto)
    return bytes(proto.SerializeToString())


RELU: Nodes = [("Relu", ["x"], ["y"], {})]
ADD: Nodes = [("Add", ["x", "w"], ["y"], {})]
W = np.ones(X, np.float32)


def _set(path: str, value: Any) -> Edit:
    """Assign a field, such as `graph.input.0.type.tensor_type.elem_type`."""
    *way, last = path.split(".")

    def edit(proto: Any) -> None:
        for step in way:
            proto = proto[int(step)] if step.isdigit() else getattr(proto, step)
        setattr(proto, last, value)

    return edit


def dims(*dims: int) -> Edit:
    """Input dimensions."""

    def edit(proto: onnx.ModelProto) -> None:
        shape = proto.graph.input[0].type.tensor_type.shape
        del shape.dim[:]
        for dim in dims:
            shape.dim.add().dim_value = dim

    return edit


def _weight(dims: Sequence[int], raw: bytes | None = None, kind: int = TensorProto.FLOAT) -> bytes:
    """x + w, w of those dimensions with that raw data."""

    def edit(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[0]
        tensor.Clear()
        tensor.name, tensor.data_type = "w", kind
        tensor.dims.extend(dims)
        if raw is not None:
            tensor.raw_data = raw

    return model(ADD, {"w": W}, edit)


def _nested(depth: int) -> bytes:
    graph = helper.make_graph([], "innermost", [], [])
    for _ in range(depth):
        node = helper.make_node(
            "If", ["x"], ["y"], then_branch=graph, else_branch=helper.make_graph([], "", [], [])
        )
        graph = helper.make_graph([node], "g", [], [])
    return model([("If", ["x"], ["y"], {"then_branch": graph})])


def _repeated(count: int) -> bytes:
    """So many nodes, written as protobuf fields: making the messages would take longer than the check."""
    node = helper.make_node("Relu", ["x"], ["y"]).SerializeToString()
    whole = model(RELU)
    proto = onnx.load_model_from_string(whole)
    graph = proto.graph.SerializeToString() + (b"\x0a" + bytes([len(node)]) + node) * count
    proto.ClearField("graph")
    size, length = len(graph), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes(proto.SerializeToString()) + b"\x3a" + length + bytes([size]) + graph


def _twice(field: str) -> Edit:
    def edit(proto: onnx.ModelProto) -> None:
        items = getattr(proto.graph, field)
        items.add().CopyFrom(items[0])

    return edit


def _also_reads(name: str) -> Edit:
    return lambda proto: proto.graph.node[0].input.append(name)


def _external(**entries: str) -> bytes:
    """x + w, w in another file."""

    def edit(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)

    return model(ADD, {"w": W}, edit)


ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\u202e\x9b31m"

FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "another kind": lambda: b"\x89PNG\r\n\x1a\n" * 40,
    "text": lambda: b'{"graph": {"node": []}}\n',
    "cut short": lambda: model(ADD, {"w": W})[:-40],
    "a length beyond the file": lambda: b"\x08\x08\x3a\xff\xff\xff\xff\x07" + model(RELU),
    "nested 30 deep": lambda: _nested(30),
    "nested 2000 deep": lambda: b"".join([b"\x3a\x80\x80\x01"] * 2000),
    "a million nodes": lambda: _repeated(10**6),
    "a cycle": lambda: model(
        [("Add", ["x", "b"], ["a"], {}), ("Relu", ["a"], ["b"], {}), ("Relu", ["b"], ["y"], {})]
    ),
    "a node that reads itself": lambda: model([("Add", ["x", "y"], ["y"], {})]),
    "two nodes of one result": lambda: model([*RELU, ("Neg", ["x"], ["y"], {})]),
    "a node of one result twice": lambda: model([("Split", ["x"], ["y", "y"], {"axis": 0})]),
    "a result that is a constant too": lambda: model([*ADD, ("Relu", ["x"], ["w"], {})], {"w": W}),
    "a result that is an input too": lambda: model([("Relu", ["x"], ["x"], {}), *RELU]),
    "two constants of one name": lambda: model(ADD, {"w": W}, _twice("initializer")),
    "two inputs of one name": lambda: model(RELU, None, _twice("input")),
    "two outputs of one name": lambda: model(RELU, None, _twice("output")),
    "an output of nothing": lambda: model(RELU, None, _set("graph.output.0.name", "nowhere")),
    "opset 99": lambda: model(RELU, None, _set("opset_import.0.version", 99)),
    "opset below zero": lambda: model(RELU, None, _set("opset_import.0.version", -(2**63))),
    "no opset": lambda: model(RELU, None, lambda p: p.ClearField("opset_import")),
    "two opsets": lambda: model(RELU, None, lambda p: p.opset_import.add(domain="", version=99)),
    "an input of an unknown type": lambda: model(
        RELU, None, _set("graph.input.0.type.tensor_type.elem_type", 999)
    ),
    "an input without a type": lambda: model(RELU, None, lambda p: p.graph.input[0].ClearField("type")),
    "an input of 2^124 elements": lambda: model(RELU, None, dims(2**62, 2**62)),
    "an input of 10^12 elements": lambda: model(RELU, None, dims(10**6, 10**6)),
    "an input of 10^11 elements": lambda: model(RELU, None, dims(1, 10**11)),
    "an input below zero": lambda: model(RELU, None, dims(2, -3)),
    "an input of 1000 axes": lambda: model(RELU, None, dims(*[1] * 1000)),
    "a constant below zero": lambda: _weight([-2, -3], W.tobytes()),
    "a constant of 10^12 elements": lambda: _weight([10**6, 10**6], W.tobytes()),
    "a constant of 2^124 elements": lambda: _weight([2**62, 2**62]),
    "a constant of too few bytes": lambda: _weight(X, W.tobytes()[:-1]),
    "a constant of too many bytes": lambda: _weight(X, W.tobytes() + b"\0\0\0\0"),
    "a constant without data": lambda: _weight(X),
    "a constant of an unknown type": lambda: _weight(X, W.tobytes(), 77),
    "a constant of no type": lambda: _weight(X, W.tobytes(), 0),
    "a constant of text": lambda: _weight([0], None, TensorProto.STRING),
    "a constant that is not a number": lambda: model(ADD, {"w": W * np.float32(np.nan)}),
    "a constant that is infinite": lambda: model(
        [("MatMul", ["x", "w"], ["y"], {})], {"w": W.T * np.float32(np.inf)}
    ),
    "an attribute without a value": lambda: model(
        [("Constant", [], ["w"], {"value": numpy_helper.from_array(W)}), *ADD],
        None,
        lambda p: p.graph.node[0].attribute[0].ClearField("t"),
    ),
    "an attribute of no type": lambda: model(
        [("Softmax", ["x"], ["y"], {"axis": 1})], None, _set("graph.node.0.attribute.0.type", 0)
    ),
    "an attribute of an unknown type": lambda: model([("Softmax", ["x"], ["y"], {"axis": 1})]).replace(
        b"\x18\x01\xa0\x01\x02", b"\x18\x01\xa0\x01\x63"
    ),
    "a node without results": lambda: model(RELU, None, lambda p: p.graph.node[0].ClearField("output")),
    "a node without inputs": lambda: model(RELU, None, lambda p: p.graph.node[0].ClearField("input")),
    "a node of too many inputs": lambda: model(RELU, None, _also_reads("nowhere")),
    "a node of too many results": lambda: model([("Relu", ["x"], ["z", "y"], {})]),
    "a node without an operator": lambda: model(RELU, None, _set("graph.node.0.op_type", "")),
    "an operator that steers the terminal": lambda: model(RELU, None, _set("graph.node.0.op_type", ESCAPES)),
    "a name that steers the terminal": lambda: model(
        [("Softmax", ["x"], ["y"], {"axis": 9})], None, _set("graph.node.0.name", f"a\n{ESCAPES}")
    ),
    "an output that steers the terminal": lambda: model(RELU, None, _set("graph.output.0.name", ESCAPES)),
    "a name of a million letters": lambda: model(RELU, None, _set("graph.node.0.op_type", "a" * 10**6)),
    "a thousand names of outputs": lambda: model(
        RELU, None, lambda p: [p.graph.output.add(name=f"{'o' * 1000}{i}") for i in range(1000)]
    ),
    "weights outside, a folder up": lambda: _external(location="../secret.bin"),
    "weights outside, an absolute path": lambda: _external(location="/etc/passwd"),
    "weights outside, a link out of the folder": lambda: _external(location="link.bin"),
    "weights outside, through a linked folder": lambda: _external(location="folder/secret.bin"),
    "weights outside, absent": lambda: _external(location="absent.bin"),
    "weights outside, no name": lambda: _external(),
    "weights outside, a folder": lambda: _external(location="."),
    "weights outside, a pipe": lambda: _external(location="pipe"),
    "weights outside, too short": lambda: _external(location="short.bin"),
    "weights outside, a start beyond the file": lambda: _external(location="short.bin", offset=str(HUGE)),
    "weights outside, a start below zero": lambda: _external(location="short.bin", offset="-8"),
    "weights outside, a start that is no number": lambda: _external(location="short.bin", offset="ten"),
    "weights outside, 10^12 long": lambda: _external(location="short.bin", length=str(HUGE)),
    "weights outside, a length below zero": lambda: _external(location="short.bin", length="-1"),
}


def prepare(directory: Path) -> None:
    """What some files point to: a pipe, a short file, links to a secret out of the folder."""
    import os

    outside = directory.parent / "outside"
    outside.mkdir(exist_ok=True)
    for secret in (outside / "secret.bin", directory.parent / "secret.bin"):
        secret.write_bytes(W.tobytes())
    (directory / "short.bin").write_bytes(W.tobytes()[:8])
    (directory / "link.bin").symlink_to(outside / "secret.bin")
    (directory / "folder").symlink_to(outside)
    os.mkfifo(directory / "pipe")
