"""The executor that somebody asked for by name."""

from oracle_node.executors import loops
from oracle_node.executors.base import Executor
from oracle_node.tape.instruction import Tape


def make_executor(
    tape: Tape,
    name: str = "onnx",
    threads: int | None = None,
    cache_bytes: int | None = None,
    loops_after: int | None = loops.AFTER,
) -> Executor:
    """`onnx` or `reference`; the rest concerns ONNX Runtime, which is loaded only where it is wanted.

    `loops_after` runs loops are compiled (None: never);
    `cache_bytes` bounds what is kept of arrays derived from a large model's weights (default: as memory allows).
    """
    if name == "reference":
        from oracle_node.executors.reference import ReferenceExecutor

        return ReferenceExecutor(tape)
    from oracle_node.executors.onnx import OnnxExecutor

    return OnnxExecutor(tape, threads=threads or 0, cache_bytes=cache_bytes, loops_after=loops_after)
