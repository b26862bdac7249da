"""Every scalar operation as machine code: numpy's bits, and what happens where they differ."""

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from oracle_node.executors import loops, scalar
from oracle_node.executors.loops import canary
from oracle_node.tape.scalar import Op


@pytest.fixture(autouse=True)
def unchecked() -> Iterator[None]:
    loops.usable.cache_clear()
    yield
    loops.usable.cache_clear()


def test_canary__this_machine__passes() -> None:
    assert canary.wrong_operations() == []
    assert loops.usable()


@pytest.mark.parametrize("op", [Op.FADD, Op.FMAX, Op.F2I, Op.IDIV, Op.ISHR, Op.FPOW2])
def test_canary__an_operation_that_is_off_by_a_bit__is_named_and_nothing_compiled(
    op: Op, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = scalar._OPS[op]

    def off(*arguments: np.ndarray) -> np.ndarray:
        result = np.array(exact(*arguments))
        bits = result.view(np.int32 if result.dtype == np.float32 else np.int64)
        bits[np.isfinite(result)] ^= 1
        return result

    monkeypatch.setitem(scalar._OPS, op, off)
    with pytest.warns(RuntimeWarning, match=rf"not exact on this machine \({op.name}\)"):
        assert not loops.usable()


def test_usable__an_llvmlite_that_does_not_load__is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "oracle_node.executors.loops.canary", None)
    with pytest.warns(RuntimeWarning, match="does not work"):
        assert not loops.usable()


def test_usable__no_llvmlite__is_said_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(loops, "find_spec", lambda name: None)
    assert not loops.usable()
    assert not recwarn.list
