"""A decoder of RMS norms, grouped-query attention and a gated SiLU as a tape: one pass over all tokens, exact.

Every tensor of a layer has the tokens as its first axis and row t depends on tokens up to t alone; the causal mask is
written so that `tape.causality` can see it. Vectors are quantised a row (a head) at a time, relative to their own
largest element, so that no token's scale hangs on a later one. Not here: text (`text`), the file (`file`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from oracle_node.importers.gguf.hyperparameters import Hyperparameters
from oracle_node.importers.gguf.reductions import (
    ACTIVATION_LIMIT,
    HEAD_LIMIT,
    Linear,
    argmax,
    largest,
    product,
    quantized_rows,
)
from oracle_node.importers.gguf.rope import rotary_tables
from oracle_node.tape.affine import Affine
from oracle_node.tape.blocks import SMALLEST_SCALE
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.expression import Scalar
from oracle_node.tape.functions import exp, silu
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.types import Array, DType
from oracle_node.tape.view import View

_SUM_LIMIT = 16383
"""The mean square of a row is taken of 15-bit integers."""
_ONE = float(1 << 20)
"""Attention weights are integers relative to the largest of their row, which is this."""
_MASKED = -1e30


@dataclass(frozen=True)
class Matrix:
    """Integers (rows, columns) with one scale a row: w ≈ q·scale."""

    q: View
    scale: View


Parameters = Callable[[str], Matrix]
"""A matrix of the model by its name in the file."""
Vectors = Callable[[str], Array]
"""A vector of the model, f32, by its name in the file."""


class Transformer:
    """Emits the layers into a builder; `length` is the number of tokens, at most `context`."""

    def __init__(
        self,
        b: TapeBuilder,
        h: Hyperparameters,
        matrix: Parameters,
        vector: Vectors,
        length: Affine,
        context: int,
    ) -> None:
        self._b, self._h, self._matrix, self._vector = b, h, matrix, vector
        self._length = length
        cos, sin = rotary_tables(h.rope, context)
        with b.scope("rotary"):
            self._cos = b.const(cos).slice(0, 0, length)
            self._sin = b.const(np.stack([-sin, sin], axis=-1)).slice(0, 0, length)
            counting = b.const(np.arange(context, dtype=np.int32)).slice(0, 0, length)
        # a row's own token, and the earlier one it looks at: axes (token, kv head, head of its group, earlier token)
        self._now = counting.unsqueeze(1).unsqueeze(2).unsqueeze(3)
        self._then = counting.unsqueeze(0).unsqueeze(0).unsqueeze(0)

    def embed(self, tokens: View) -> View:
        """(T,) token ids → (T, width) f32."""
        table = self._matrix("token_embd.weight")
        rows, scale = self._b.gather(tokens, table.q), self._b.gather(tokens, table.scale)
        return self._b.map(lambda q, s: q.to_float() * s, rows, scale.unsqueeze(-1))

    def layer(self, x: View, index: int) -> View:
        """One layer's residual stream, (T, width) f32."""
        block = f"blk.{index}"
        with self._b.scope("attention"):
            x = self._added(x, self._linear(self._attention(x, block), f"{block}.attn_output"))
        with self._b.scope("feed-forward"):
            return self._added(x, self._feed_forward(x, block))

    def logits(self, x: View) -> View:
        """(rows, width) → (rows, vocabulary) f32."""
        name = "token_embd" if self._h.tied_output else "output"
        out = self._project(*self._normed(x, "output_norm"), name)
        return self._b.map(lambda a, s, w: a.to_float() * (s * w), out.sums, out.step, out.scale)

    def choose(self, logits: View) -> View:
        """The most likely token of each row, (rows,) i32, the lowest id on ties."""
        return argmax(self._b, logits)

    def _normed(self, x: View, name: str) -> tuple[View, View]:
        """The RMS norm of each row as 14-bit integers (T, width) and their step (T, 1) f32.

        The row's own factor 1/rms cancels in the integers and is left in the step.
        """
        b = self._b
        gain = self._vector(f"{name}.weight")
        top, inverse = float(np.abs(gain).max()), 1.0 / ACTIVATION_LIMIT
        rows = quantized_rows(b, b.map(lambda v, w: v * w, x, b.const(gain)))
        scale, mean = self._mean_square(x)
        # |x·g| / rms ≤ √width · max|g|: a relation that intervals cannot see
        most = sqrt(self._h.width) * top * 1.01 + SMALLEST_SCALE
        epsilon = self._h.rms_epsilon
        step = b.map(
            lambda m, s, t: (m * (1.0 / (t * (s * s) + epsilon).sqrt())).minimum(most) * inverse,
            rows.scale, scale, mean,
        )  # fmt: skip
        return rows.q, step.unsqueeze(-1)

    def _mean_square(self, x: View) -> tuple[View, View]:
        """(s, m), each (T,) f32: the mean of x² over a row is m·s²."""
        b, limit = self._b, float(_SUM_LIMIT)
        scale = largest(b, x)
        q = b.map(
            lambda v, s: (v * (limit / s)).round().clamp(-limit, limit).to_int(),
            x, scale.unsqueeze(-1), dtype=DType.I16,
        )  # fmt: skip
        length = self._h.width
        block = next(size for size in range(min(512, length), 0, -1) if length % size == 0)
        parts = q.split_axis(1, block)
        squares = b.contract(parts, parts, 1, DType.I64)
        total = b.reduce(Reducer.SUM, squares, dtype=DType.I64)
        factor = 1.0 / (length * limit * limit)
        # a sum of squares is not negative: a relation that intervals cannot see
        return scale, b.map(lambda t: t.maximum(0).to_float() * factor, total)

    def _project(self, q: View, step: View, name: str) -> Linear:
        weights = self._matrix(f"{name}.weight")
        return Linear(product(self._b, q, weights.q), step, weights.scale)

    def _linear(self, x: View, name: str) -> Linear:
        rows, inverse = quantized_rows(self._b, x), 1.0 / ACTIVATION_LIMIT
        step = self._b.map(lambda s: s * inverse, rows.scale)
        return self._project(rows.q, step.unsqueeze(-1), name)

    def _added(self, x: View, out: Linear) -> View:
        return self._b.map(lambda v, a, s, w: v + a.to_float() * (s * w), x, out.sums, out.step, out.scale)

    def _feed_forward(self, x: View, block: str) -> Linear:
        q, step = self._normed(x, f"{block}.ffn_norm")
        gate, up = self._project(q, step, f"{block}.ffn_gate"), self._project(q, step, f"{block}.ffn_up")
        hidden = self._b.map(
            lambda g, u, s, wg, wu: silu(g.to_float() * (s * wg)) * (u.to_float() * (s * wu)),
            gate.sums, up.sums, step, gate.scale, up.scale,
        )  # fmt: skip
        return self._linear(hidden, f"{block}.ffn_down")

    def _attention(self, x: View, block: str) -> View:
        """What the heads see, (T, heads·head width) f32."""
        b, h = self._b, self._h
        groups = h.heads // h.kv_heads
        q, step = self._normed(x, f"{block}.attn_norm")
        out = {side: self._project(q, step, f"{block}.attn_{side}") for side in "qkv"}
        queries = self._rotated(self._heads(out["q"], f"{block}.attn_q"))
        keys = self._rotated(self._heads(out["k"], f"{block}.attn_k"))
        values = self._heads(out["v"], f"{block}.attn_v")
        qq, kq, vq = (quantized_rows(b, tensor, HEAD_LIMIT) for tensor in (queries, keys, values))
        # axes (token, kv head, head of its group, earlier token)
        grouped = qq.q.split_axis(1, groups)
        earlier = kq.q.moved(0, 1).unsqueeze(1).unsqueeze(0)
        scores = b.contract(grouped.unsqueeze(3), earlier, 1, DType.I64)
        factor = 1.0 / (sqrt(h.head_width) * HEAD_LIMIT**2)
        masked = b.map(
            lambda s, qs, ks, now, then: (then <= now).where(s.to_float() * (qs * ks * factor), _MASKED),
            scores,
            qq.scale.split_axis(1, groups).unsqueeze(3),
            kq.scale.transpose(1, 0).unsqueeze(1).unsqueeze(0),
            self._now,
            self._then,
        )
        weights, total = self._softmax(masked)
        peak, weighted = self._weighted(weights, vq.scale)
        by_token = b.copy(vq.q.transpose(1, 2, 0))
        sums = b.contract(weighted.unsqueeze(3), by_token.unsqueeze(1).unsqueeze(0), 1, DType.I64)
        inverse = _ONE / HEAD_LIMIT**2
        mixed = b.map(
            lambda s, t, p: s.to_float() * (p * inverse) / t.to_float().maximum(_ONE),
            sums, total.unsqueeze(3), peak.unsqueeze(2).unsqueeze(3),
        )  # fmt: skip
        return mixed.reshape(self._length, h.heads * h.head_width)

    def _softmax(self, masked: View) -> tuple[View, View]:
        """round(2^20·e^(score − max)) i32, zero after the row's own token, and its sum over the last axis."""
        b = self._b
        highest = b.reduce(Reducer.MAX, masked)

        def weight(score: Scalar, top: Scalar, now: Scalar, then: Scalar) -> Scalar:
            e = (exp((score - top).minimum(0.0)) * _ONE).round().clamp(0.0, _ONE).to_int()
            return (then <= now).where(e, 0)

        weights = b.map(weight, masked, highest.unsqueeze(3), self._now, self._then, dtype=DType.I32)
        return weights, b.reduce(Reducer.SUM, weights, dtype=DType.I64)

    def _weighted(self, weights: View, scale: View) -> tuple[View, View]:
        """The largest scale of the values so far, (T, kv heads), and weights that carry each value's own scale."""
        b = self._b
        scales = scale.transpose(1, 0).unsqueeze(0)  # (1, kv heads, earlier token)
        now, then = self._now.squeeze(2), self._then.squeeze(2)
        seen = b.map(lambda s, n, t: (t <= n).where(s, 0.0), scales, now, then)
        peak = b.map(lambda s: s.maximum(SMALLEST_SCALE), b.reduce(Reducer.MAX, seen))
        limit = float(HEAD_LIMIT)
        weighted = b.map(
            lambda w, s, p: (w.to_float() * (s / p * (limit / _ONE))).round().clamp(0.0, limit).to_int(),
            weights, scales.unsqueeze(2), peak.unsqueeze(2).unsqueeze(3), dtype=DType.I16,
        )  # fmt: skip
        return peak, weighted

    def _heads(self, out: Linear, name: str) -> View:
        """(T, heads, head width) f32, the bias added where the model has one."""
        if self._h.has_attention_bias:
            bias = self._b.const(self._vector(f"{name}.bias"))
            flat = self._b.map(
                lambda a, s, w, c: a.to_float() * (s * w) + c, out.sums, out.step, out.scale, bias
            )
        else:
            flat = self._b.map(lambda a, s, w: a.to_float() * (s * w), out.sums, out.step, out.scale)
        return flat.split_axis(1, self._h.head_width)

    def _rotated(self, x: View) -> View:
        """The rotary embedding of (T, heads, head width): every element with its partner, a·cos ∓ b·sin."""
        half = self._h.head_width // 2
        adjacent = self._h.rope.pairing == "adjacent"
        # axes (token, head, pair, side); the partner is read with the sides exchanged
        pairs = x.split_axis(2, 2) if adjacent else x.split_axis(2, half).moved(2, 3)
        cos, sin = self._cos.unsqueeze(1).unsqueeze(3), self._sin.unsqueeze(1)
        views = (v.broadcast_to(pairs.shape) for v in (pairs, pairs.slice(3, 1, 2, -1), cos, sin))
        order = (0, 1, 2, 3) if adjacent else (0, 1, 3, 2)
        turned = self._b.map(lambda a, p, c, s: a * c + p * s, *(view.transpose(*order) for view in views))
        return turned.reshape(*x.shape)
