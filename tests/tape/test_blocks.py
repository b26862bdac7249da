"""Blocks against float64 (or exactly, where they are exact), split reductions included."""

from collections.abc import Callable

import numpy as np
import pytest

from oracle_node.executors import reference
from oracle_node.tape import blocks
from oracle_node.tape.analysis import analyse
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Source, Tape
from oracle_node.tape.step import step_bytes
from oracle_node.tape.types import DType, SourceKind
from oracle_node.tape.view import View

_RNG = np.random.default_rng(11)


def _run(tape: Tape, x: np.ndarray) -> np.ndarray:
    symbols = tape.symbols((x.size, 0, 0))
    empty = np.zeros(0, np.uint8)
    return dict(reference.run(tape, symbols, [x.reshape(-1), empty, empty]))[tape.output]


def _tape(shape: tuple[int, ...], block: Callable[[TapeBuilder, View], View]) -> Tape:
    size = int(np.prod(shape))
    b = TapeBuilder(Source(DType.F32, size, size))
    return b.finish(block(b, b.input(SourceKind.REQUEST, shape, -1e6, 1e6)))


def _values(shape: tuple[int, ...]) -> np.ndarray:
    return (_RNG.normal(size=shape) * 10 ** _RNG.uniform(-2, 2)).astype(np.float32)


@pytest.mark.parametrize("length", [1, 7, 512, 513, 1021, 1024, 6272, 9973])
def test_absmax__of_any_length__is_exact_and_finds_the_last_element(length: int) -> None:
    tape = _tape((length,), lambda b, x: blocks.absmax(b, x, 1))
    x = _values((length,))
    for position in {0, length // 2, length - 1}:
        peak = x.copy()
        peak[position] = -np.abs(x).max() * 2 - 1
        assert _run(tape, peak) == np.abs(peak).max()


@pytest.mark.parametrize("length", [1, 300, 512, 1021, 4096, 9973])
def test_sum_bounded__of_any_length__is_exact(length: int) -> None:
    def block(b: TapeBuilder, x: View) -> View:
        return blocks.sum_bounded(b, b.map(lambda v: v.clamp(-9999.0, 9999.0).round().to_int(), x), 1)

    x = np.rint(_RNG.uniform(-9999, 9999, length)).astype(np.float32)
    assert _run(_tape((length,), block), x) == x.astype(np.int64).sum()


def test_absmax__of_several_axes_in_strange_order__is_exact_per_group() -> None:
    x = _values((5, 6, 7))
    tape = _tape((5, 6, 7), lambda b, v: blocks.absmax(b, v.transpose(1, 2, 0), 2))
    assert np.array_equal(_run(tape, x), np.abs(x).max(axis=(0, 2)))


@pytest.mark.parametrize("bits", [8, 14, 15])
def test_quantize__row_by_row__errs_by_half_a_step_at_most(bits: int) -> None:
    def block(b: TapeBuilder, x: View) -> View:
        quantized = blocks.quantize(b, x, bits)
        return b.map(
            lambda q, s: q.to_float() * (s * (1.0 / quantized.limit)),
            quantized.q,
            quantized.scale.unsqueeze(-1),
        )

    x = _values((20, 100))
    step = np.abs(x).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
    assert (np.abs(_run(_tape(x.shape, block), x) - x) <= step * (0.5 + 1e-3)).all()


@pytest.mark.parametrize("bits", [8, 15])
def test_quantize_weights__rows_of_many_sizes__err_by_half_a_step_and_zero_rows_stay_zero(bits: int) -> None:
    weight = _values((9, 50)) * 10.0 ** np.arange(-40, 5, 5, dtype=np.float32)[:, None]
    weight[3] = 0
    q, scale = blocks.quantize_weights(weight.astype(np.float32), bits)
    assert (q[3] == 0).all() and np.isfinite(scale).all()
    assert np.abs(q.astype(np.int64)).max() <= {8: 127, 15: 16383}[bits]
    normal = np.abs(weight).max(axis=1) / 16383 > 2e-38
    error = np.abs(q * scale.astype(np.float64)[:, None] - weight)
    assert (error[normal] <= scale[normal, None] * 0.5001).all()


@pytest.mark.parametrize("k", [64, 2048, 4096, 11008])
def test_contract_bounded__of_long_rows__is_exact_within_the_step_bound(k: int) -> None:
    weight = _RNG.integers(-16383, 16384, (6, k)).astype(np.int16)

    def block(b: TapeBuilder, x: View) -> View:
        q = b.map(lambda v: v.clamp(-8191.0, 8191.0).round().to_int(), x)
        return blocks.contract_bounded(b, q.unsqueeze(-2), b.const(weight), 1)

    tape = _tape((2, k), block)
    x = np.rint(_RNG.uniform(-8191, 8191, (2, k))).astype(np.float32)
    assert np.array_equal(_run(tape, x), x.astype(np.int64) @ weight.astype(np.int64).T)
    symbols = tape.symbols((2 * k, 0, 0))
    assert max(step_bytes(i, symbols, len(tape.instructions)) for i in tape.instructions) <= tape.step_bound


@pytest.mark.parametrize("shape", [(3, 10), (2, 1000), (1, 1)])
def test_softmax__against_float64__errs_below_2e_7(shape: tuple[int, int]) -> None:
    x = (_RNG.normal(size=shape) * 5).astype(np.float32)
    wanted = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    wanted /= wanted.sum(axis=1, keepdims=True)
    assert np.abs(_run(_tape(shape, blocks.softmax), x) - wanted).max() < 2e-7


@pytest.mark.parametrize("shape", [(3, 10), (2, 1000), (1, 1)])
def test_log_softmax__against_float64__errs_below_the_stated_bound(shape: tuple[int, int]) -> None:
    x = (_RNG.normal(size=shape) * 5).astype(np.float32)
    shifted = x.astype(np.float64) - x.max(axis=1, keepdims=True)
    wanted = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    error = np.abs(_run(_tape(shape, blocks.log_softmax), x) - wanted)
    assert (error < 2e-6 + 1e-7 * np.abs(wanted) + 3e-8 * shape[1]).all()


@pytest.mark.parametrize("shape", [(4, 30), (2, 5000)])
def test_mean__against_float64__errs_below_2_to_minus_21_of_the_largest(shape: tuple[int, int]) -> None:
    x = _values(shape)
    error = np.abs(
        _run(_tape(shape, lambda b, v: blocks.mean(b, v, 1)), x) - x.astype(np.float64).mean(axis=1)
    )
    assert (error <= np.abs(x).max(axis=1) * 2.0**-21).all()


def test_blocks__of_a_built_tape__pass_a_second_admission_with_the_same_bounds() -> None:
    tape = _tape((2, 1000), blocks.softmax)
    assert analyse(tape).results[tape.output].hi == 1.0
