"""A small language model in miniature: a tape of equal layers with weights of their own, causal in its tokens.

Rows are tokens: the request's, then the witness's but for the last two (so that a claim of two tokens adds none).
"""

from dataclasses import dataclass

import numpy as np

from oracle_node.tape import blocks
from oracle_node.tape.affine import Affine
from oracle_node.tape.analysis import Analysis
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.functions import exp
from oracle_node.tape.instruction import Reducer, Source, Tape
from oracle_node.tape.region import Region
from oracle_node.tape.types import DType, SourceKind
from oracle_node.tape.view import View

ROWS = Affine.symbol(0) + Affine.symbol(2) - 2


@dataclass(frozen=True)
class Sizes:
    """Layers; width of a row; heads, and how many share a key; hidden width; tokens known, and the longest text."""

    layers: int = 4
    width: int = 24
    heads: int = 4
    shared: int = 2
    hidden: int = 40
    vocabulary: int = 50
    longest: int = 20

    @property
    def depth(self) -> int:
        """Width of a head."""
        return self.width // self.heads


class _Model:
    def __init__(self, sizes: Sizes, seed: int, wide: bool, causal: bool) -> None:
        tokens = Source(DType.I32, 2, sizes.longest)
        self.sizes, self.wide, self.causal = sizes, wide, causal
        self.b = TapeBuilder(tokens, Source(), tokens, step_bound=1 << 24)
        self.rng = np.random.default_rng(seed)

    def weights(self, rows: int, columns: int, layer: int, bits: int) -> tuple[View, View]:
        """A matrix (rows, columns) and its row scales; later layers have larger weights."""
        limit = ((1 << (bits - 1)) - 1) >> max(0, 3 - layer)
        data = self.rng.integers(-limit, limit + 1, (rows, columns))
        data[0, :] = limit
        scales = self.rng.uniform(0.5, 1.5, rows) / (limit * columns**0.5)
        dtype = np.int8 if bits == 8 else np.int16
        return self.b.const(data.astype(dtype)), self.b.const(scales.astype(np.float32))

    def linear(self, x: blocks.Quantized, rows: int, layer: int, bits: int = 8) -> View:
        """(T, columns) times a matrix: (T, rows) f32."""
        weights, scales = self.weights(rows, x.q.shape[-1].constant, layer, bits)
        sums = blocks.contract_bounded(self.b, x.q.unsqueeze(1), weights.unsqueeze(0), 1)
        factor = 1.0 / x.limit
        return self.b.map(
            lambda v, s, w: (v.to_float() * (s * factor) * w).clamp(-1e6, 1e6),
            sums, x.scale.unsqueeze(1), scales,
        )  # fmt: skip

    def normed(self, x: View) -> blocks.Quantized:
        """Rows relative to their largest value, times a gain for each column."""
        gain = self.b.const(self.rng.uniform(0.5, 2, self.sizes.width).astype(np.float32))
        top = blocks.absmax(self.b, x, 1)
        return blocks.quantize(
            self.b, self.b.map(lambda v, t, g: (v / t).clamp(-1.0, 1.0) * g, x, top.unsqueeze(1), gain)
        )

    def heads(self, x: View, count: int) -> blocks.Quantized:
        """(T, count, depth) integers, one scale a row."""
        q = blocks.quantize(self.b, x)
        return blocks.Quantized(q.q.reshape(ROWS, count, self.sizes.depth), q.scale, q.limit)

    def attention(self, x: blocks.Quantized, layer: int) -> View:
        sizes, b = self.sizes, self.b
        keys = sizes.heads // sizes.shared
        q = self.heads(self.linear(x, sizes.width, layer), sizes.heads)
        k, v = (self.heads(self.linear(x, keys * sizes.depth, layer), keys) for _ in range(2))
        query = q.q.reshape(ROWS, keys, sizes.shared, sizes.depth).unsqueeze(3)
        key = k.q.transpose(1, 0, 2).unsqueeze(1).unsqueeze(0)
        scores = b.contract(query, key)
        factor = 1.0 / (q.limit * k.limit * sizes.depth**0.5)
        count = b.const(np.arange(2 * sizes.longest, dtype=np.int32)).slice(0, 0, ROWS)
        i, j = count.unsqueeze(1).unsqueeze(1).unsqueeze(1), count
        if not self.causal:
            i = b.full(2 * sizes.longest, DType.I32)
        masked = b.map(
            lambda s, x, y, i, j: (j <= i).where((s.to_float() * (factor * x) * y).clamp(-1e4, 1e4), -1e30),
            scores, q.scale.unsqueeze(1).unsqueeze(1).unsqueeze(1), k.scale, i, j,
        )  # fmt: skip
        chance = self.softmax(masked, i, j)
        mixed = b.contract(chance.unsqueeze(3), v.q.transpose(1, 2, 0).unsqueeze(1).unsqueeze(0))
        scale = 1.0 / (8191 * v.limit)
        mixed = b.map(lambda m: (m.to_float() * scale).clamp(-10.0, 10.0), mixed)
        return self.linear(
            blocks.quantize(b, mixed.reshape(ROWS, sizes.width)), sizes.width, layer, 15 if self.wide else 8
        )

    def softmax(self, masked: View, i: View, j: View) -> View:
        """Chances of 8191 along the last axis; later tokens have none."""
        b, one = self.b, float(1 << 20)
        highest = b.reduce(Reducer.MAX, masked)
        weights = b.map(
            lambda v, m, i, j: (j <= i).where((exp((v - m).minimum(0.0)) * one).round().clamp(0.0, one).to_int(), 0),
            masked, highest.unsqueeze(3), i, j, dtype=DType.I32,
        )  # fmt: skip
        total = b.reduce(Reducer.SUM, weights, dtype=DType.I64).unsqueeze(3)
        share = lambda e, t: (e.to_float() / t.to_float().maximum(one) * 8191.0).round().to_int()  # noqa: E731
        return b.map(share, weights, total)

    def layer(self, x: View, number: int) -> View:
        add = lambda a, b: (a + b).clamp(-1e5, 1e5)  # noqa: E731
        x = self.b.map(add, x, self.attention(self.normed(x), number))
        hidden = self.linear(self.normed(x), self.sizes.hidden, number, 15 if self.wide else 8)
        hidden = self.b.map(lambda v: v.maximum(0.0).minimum(100.0), hidden)
        return self.b.map(add, x, self.linear(blocks.quantize(self.b, hidden), self.sizes.width, number))


def build(
    sizes: Sizes = Sizes(), seed: int = 0, wide: bool = True, causal: bool = True
) -> tuple[Tape, Analysis]:
    """The tape that answers each row's likeliest next token (T,) i32, and its analysis; `wide`: some 15-bit weights.

    Unless `causal`, rows also look at the tokens after theirs.
    The analysis admits every instruction; that the answer fits the claim in one way only is not asked for here.
    """
    model = _Model(sizes, seed, wide, causal)
    b = model.b
    request, witness = (
        b.input(kind, [Affine.symbol(kind)], 0, sizes.vocabulary - 1)
        for kind in (SourceKind.REQUEST, SourceKind.WITNESS)
    )
    tokens = b.concat([request, witness], 0).slice(0, 0, ROWS)
    table = b.const(model.rng.integers(-127, 128, (sizes.vocabulary, sizes.width)).astype(np.int8))
    x = b.map(lambda v: v.to_float() * 0.01, b.gather(tokens, table))
    for number in range(sizes.layers):
        with b.scope(f"layer{number}"):
            x = model.layer(x, number)
    logits = model.linear(model.normed(x), sizes.vocabulary, sizes.layers)
    answer = b.reduce(Reducer.ARGMAX, logits)
    tape = b.finish(answer)
    analysis = Analysis(Region(tape.sources), tape.weights, tape.step_bound)
    for instruction in tape.instructions:
        analysis.admit(instruction)
    return tape, analysis
