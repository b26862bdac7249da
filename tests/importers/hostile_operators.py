"""ONNX files with one operator that asks for what no machine has, or makes no sense."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from tests.importers.hostile_onnx import HUGE, Nodes, W, dims, model

_BIG = np.asarray([10**6, 10**6])


def _attribute(operator: str, name: str, value: Any, constants: Mapping[str, Any] | None = None) -> bytes:
    return model([(operator, ["x", *(constants or {})], ["y"], {name: value})], constants)


def _then_added(operator: str, *shape: Any, **attributes: Any) -> bytes:
    """x + operator(constants…)."""
    constants = {f"c{i}": value for i, value in enumerate(shape)}
    nodes: Nodes = [(operator, list(constants), ["w"], attributes), ("Add", ["x", "w"], ["y"], {})]
    return model(nodes, constants, dims(1, 1))


def _of_x(operator: str, *constants: Any, skip: int = 0, **attributes: Any) -> bytes:
    """operator(x, constants…), `skip` optional inputs left out between them."""
    named = {f"c{i}": value for i, value in enumerate(constants)}
    return model([(operator, ["x", *[""] * skip, *named], ["y"], attributes)], named)


def _image(operator: str, *constants: Any, **attributes: Any) -> bytes:
    """The operator over an image (1, 1, 4, 4)."""
    named = {f"c{i}": value for i, value in enumerate(constants)}
    return model([(operator, ["x", *named], ["y"], attributes)], named, dims(1, 1, 4, 4))


def _tree(changes: Mapping[str, Any]) -> bytes:
    """One split and two leaves over x."""
    attributes = {
        "n_targets": 1,
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
        **changes,
    }
    given = {name: value for name, value in attributes.items() if value is not None}
    return model([("TreeEnsembleRegressor", ["x"], ["y"], given)], domain="ai.onnx.ml")


def _recurrent(operator: str, steps: int, sequences: int = 1, width: int = 4, **attributes: Any) -> bytes:
    """The operator over so many steps of a constant width."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator] * width
    shapes = {"w": (1, gates, 2), "r": (1, gates, width)}
    nodes: Nodes = [
        ("Expand", ["x", "s"], ["e"], {}),
        (operator, ["e", "w", "r"], ["y"], {"hidden_size": width} | attributes),
    ]
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    return model(nodes, {"s": np.asarray([steps, sequences, 2]), **weights}, dims(1, 1, 1))


def large_inside() -> bytes:
    """A mean of 10^11 elements: no part of the file is wrong."""
    nodes: Nodes = [
        ("Expand", ["x", "s"], ["e"], {}),
        ("Relu", ["e"], ["f"], {}),
        ("ReduceMean", ["f"], ["y"], {"axes": [0]}),
    ]
    return model(nodes, {"s": np.asarray([10**5, 10**6])}, dims(1, 1))


FILES: dict[str, Callable[[], bytes]] = {
    "ConstantOfShape of 10^12": lambda: _then_added("ConstantOfShape", _BIG),
    "ConstantOfShape below zero": lambda: _then_added("ConstantOfShape", np.asarray([-1, 3])),
    "ConstantOfShape of 100 axes": lambda: _then_added("ConstantOfShape", np.ones(100, np.int64)),
    "Expand to 10^12": lambda: _then_added("Expand", np.ones(2, np.float32)[:, None], np.asarray([2, HUGE])),
    "Expand, transposed": lambda: model(
        [("Expand", ["a", "s"], ["b"], {}), ("Neg", ["b"], ["w"], {}), ("Add", ["x", "w"], ["y"], {})],
        {"a": np.asarray([[1.0], [2.0]], np.float32), "s": np.asarray([2, HUGE])},
    ),
    "Expand of the input to 10^11": lambda: model(
        [("Expand", ["x", "s"], ["y"], {})], {"s": np.asarray([10**5, 10**6])}, dims(1, 1)
    ),
    "Expand of the input to 10^12": lambda: _of_x("Expand", np.asarray([10**6, 10**6, 2, 3])),
    "Tile to 10^12": lambda: _then_added("Tile", W, _BIG),
    "Tile of the input to 10^18": lambda: _of_x("Tile", np.asarray([10**9, 10**9])),
    "Range of 10^12": lambda: _then_added(
        "Range", np.asarray(0.0, np.float32), np.float32(HUGE), np.float32(1)
    ),
    "Range without an end": lambda: _then_added("Range", np.float32(0), np.float32(np.inf), np.float32(1)),
    "Range of not a number": lambda: _then_added("Range", np.float32(np.nan), np.float32(1), np.float32(1)),
    "OneHot of 10^12": lambda: model(
        [("Cast", ["x"], ["i"], {"to": 7}), ("OneHot", ["i", "d", "v"], ["y"], {})],
        {"d": np.asarray(HUGE), "v": np.asarray([0, 1], np.float32)},
    ),
    "Pad by 10^12": lambda: _of_x("Pad", np.asarray([0, 0, 0, HUGE])),
    "Pad of a constant by 10^12": lambda: _then_added("Pad", W, np.asarray([0, 0, 0, HUGE])),
    "Pad by -10^12": lambda: _of_x("Pad", np.asarray([0, 0, 0, -HUGE])),
    "Slice of 10^12": lambda: model(
        [
            ("ConstantOfShape", ["s"], ["c"], {}),
            ("Slice", ["c", "b", "e"], ["w"], {}),
            ("Add", ["x", "w"], ["y"], {}),
        ],
        {"s": np.asarray([HUGE]), "b": np.asarray([1]), "e": np.asarray([HUGE])},
    ),
    "Gather of 10^12": lambda: model(
        [
            ("ConstantOfShape", ["s"], ["i"], {"value": numpy_helper.from_array(np.zeros(1, np.int64))}),
            ("Gather", ["x", "i"], ["y"], {}),
        ],
        {"s": _BIG},
    ),
    "Resize by 10^9": lambda: _image(
        "Resize", np.zeros(0, np.float32), np.asarray([1, 1, 1e9, 1e9], np.float32)
    ),
    "Resize by not a number": lambda: _image(
        "Resize", np.zeros(0, np.float32), np.full(4, np.nan, np.float32)
    ),
    "Unsqueeze of 10^6 axes": lambda: _of_x("Unsqueeze", np.arange(10**6)),
    "Reshape of two open axes": lambda: _of_x("Reshape", np.asarray([-1, -1])),
    "Reshape below zero": lambda: _of_x("Reshape", np.asarray([-2, -3])),
    "Split below zero": lambda: _of_x("Split", np.asarray([-1, 3])),
    "Split into nothing": lambda: _of_x("Split", np.zeros(0, np.int64)),
    "Transpose by axes that are not": lambda: _attribute("Transpose", "perm", [0, 7]),
    "Transpose by one axis twice": lambda: _attribute("Transpose", "perm", [0, 0]),
    "Transpose by text": lambda: _attribute("Transpose", "perm", "swap"),
    "Concat of nothing": lambda: model([("Concat", [], ["c"], {"axis": 0}), ("Add", ["x", "c"], ["y"], {})]),
    "Softmax of a text axis": lambda: _attribute("Softmax", "axis", "last"),
    "Softmax of a list of axes": lambda: _attribute("Softmax", "axis", [1, 0]),
    "Flatten beyond the axes": lambda: _attribute("Flatten", "axis", 10**12),
    "Cast to an unknown type": lambda: _attribute("Cast", "to", 9999),
    "Cast to text": lambda: _attribute("Cast", "to", "float"),
    "Gemm of a graph": lambda: _attribute("LeakyRelu", "alpha", helper.make_graph([], "g", [], [])),
    "LeakyRelu by not a number": lambda: _attribute("LeakyRelu", "alpha", float("nan")),
    "Conv of no groups": lambda: _image("Conv", np.ones((1, 1, 3, 3), np.float32), group=0),
    "Conv of strides of zero": lambda: _image("Conv", np.ones((1, 1, 3, 3), np.float32), strides=[0, 0]),
    "Conv of pads below zero": lambda: _image(
        "Conv", np.ones((1, 1, 3, 3), np.float32), pads=[-1, -1, -1, -1]
    ),
    "Conv of pads of 10^12": lambda: _image(
        "Conv", np.ones((1, 1, 3, 3), np.float32), pads=[0, 0, HUGE, HUGE]
    ),
    "Conv of an empty kernel": lambda: _image("Conv", np.ones((1, 1, 0, 0), np.float32)),
    "MaxPool of windows of 10^9": lambda: _image("MaxPool", kernel_shape=[10**9, 10**9], pads=[10**9] * 4),
    "MaxPool with pads of 10^12": lambda: _image("MaxPool", kernel_shape=[2, 2], pads=[0, 0, HUGE, HUGE]),
    "AveragePool of windows of 10^6": lambda: _image(
        "AveragePool", kernel_shape=[10**6, 1], pads=[10**6, 0, 10**6, 0]
    ),
    "AveragePool with pads of 10^9": lambda: _image(
        "AveragePool", kernel_shape=[2, 2], pads=[0, 0, 10**9, 10**9]
    ),
    "AveragePool of a window of zero": lambda: _image("AveragePool", kernel_shape=[0, 0]),
    "QuantizeLinear by zero": lambda: _of_x("QuantizeLinear", np.float32(0), np.uint8(0)),
    "QuantizeLinear by not a number": lambda: _of_x("QuantizeLinear", np.float32(np.nan), np.uint8(0)),
    "Pow of 10^30": lambda: _of_x("Pow", np.float32(1e30)),
    "Mod by zero": lambda: model(
        [
            ("Cast", ["x"], ["i"], {"to": 6}),
            ("Mod", ["i", "z"], ["m"], {}),
            ("Cast", ["m"], ["y"], {"to": 1}),
        ],
        {"z": np.int32(0)},
    ),
    "Clip of bounds that cross": lambda: _of_x("Clip", np.float32(np.nan), np.float32(-np.inf)),
    "DepthToSpace of blocks of 10^9": lambda: _image("DepthToSpace", blocksize=10**9),
    "Trilu of 10^12": lambda: model(
        [("Expand", ["x", "s"], ["e"], {}), ("Trilu", ["e"], ["y"], {})], {"s": _BIG}, dims(1, 1)
    ),
    "LayerNormalization of another width": lambda: model(
        [("LayerNormalization", ["x", "s"], ["y"], {"axis": -1})], {"s": np.ones(3, np.float32)}, dims(2, 1)
    ),
    "CumSum of 10^9": lambda: model(
        [("Expand", ["x", "s"], ["e"], {}), ("CumSum", ["e", "a"], ["y"], {})],
        {"s": np.asarray([1, 10**9]), "a": np.asarray(1)},
        dims(1, 1),
    ),
    "a product of 10^18": lambda: model(
        [
            ("Expand", ["x", "s"], ["e"], {}),
            ("Transpose", ["e"], ["t"], {}),
            ("MatMul", ["e", "t"], ["y"], {}),
        ],
        {"s": np.asarray([10**9, 2])},
        dims(1, 1),
    ),
    "ReduceProd of 10^9": lambda: model(
        [("Expand", ["x", "s"], ["e"], {}), ("ReduceProd", ["e"], ["y"], {"axes": [1]})],
        {"s": np.asarray([1, 10**9])},
        dims(1, 1),
    ),
    "ArgMax of 10^12": lambda: model(
        [("Expand", ["x", "s"], ["e"], {}), ("ArgMax", ["e"], ["y"], {"axis": 1})],
        {"s": _BIG},
        dims(1, 1),
    ),
    "Hardmax of 10^12": lambda: model(
        [("Expand", ["x", "s"], ["e"], {}), ("Hardmax", ["e"], ["y"], {"axis": 1})],
        {"s": np.asarray([1, HUGE])},
        dims(1, 1),
    ),
    "AveragePool of 10^9 windows": lambda: model(
        [
            ("Expand", ["x", "s"], ["e"], {}),
            ("AveragePool", ["e"], ["y"], {"kernel_shape": [3], "pads": [1, 1]}),
        ],
        {"s": np.asarray([1, 1, 10**9])},
        dims(1, 1),
    ),
    "factors of 10^12": lambda: model(
        [("Mul", ["x", "a"], ["p"], {}), ("Mul", ["p", "b"], ["y"], {})],
        {"a": np.ones((10**6, 1), np.float32), "b": np.full((1, 10**6), 2, np.float32)},
        dims(1, 1),
    ),
    "constants that double 40 times": lambda: model(
        [
            *[("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], {"axis": 0}) for i in range(40)],
            ("Add", ["x", "c40"], ["y"], {}),
        ],
        {"c0": np.ones((1024, 1), np.float32)},
        dims(1, 1),
    ),
    "constants made a thousand times": lambda: model(
        [
            *[("ConstantOfShape", ["s"], [f"c{i}"], {}) for i in range(1000)],
            *[
                ("Add", [f"y{i}" if i else "x", f"c{i}"], [f"y{i + 1}" if i < 999 else "y"], {})
                for i in range(1000)
            ],
        ],
        {"s": np.asarray([1 << 12, 1 << 12])},
        dims(1, 1),
    ),
    "a shape of 10^6 numbers": lambda: _of_x("Reshape", np.ones(10**6, np.int64)),
    "a shape of fractions": lambda: _of_x("Reshape", np.asarray([1.5, 4.0], np.float32)),
    "a tree that leads back": lambda: _tree({"nodes_truenodeids": [0, 0, 0]}),
    "a tree of node 10^15": lambda: _tree(
        {"nodes_nodeids": [0, 10**15, 2], "nodes_truenodeids": [10**15, 0, 0]}
    ),
    "a tree of 10^12 targets": lambda: _tree({"n_targets": HUGE}),
    "a tree of feature 10^12": lambda: _tree({"nodes_featureids": [HUGE, 0, 0]}),
    "a tree of no nodes": lambda: _tree(dict.fromkeys(("nodes_treeids", "nodes_nodeids", "nodes_modes"))),
    "a tree of a mode that is no text": lambda: _tree({"nodes_modes": [b"\xff\xfe", b"LEAF", b"LEAF"]}),
    "LSTM of 10^9 steps": lambda: _recurrent("LSTM", 10**9),
    "RNN of 10^12 sequences": lambda: _recurrent("RNN", 1, HUGE),
    "GRU of no width": lambda: _recurrent("GRU", 3, width=0),
    "LSTM of a width that its weights have not": lambda: _recurrent("LSTM", 3, hidden_size=HUGE),
    "LSTM of an activation that is no text": lambda: _recurrent("LSTM", 3, activations=[b"\xff"] * 3),
    "LSTM of a clip that is not a number": lambda: _recurrent("LSTM", 3, clip=float("nan")),
    "TopK of 10^12": lambda: _of_x("TopK", np.asarray([HUGE])),
    "TopK below zero": lambda: _of_x("TopK", np.asarray([-1])),
}
