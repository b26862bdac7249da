"""Between ABI values and the frozen values of `types` and `events`, by the fields' annotations."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from eth_abi.abi import decode, encode
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from oracle_node.chain.types import Address

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """An instance of a dataclass from named ABI values: its snake_case fields take the camelCase names."""
    hints = _hints(cast(Any, cls))
    return cls(**{name: _convert(hint, values[camel(name)]) for name, hint in hints.items()})


def named(components: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> dict[str, Any]:
    """Decoded values by their names in the ABI, structs as dictionaries all the way down."""
    return {c["name"]: _with_names(c, c["type"], value) for c, value in zip(components, values, strict=True)}


def _with_names(component: Mapping[str, Any], kind: str, value: Any) -> Any:
    if not kind.startswith("tuple"):
        return value
    if kind.endswith("]"):
        element = kind[: kind.rindex("[")]
        return [_with_names(component, element, item) for item in value]
    return named(component["components"], value)


def flatten(value: Any) -> Any:
    """Dataclasses to tuples in field order, all the way down: what a contract call takes."""
    if is_dataclass(value) and not isinstance(value, type):
        return tuple(flatten(getattr(value, f.name)) for f in fields(value))
    if isinstance(value, list | tuple):
        return [flatten(item) for item in value]
    return int(value) if isinstance(value, IntEnum) else value


def camel(name: str) -> str:
    """snake_case to camelCase."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls) if f.init}


def _convert(hint: Any, value: Any) -> Any:
    if hint is Address:
        return Address(to_checksum_address(value))
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return tuple(_convert(item, element) for element in value)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return hint(value)
    if isinstance(hint, type) and is_dataclass(hint):
        return build(hint, value)
    return value


class Functions:
    """The functions of an ABI: encoding calls and decoding results."""

    def __init__(self, abi: Sequence[Mapping[str, Any]]) -> None:
        self._by_name = {entry["name"]: entry for entry in abi if entry["type"] == "function"}
        self._constructor: Mapping[str, Any] = next(
            (entry for entry in abi if entry["type"] == "constructor"), {"inputs": []}
        )

    def encode(self, name: str, arguments: Sequence[Any]) -> bytes:
        """Calldata: the selector and the arguments, dataclasses as tuples."""
        inputs = _types(self._by_name[name]["inputs"])
        selector = keccak(text=f"{name}({','.join(inputs)})")[:4]
        return bytes(selector + encode(inputs, flatten(list(arguments))))

    def encode_constructor(self, arguments: Sequence[Any]) -> bytes:
        """What follows the creation code."""
        return encode(_types(self._constructor["inputs"]), flatten(list(arguments)))

    def answer_bytes(self, name: str) -> int:
        """How many bytes it returns; none of ours returns arrays."""
        return sum(_words(output) for output in self._by_name[name]["outputs"]) * 32

    def decode(self, name: str, data: bytes) -> tuple[Any, ...]:
        """The returned values; structs as dictionaries by field name."""
        outputs = self._by_name[name]["outputs"]
        values = decode(_types(outputs), data)
        return tuple(_with_names(o, o["type"], value) for o, value in zip(outputs, values, strict=True))


def _words(component: Mapping[str, Any]) -> int:
    return sum(map(_words, component["components"])) if component["type"] == "tuple" else 1


def _types(components: Sequence[Any]) -> list[str]:
    return [collapse_if_tuple(component) for component in components]
