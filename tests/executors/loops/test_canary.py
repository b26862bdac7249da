"""Every scalar operation as machine code: numpy's bits, and what happens where they differ."""

import numpy as np
import pytest

from oracle_node.errors import DeterminismError
from oracle_node.executors import scalar
from oracle_node.executors.loops import canary
from oracle_node.tape.scalar import Op


def test_canary__this_machine__passes() -> None:
    assert canary.wrong_operations() == []
    canary.require_exact()


@pytest.mark.parametrize("op", [Op.FADD, Op.FMAX, Op.F2I, Op.IDIV, Op.ISHR, Op.FPOW2])
def test_canary__an_operation_that_is_off_by_a_bit__is_named(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = scalar._OPS[op]

    def off(*arguments: np.ndarray) -> np.ndarray:
        result = np.array(exact(*arguments))
        bits = result.view(np.int32 if result.dtype == np.float32 else np.int64)
        bits[np.isfinite(result)] ^= 1
        return result

    monkeypatch.setitem(scalar._OPS, op, off)
    canary.require_exact.cache_clear()
    with pytest.raises(DeterminismError, match=rf"not exact on this machine \({op.name}\)"):
        canary.require_exact()
