"""LSTM, GRU and RNN against ONNX Runtime float32, as PyTorch and Keras write them; and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.executors.reference import ReferenceExecutor
from oracle_node.importers.onnx import import_onnx

Compare = Callable[..., float]
LENGTH, BATCH, FEATURES, HIDDEN = 9, 2, 5, 8
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _parameters(
    rng: np.random.Generator, operator: str, directions: int, bias: bool = True
) -> dict[str, Any]:
    gates = GATES[operator] * HIDDEN
    found = {
        "w": rng.normal(size=(directions, gates, FEATURES)) / 2,
        "r": rng.normal(size=(directions, gates, HIDDEN)) / 3,
        "b": rng.normal(size=(directions, 2 * gates)) * bias,
        "h0": rng.normal(size=(directions, BATCH, HIDDEN)),
        "c0": rng.normal(size=(directions, BATCH, HIDDEN)),
    }
    return {name: value.astype(np.float32) for name, value in found.items()}


def _x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(LENGTH, BATCH, FEATURES)).astype(np.float32)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {}), ("RNN", {"relu": True})],
    ids=["lstm", "gru", "gru-torch", "rnn", "rnn-relu"],
)
@pytest.mark.parametrize("result", range(3))
def test_recurrent__every_direction_and_result__matches_float32(
    operator: str,
    attributes: dict[str, Any],
    direction: str,
    result: int,
    compare: Compare,
    rng: np.random.Generator,
) -> None:
    if result == 2 and operator != "LSTM":
        pytest.skip("only LSTM has a cell")
    count = 2 if direction == "bidirectional" else 1
    attributes = dict(attributes)
    if attributes.pop("relu", False):
        attributes["activations"] = ["Relu"] * count
    outputs = ["" if n != result else "y" for n in range(result + 1)]
    inputs = ["x", "w", "r", "b", "", "h0", *(["c0"] if operator == "LSTM" else [])]
    node = (operator, inputs, outputs, {"hidden_size": HIDDEN, "direction": direction, **attributes})
    assert compare([node], _x(rng), _parameters(rng, operator, count)) < 3e-3


def test_lstm__of_one_direction_as_keras_has_it__matches_float32(
    compare: Compare, rng: np.random.Generator
) -> None:
    """Batch first through transposes, no first state, the last output only."""
    parameters = _parameters(rng, "LSTM", 1)
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
        ("LSTM", ["t", "w", "r", "b"], ["ys"], {"hidden_size": HIDDEN}),
        ("Squeeze", ["ys", "one"], ["s"], {}),
        ("Gather", ["s", "last"], ["y"], {"axis": 0}),
    ]
    constants = {
        **{name: parameters[name] for name in "wrb"},
        "one": np.int64([1]),
        "last": np.asarray(LENGTH - 1),
    }
    assert compare(nodes, np.swapaxes(_x(rng), 0, 1).copy(), constants) < 3e-3


@pytest.mark.parametrize("operator", ["LSTM", "GRU"])
def test_recurrent__by_both_executors__has_the_same_bits(
    operator: str, network: Callable[..., Path], rng: np.random.Generator
) -> None:
    x = _x(rng)
    constants = {name: value for name, value in _parameters(rng, operator, 2).items() if name in "wrb"}
    node = (operator, ["x", "w", "r", "b"], ["y"], {"hidden_size": HIDDEN, "direction": "bidirectional"})
    tape = import_onnx(network([node], {"x": x}, {"y": np.float32}, constants)).tape
    size = tape.sources[1].max_elements
    sources = (x.reshape(-1), np.zeros(size, np.float32), np.zeros(0, np.uint8))
    symbols = tape.symbols((x.size, size, 0))
    everything = range(len(tape.instructions))
    expected = ReferenceExecutor(tape).run(symbols, sources, everything)
    found = OnnxExecutor(tape).run(symbols, sources, everything)
    assert all(expected[i].tobytes() == found[i].tobytes() for i in everything)


@pytest.mark.parametrize(
    ("inputs", "attributes", "words"),
    [
        (["x", "w", "r", "b", "short"], {}, "sequence_lens are not all the whole length"),
        (["x", "w", "r", "b", "", "", "", "p"], {}, "peepholes"),
        (["x", "w", "r", "b"], {"clip": 1.0}, "clip"),
        (["x", "w", "r", "b"], {"activations": ["Sigmoid", "Tanh", "Affine"]}, "Affine"),
        (["x", "w", "r", "b"], {"direction": "bidirectional"}, "not of 2 directions"),
        (["x", "r", "r", "b"], {}, "do not fit inputs"),
        (["x", "w", "r", "h0"], {}, "biases"),
        (["x", "w", "x"], {}, "computed by the network"),
    ],
)
def test_lstm__that_is_not_supported__is_refused_with_the_reason(
    inputs: list[str],
    attributes: dict[str, Any],
    words: str,
    network: Callable[..., Path],
    rng: np.random.Generator,
) -> None:
    constants = {**_parameters(rng, "LSTM", 1), "short": np.int32([LENGTH, LENGTH - 1])}
    constants["p"] = np.zeros((1, 3 * HIDDEN), np.float32)
    node = ("LSTM", inputs, ["y"], {"hidden_size": HIDDEN, **attributes})
    with pytest.raises(ModelError, match=words):
        import_onnx(network([node], {"x": _x(rng)}, {"y": np.float32}, constants))


def test_lstm__with_all_lengths_whole__is_as_without(compare: Compare, rng: np.random.Generator) -> None:
    constants = {**_parameters(rng, "LSTM", 1), "all": np.int32([LENGTH] * BATCH)}
    node = ("LSTM", ["x", "w", "r", "b", "all"], ["y"], {"hidden_size": HIDDEN})
    assert compare([node], _x(rng), constants) < 3e-3
