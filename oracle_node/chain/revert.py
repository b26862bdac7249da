"""Reverts as one clear line: the contract's custom error by name, with the values it carries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from oracle_node.errors import ProtocolError

_PANICS = {
    0x01: "assertion",
    0x11: "arithmetic overflow",
    0x12: "division by zero",
    0x32: "index out of range",
}


class RevertError(ProtocolError):
    """A contract refused a call; `name` is the Solidity error, `arguments` its values by name."""

    def __init__(self, action: str, name: str, arguments: Mapping[str, Any]) -> None:
        values = ", ".join(f"{key} {_show(value)}" for key, value in arguments.items())
        super().__init__(f"{action}: refused by the contract: {name}" + (f" ({values})" if values else ""))
        self.action, self.name, self.arguments = action, name, dict(arguments)


class RevertDecoder:
    """Knows the custom errors of a set of ABIs."""

    def __init__(self, abis: Iterable[Sequence[Mapping[str, Any]]]) -> None:
        errors = [entry for abi in abis for entry in abi if entry["type"] == "error"]
        builtin: list[Mapping[str, Any]] = [
            {"name": "Error", "inputs": [{"name": "reason", "type": "string"}]},
            {"name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
        ]
        self._by_selector: dict[bytes, Mapping[str, Any]] = {
            _selector(entry): entry for entry in errors + builtin
        }

    def decode(self, data: Any, action: str, fallback: str | None = None) -> RevertError:
        """The error for the revert bytes (hex or bytes); unknown selectors keep their hex."""
        raw = _bytes(data)
        entry = self._by_selector.get(raw[:4])
        if entry is None:
            name = f"0x{raw.hex()[:72]}" if raw else fallback or "no reason given (out of gas?)"
            return RevertError(action, name, {})
        inputs = entry["inputs"]
        try:
            values = decode([collapse_if_tuple(i) for i in inputs], raw[4:])
        except (DecodingError, ValueError):  # ValueError: a string that is not UTF-8
            return RevertError(action, f"{entry['name']} with malformed values", {})
        names = [i["name"] or f"value{n}" for n, i in enumerate(inputs)]
        if entry["name"] == "Panic":
            return RevertError(action, f"Panic: {_PANICS.get(values[0], 'code')}", {"code": values[0]})
        return RevertError(action, entry["name"], dict(zip(names, values, strict=True)))


def _bytes(data: Any) -> bytes:
    """Revert data as nodes give it; nothing where it is no hex."""
    if not isinstance(data, str | bytes) or data == "no data":
        return b""
    try:
        return bytes(HexBytes(data))
    except ValueError:
        return b""


def _selector(entry: Mapping[str, Any]) -> bytes:
    types = ",".join(collapse_if_tuple(dict(i)) for i in entry["inputs"])
    return bytes(keccak(text=f"{entry['name']}({types})")[:4])


def _show(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    text = value.rstrip(b"\x00")  # a short string in a bytes32
    if text and len(text) < len(value) and text.isascii() and text.decode().isprintable():
        return text.decode()
    return "0x" + value.hex()
