"""Scalar programs as machine code: one pass over the data where ONNX Runtime makes one an operation.

LLVM (llvmlite, the extra `fast`) may be missing; nothing here imports it before `usable` has said so.
"""

import warnings
from functools import cache
from importlib.util import find_spec

AFTER = 2
"""So many runs of the same lengths go without: compiling takes longer than they do."""


@cache
def usable() -> bool:
    """Whether LLVM is here and its code exact on this machine; checked once a process.

    Where it is here and not exact, or does not load, a RuntimeWarning says so, and everybody does without.
    """
    if find_spec("llvmlite") is None:
        return False
    try:
        from oracle_node.executors.loops.canary import wrong_operations

        wrong = wrong_operations()
    except (ImportError, OSError, RuntimeError) as error:
        warnings.warn(f"llvmlite is installed and does not work: {error}", RuntimeWarning, stacklevel=2)
        return False
    if wrong:
        names = ", ".join(wrong)
        warnings.warn(
            f"LLVM's code is not exact on this machine ({names}): not used", RuntimeWarning, stacklevel=2
        )
    return not wrong
