"""The compiled contracts that the package ships; `scripts/build_contracts.py` writes them."""

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from oracle_node.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract."""

    name: str
    abi: list[dict[str, Any]] = field(repr=False)
    bytecode: bytes = field(repr=False)
    """Creation code, without constructor arguments."""
    deployed_bytecode: bytes = field(repr=False)
    """Runtime code; immutables are zero."""


@cache
def load_artifact(name: str) -> Artifact:
    """The shipped artifact of a contract, by its Solidity name; ConfigError where there is none."""
    resource = files(__package__) / f"{name}.json"
    if not resource.is_file():
        raise ConfigError(f"the package ships no contract {name!r}; it has {', '.join(artifact_names())}")
    data = json.loads(resource.read_text("utf-8"))
    return Artifact(
        data["contractName"],
        data["abi"],
        bytes.fromhex(data["bytecode"]),
        bytes.fromhex(data["deployedBytecode"]),
    )


def artifact_names() -> list[str]:
    """All contracts that the package ships."""
    return sorted(entry.name[:-5] for entry in files(__package__).iterdir() if entry.name.endswith(".json"))
