"""One operator of a network being imported: its inputs as tensors, its attributes, and refusals that name it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from oracle_node.errors import ModelError
from oracle_node.importers.onnx.extents import Extent, extent
from oracle_node.importers.onnx.lowering import Lowering
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.types import Array

_MAX_NUMBERS = 1 << 16
"""Most entries of a shape, or of a list of axes or sizes."""


@dataclass(frozen=True)
class Node:
    """`inputs` holds None where an optional input is left out; `outputs` is how many results are named.

    `read` says of each result whether anything needs it.
    """

    operator: str
    name: str
    opset: int
    inputs: tuple[Tensor | None, ...]
    attributes: dict[str, Any]
    outputs: int
    read: tuple[bool, ...] = ()

    def refuse(self, reason: str) -> NoReturn:
        """ModelError for this node; `import_onnx` adds its operator and name."""
        raise ModelError(reason)

    def has(self, position: int) -> bool:
        """Whether the optional input is given."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def is_read(self, position: int) -> bool:
        """Whether anything needs that result."""
        return position < len(self.read) and self.read[position]

    def input(self, position: int) -> Tensor:
        tensor = self.inputs[position] if position < len(self.inputs) else None
        if tensor is None:
            self.refuse(f"input {position} is missing")
        return tensor

    def constant(self, position: int, what: str) -> Array:
        """The data of an input that must be known at import."""
        data = self.input(position).data
        if data is None:
            self.refuse(f"its {what} is computed by the network: only a constant can be imported")
        return data

    def numbers(self, position: int, what: str) -> list[int]:
        """Whole numbers that must be known at import: a shape, axes, sizes."""
        data = self.constant(position, what)
        if data.dtype == object:
            self.refuse(f"its {what} depends on the request's length: only fixed numbers are supported")
        if data.size > _MAX_NUMBERS or data.dtype.kind not in "iu":
            self.refuse(f"its {what}, {data.size} numbers of {data.dtype}, are not a few integers")
        return [int(v) for v in data.reshape(-1)]

    def lengths(self, position: int, what: str) -> list[Extent]:
        """Whole numbers that may depend on the request's length."""
        data = self.constant(position, what)
        if data.dtype == object and data.size <= _MAX_NUMBERS:
            return [extent(v) for v in data.reshape(-1)]
        return list(self.numbers(position, what))

    def positions(self, position: int, attribute: str) -> list[Extent] | None:
        """As `integers`, but they may depend on the request's length."""
        if self.has(position):
            return self.lengths(position, attribute)
        value = self.attributes.get(attribute)
        return None if value is None else [int(v) for v in value]

    def integers(
        self, position: int, attribute: str, default: Sequence[int] | None = None
    ) -> list[int] | None:
        """A list that older opsets give as an attribute and newer ones as an input."""
        if self.has(position):
            return self.numbers(position, attribute)
        value = self.attributes.get(attribute, default)
        return None if value is None else [int(v) for v in value]

    def get(self, attribute: str, default: Any) -> Any:
        """An attribute; strings as str."""
        value = self.attributes.get(attribute, default)
        return value.decode() if isinstance(value, bytes) else value

    def each(self, attribute: str, default: Sequence[int]) -> list[int]:
        """A list attribute with as many numbers as the default."""
        value = self.attributes.get(attribute, default)
        if not isinstance(value, Sequence) or len(value) != len(default):
            self.refuse(f"its {attribute} {value} should be {len(default)} numbers")
        return [int(v) for v in value]


Handler = Callable[[Lowering, Node], Sequence[Tensor]]
