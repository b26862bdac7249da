"""MatMul and Gemm: quantised row by row, against constant weights or other activations."""

from dataclasses import dataclass

import numpy as np

from oracle_node.importers.onnx.extents import Extents, broadcast_extents, text
from oracle_node.importers.onnx.lowering import F32, Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.products import activations, contract, quantised_weights
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.types import Array
from oracle_node.tape.view import View


@dataclass(frozen=True)
class _Side:
    """One factor as integer rows (…, rows, K); x ≈ q·scale·factor, where either may be absent (1 or None)."""

    q: View
    scale: Array
    factor: Tensor | None


def matmul(low: Lowering, node: Node) -> list[Tensor]:
    """numpy's matmul."""
    a, b = node.input(0), node.input(1)
    shape = result_shape(node, a, b)
    a = reshaped(low, a, (1, *a.extents)) if a.rank == 1 else a
    b = reshaped(low, b, (*b.extents, 1)) if b.rank == 1 else b
    return [reshaped(low, multiplied(low, a, b), shape)]


def gemm(low: Lowering, node: Node) -> list[Tensor]:
    """alpha·A·B + beta·C, with A and B possibly transposed."""
    a, b = node.input(0), node.input(1)
    if a.rank != 2 or b.rank != 2:
        node.refuse(f"its factors are {a.shape} and {b.shape}, not matrices")
    a, b = (transposed(low, t) if node.get(f"trans{n}", 0) else t for t, n in ((a, "A"), (b, "B")))
    result = low.scaled(multiplied(low, a, b), float(node.get("alpha", 1.0)))
    if not node.has(2):
        return [result]
    c, beta = node.input(2), float(node.get("beta", 1.0))
    if c.data is not None:
        return [low.scaled(result, 1.0, c.data.astype(np.float64) * beta)]
    return [low.apply(lambda x, y: x + y, result, low.scaled(c, beta))]


def multiplied(low: Lowering, a: Tensor, b: Tensor) -> Tensor:
    """(…, M, K) × (…, K, N) → (…, M, N)."""
    left, right = _rows(low, a), _columns(low, b)
    acc = contract(low, left.q.unsqueeze(-2), right.q.unsqueeze(-3), 1)
    result = Tensor.of_view(acc, low.b.interval(acc), F32)
    factors = [side.factor for side in (left, right) if side.factor is not None]
    if not factors:
        return low.scaled(result, left.scale * right.scale)
    factor = factors[0] if len(factors) == 1 else low.apply(lambda s, t: s * t, *factors)
    return low.rescaled(result, left.scale * right.scale, factor)


def _rows(low: Lowering, a: Tensor) -> _Side:
    if a.data is not None:
        weights = quantised_weights(low, a.data.reshape(-1, a.shape[-1]))
        view = low.b.const(weights.q.reshape(a.shape))
        return _Side(view, weights.scale.reshape(*a.shape[:-1], 1), None)
    single = all(e == 1 for e in a.extents[:-1])
    parts = activations(low, a, None if single else [a.rank - 1])
    return _Side(low.contiguous(parts.q), np.asarray(1.0 / parts.limit), parts.scale)


def _columns(low: Lowering, b: Tensor) -> _Side:
    """The columns of b as rows (…, N, K)."""
    if b.data is not None:
        rows = np.ascontiguousarray(np.swapaxes(b.data, -1, -2))
        weights = quantised_weights(low, rows.reshape(-1, rows.shape[-1]))
        scale = weights.scale.reshape(*rows.shape[:-2], 1, rows.shape[-2])
        return _Side(low.b.const(weights.q.reshape(rows.shape)), scale, None)
    side = _rows(low, transposed(low, b))
    factor = side.factor if side.factor is None or side.factor.rank < 2 else transposed(low, side.factor)
    return _Side(side.q, side.scale, factor)


def transposed(low: Lowering, x: Tensor) -> Tensor:
    """The last two axes exchanged."""
    x = low.settled(x)
    axes = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    shape = tuple(x.extents[a] for a in axes)
    return x.moved(shape, lambda d: d.transpose(axes), lambda v: v.transpose(*axes))


def reshaped(low: Lowering, x: Tensor, shape: Extents) -> Tensor:
    """x in another shape of as many elements."""
    if x.extents == shape:
        return x
    return (x if x.is_constant else low.frozen(x)).reshaped(shape)


def result_shape(node: Node, a: Tensor, b: Tensor) -> Extents:
    """The shape of numpy's matmul of a and b."""
    if not a.rank or not b.rank or a.extents[-1] != b.extents[-2 if b.rank > 1 else 0]:
        node.refuse(f"shapes {text(a.extents)} and {text(b.extents)} do not fit")
    batch = broadcast_extents([a.extents[:-2], b.extents[:-2]])
    rows, columns = a.extents[-2:-1] if a.rank > 1 else (), b.extents[-1:] if b.rank > 1 else ()
    return (*batch, *rows, *columns)


HANDLERS: dict[str, Handler] = {"MatMul": matmul, "Gemm": gemm}
