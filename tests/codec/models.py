"""Models that answer with what they are asked, of any description."""

from typing import Any

from oracle_node.model.model import Card, Model
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import Source
from oracle_node.tape.types import DType, SourceKind


def echo(elements: int, dtype: DType = DType.F32, **card: dict[str, Any]) -> Model:
    """So many numbers in, the same numbers out; `input` and `answer` of its card."""
    source = Source(dtype, elements, elements)
    b = TapeBuilder(source, source)
    low, high = (-(2**20), 2**20) if dtype is DType.F32 else dtype.bounds
    return Model.of(b.finish(b.input(SourceKind.REQUEST, (elements,), low, high)), Card("echo", **card))
