"""LSTM, GRU and RNN, unrolled over their fixed length: one product for all inputs, then a few instructions a step.

The hidden state is quantised anew every step, row by row. Gates and biases are in ONNX's order: iofc for LSTM, zrh for
GRU.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle_node.importers.onnx.lowering import Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators.movement import concatenated, reshape_to, sliced
from oracle_node.importers.onnx.operators.product import multiplied
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape import functions
from oracle_node.tape.expression import Scalar
from oracle_node.tape.types import Array

Activation = Callable[[Scalar], Scalar]
_ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": functions.sigmoid,
    "tanh": functions.tanh,
    "relu": functions.relu,
}
_DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_LENGTHS, _HIDDEN, _CELL, _PEEPHOLES = 4, 5, 6, 7
"""Positions of the optional inputs."""
_MAX_STEPS = 1024


@dataclass(frozen=True)
class _Direction:
    """One direction's parameters, and the gates' share of all inputs: (T, batch, gates·hidden), biases included."""

    low: Lowering
    node: Node
    hidden: int
    driven: Tensor
    recurrence: Array
    bias: Array
    activations: list[Activation]

    def gate(self, x: Tensor, number: int, count: int = 1) -> Tensor:
        """The columns of one or more gates."""
        return sliced(self.low, x, x.rank - 1, number * self.hidden, count * self.hidden)

    def recurrent(self, h: Tensor, first: int = 0, count: int | None = None) -> Tensor:
        """h·Rᵀ of some gates, (batch, gates·hidden)."""
        rows = self.recurrence[first * self.hidden :]
        rows = rows if count is None else rows[: count * self.hidden]
        return multiplied(self.low, h, Tensor.constant(np.ascontiguousarray(rows.T)))

    def add(self, a: Tensor, b: Tensor, activation: Activation | None = None) -> Tensor:
        """activation(a + b)."""
        chosen = activation or (lambda v: v)
        return self.low.apply(lambda x, y: chosen(x + y), a, b)

    def written(self, x: Tensor) -> Tensor:
        """The state is read by the next step and the answer: it is computed once."""
        return self.low.materialise(x, range(x.rank))


def _lstm(d: _Direction, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """c' = f∘c + i∘g and o∘tanh(c'), where i, o, f and g are the activated gates."""
    f, f_g, f_h = d.activations
    product = d.recurrent(h)
    gates = d.written(d.add(d.gate(x, 0, 3), d.gate(product, 0, 3), f))
    own = d.written(d.add(d.gate(x, 3), d.gate(product, 3), f_g))
    cell = d.low.apply(
        lambda i, keep, g, before: keep * before + i * g, d.gate(gates, 0), d.gate(gates, 2), own, c
    )
    cell = d.written(cell)
    return d.written(d.low.apply(lambda o, v: o * f_h(v), d.gate(gates, 1), cell)), cell


def _gru(d: _Direction, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """(1 − z)∘g + z∘h; the reset gate comes before or after the product with the state."""
    f, g = d.activations
    bias = Tensor.constant(d.bias[None, 2 * d.hidden :])
    if d.node.get("linear_before_reset", 0):
        product = d.written(d.recurrent(h))
        gates = d.written(d.add(d.gate(x, 0, 2), d.gate(product, 0, 2), f))
        own = d.low.apply(lambda p, b, r: r * (p + b), d.gate(product, 2), bias, d.gate(gates, 1))
    else:
        gates = d.written(d.add(d.gate(x, 0, 2), d.recurrent(h, 0, 2), f))
        reset = d.written(d.low.apply(lambda r, v: r * v, d.gate(gates, 1), h))
        own = d.add(d.recurrent(reset, 2), bias)
    new = d.written(d.add(d.gate(x, 2), own, g))
    mixed = d.low.apply(lambda z, n, v: (1.0 - z) * n + z * v, d.gate(gates, 0), new, h)
    return d.written(mixed), c


def _rnn(d: _Direction, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """f(x + h·R)."""
    return d.written(d.add(x, d.recurrent(h), d.activations[0])), c


_STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def recurrent(low: Lowering, node: Node) -> list[Tensor]:
    """Y (T, directions, batch, hidden), the last h, and for LSTM the last c; `layout` 1 has the batch first."""
    x = low.settled(node.input(0))
    if x.rank != 3:
        node.refuse(f"its input {x.shape} is not (length, batch, features)")
    is_batch_first = bool(node.get("layout", 0))
    x = _swapped(low, x) if is_batch_first else x
    _require_supported(node, x)
    ways = {"forward": [1], "reverse": [-1], "bidirectional": [1, -1]}.get(node.get("direction", "forward"))
    if ways is None:
        node.refuse(f"its direction {node.get('direction', '')!r} is not known")
    outs, lasts, cells = [], [], []
    for number, way in enumerate(ways):
        direction = _direction(low, node, x, number, len(ways))
        states = [
            _initial(low, node, position, number, direction.hidden, x.shape[1], is_batch_first)
            for position in (_HIDDEN, _CELL)
        ]
        steps = list(_unrolled(low, node, direction, states, way))
        lasts.append(steps[-1][0])
        cells.append(steps[-1][1])
        rows = [h for h, _ in steps][::way]
        outs.append(concatenated(low, [reshape_to(low, h, (1, 1, *h.shape)) for h in rows], 0))
    results = [concatenated(low, outs, 1)]
    for parts in [lasts, cells] if node.operator == "LSTM" else [lasts]:
        results.append(concatenated(low, [reshape_to(low, p, (1, *p.shape)) for p in parts], 0))
    if not is_batch_first:
        return results
    y = low.settled(results[0])
    y = y.moved(
        tuple(y.shape[a] for a in (2, 0, 1, 3)),
        lambda d: d.transpose(2, 0, 1, 3),
        lambda v: v.transpose(2, 0, 1, 3),
    )
    return [y, *(_swapped(low, r) for r in results[1:])]


def _unrolled(
    low: Lowering, node: Node, direction: _Direction, states: list[Tensor], way: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Hidden state and cell after every step, in the order in which they are computed."""
    h, c = states
    length = direction.driven.shape[0]
    for step in range(length)[::way]:
        driven = sliced(low, direction.driven, 0, step, 1)
        h, c = _STEPS[node.operator](direction, reshape_to(low, driven, driven.shape[1:]), h, c)
        yield h, c


def _direction(low: Lowering, node: Node, x: Tensor, number: int, count: int) -> _Direction:
    weights, recurrence = node.constant(1, "weights"), node.constant(2, "recurrence weights")
    gates = _GATES[node.operator]
    if recurrence.ndim != 3 or weights.ndim != 3 or len(weights) != count:
        node.refuse(f"its weights {weights.shape} and {recurrence.shape} are not of {count} directions")
    hidden = recurrence.shape[2]
    if int(node.get("hidden_size", hidden)) != hidden:
        node.refuse(f"its hidden_size {node.get('hidden_size', 0)} is not the {hidden} of its weights")
    if weights.shape[1:] != (gates * hidden, x.shape[2]) or recurrence.shape[:2] != weights.shape[:2]:
        node.refuse(f"its weights {weights.shape} and {recurrence.shape} do not fit inputs {x.shape}")
    both = node.constant(3, "biases") if node.has(3) else np.zeros((count, 2 * gates * hidden), np.float32)
    if both.shape != (count, 2 * gates * hidden):
        node.refuse(f"its biases {both.shape} do not fit")
    ahead, behind = both[number, : gates * hidden], both[number, gates * hidden :]
    # GRU's reset gate may act on the state's own bias, so its last gate keeps that one apart
    joined = ahead.astype(np.float64) + np.where(
        (np.arange(gates * hidden) < 2 * hidden) | (node.operator != "GRU"), behind, 0
    )
    driven = multiplied(low, x, Tensor.constant(np.ascontiguousarray(weights[number].T)))
    driven = low.materialise(low.scaled(driven, 1.0, joined), range(3))
    activations = _activations(node, number, count)
    return _Direction(low, node, hidden, driven, recurrence[number], behind, activations)


def _activations(node: Node, number: int, count: int) -> list[Activation]:
    each = len(_DEFAULTS[node.operator])
    names = [
        v.decode() if isinstance(v, bytes) else str(v)
        for v in node.attributes.get("activations", _DEFAULTS[node.operator] * count)
    ]
    unknown = [name for name in names if name.lower() not in _ACTIVATIONS]
    if unknown or len(names) != each * count:
        node.refuse(f"its activations {', '.join(names)} are not {each * count} of Sigmoid, Tanh and Relu")
    return [_ACTIVATIONS[name.lower()] for name in names[each * number : each * (number + 1)]]


def _initial(
    low: Lowering, node: Node, position: int, number: int, hidden: int, batch: int, is_batch_first: bool
) -> Tensor:
    """A given first state of the direction, or zeros, (batch, hidden)."""
    if not node.has(position):
        low.require_room(batch, hidden)
        return Tensor.constant(np.zeros((batch, hidden), np.float32))
    given = node.input(position)
    given = _swapped(low, given) if is_batch_first else given
    if given.rank != 3 or given.shape[1:] != (batch, hidden):
        node.refuse(f"its first state {given.shape} does not fit")
    return reshape_to(low, sliced(low, given, 0, number, 1), (batch, hidden))


def _swapped(low: Lowering, x: Tensor) -> Tensor:
    x = low.settled(x)
    shape = (x.shape[1], x.shape[0], *x.shape[2:])
    return x.moved(shape, lambda d: d.swapaxes(0, 1), lambda v: v.moved(0, 1))


def _require_supported(node: Node, x: Tensor) -> None:
    length, batch = x.shape[:2]
    if not 1 <= length <= _MAX_STEPS:
        node.refuse(f"its length is {length}: 1 to {_MAX_STEPS} steps are unrolled")
    if node.has(_LENGTHS):
        lengths: Any = node.input(_LENGTHS).data
        if lengths is None or lengths.shape != (batch,) or (lengths != length).any():
            node.refuse("its sequence_lens are not all the whole length: pad the inputs instead")
    if node.has(_PEEPHOLES):
        node.refuse("its peepholes are not supported")
    if "clip" in node.attributes or node.get("input_forget", 0):
        node.refuse("clip and input_forget are not supported")


HANDLERS: dict[str, Handler] = dict.fromkeys(_STEPS, recurrent)
