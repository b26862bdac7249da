"""The executor that somebody asked for by name."""

from oracle_node.executors.base import Executor
from oracle_node.tape.instruction import Tape


def make_executor(tape: Tape, name: str = "onnx", threads: int | None = None) -> Executor:
    """`onnx` or `reference`; `threads` concerns ONNX Runtime, which is loaded only where it is wanted."""
    if name == "reference":
        from oracle_node.executors.reference import ReferenceExecutor

        return ReferenceExecutor(tape)
    from oracle_node.executors.onnx import OnnxExecutor

    return OnnxExecutor(tape, threads=threads or 0)
