#!/usr/bin/env python3
"""Compile contracts/src with the pinned solc-js into the artifacts that the package ships.

Settings come from contracts/foundry.toml; files under a compilation restriction there are compiled in a run of their
own. src/ is compiled by itself, so that tests cannot change its bytecode; a last run compiles what the Python tests
deploy. Needs node and `npm ci --prefix contracts`.
"""

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
ARTIFACTS = ROOT / "oracle_node" / "contracts"
TEST_ARTIFACTS = ROOT / "tests" / "evm" / "artifacts"
TEST_SOURCES = ("test/evaluator/ScalarBatch.sol",)
MAX_RUNTIME_BYTES = 24_576
"""EIP-170."""


def foundry_profile() -> dict[str, Any]:
    """The default profile of foundry.toml."""
    profile: dict[str, Any] = tomllib.loads((CONTRACTS / "foundry.toml").read_text())["profile"]["default"]
    return profile


def compiler_settings(optimizer_runs: int) -> dict[str, Any]:
    """solc's settings for the default profile, at another number of optimizer runs."""
    profile = foundry_profile()
    return {
        "evmVersion": profile["evm_version"],
        "viaIR": profile["via_ir"],
        "optimizer": {"enabled": profile["optimizer"], "runs": optimizer_runs},
        "metadata": {"bytecodeHash": profile["bytecode_hash"], "appendCBOR": profile["cbor_metadata"]},
    }


def runs_of(path: Path) -> int:
    """The optimizer runs that foundry.toml asks for this source."""
    profile = foundry_profile()
    for restriction in profile.get("compilation_restrictions", []):
        if path.relative_to(CONTRACTS).match(restriction["paths"]):
            return int(restriction["optimizer_runs"])
    return int(profile["optimizer_runs"])


def compile_sources(wanted: list[Path], others: list[Path], settings: dict[str, Any]) -> dict[str, Any]:
    """solc's output for the wanted files, which may import the others; exits with its messages on an error."""
    names = {path: path.relative_to(CONTRACTS).as_posix() for path in [*wanted, *others]}
    outputs = [
        "abi",
        "evm.bytecode.object",
        "evm.deployedBytecode.object",
        "evm.deployedBytecode.immutableReferences",
    ]
    request = {
        "language": "Solidity",
        "sources": {name: {"content": path.read_text()} for path, name in names.items()},
        "settings": {
            **settings,
            "outputSelection": {names[path]: {"": ["ast"], "*": outputs} for path in wanted},
        },
    }
    command = [str(CONTRACTS / "script" / "solc"), "--standard-json"]
    answer = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=True)
    output: dict[str, Any] = json.loads(answer.stdout)
    for message in output.get("errors", []):
        print(message["formattedMessage"], file=sys.stderr)
    if any(message["severity"] == "error" for message in output.get("errors", [])):
        sys.exit(1)
    return output


def deployable(output: dict[str, Any]) -> list[tuple[str, str]]:
    """(source, name) of the contracts that can be deployed: no interfaces, libraries or abstract contracts."""
    return [
        (source, node["name"])
        for source, unit in sorted(output["sources"].items())
        for node in unit.get("ast", {"nodes": []})["nodes"]
        if node["nodeType"] == "ContractDefinition"
        and node["contractKind"] == "contract"
        and not node["abstract"]
    ]


def build(wanted: list[Path], others: list[Path], optimizer_runs: int) -> dict[str, str]:
    """File name → content of the artifacts of all contracts in the wanted files."""
    settings = compiler_settings(optimizer_runs)
    version = subprocess.run(
        [str(CONTRACTS / "script" / "solc"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    output = compile_sources(wanted, others, settings)
    artifacts: dict[str, str] = {}
    for source, name in deployable(output):
        contract = output["contracts"][source][name]
        runtime = contract["evm"]["deployedBytecode"]
        size = len(runtime["object"]) // 2
        if size > MAX_RUNTIME_BYTES:
            sys.exit(f"{name} has {size} bytes of code, the limit is {MAX_RUNTIME_BYTES}")
        # immutables are keyed by AST ids, which depend on the order of sources: only the places are kept
        places = sorted(
            (place["start"], place["length"])
            for references in runtime.get("immutableReferences", {}).values()
            for place in references
        )
        artifact = {
            "contractName": name,
            "sourceName": source,
            "compiler": version.split("Version: ")[1].strip(),
            "settings": settings,
            "abi": contract["abi"],
            "bytecode": contract["evm"]["bytecode"]["object"],
            "deployedBytecode": runtime["object"],
            "immutablePlaces": places,
        }
        if f"{name}.json" in artifacts:
            sys.exit(f"two contracts are called {name}")
        artifacts[f"{name}.json"] = json.dumps(artifact, indent=1) + "\n"
    return artifacts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    check = parser.parse_args().check
    sources = sorted((CONTRACTS / "src").rglob("*.sol"))
    test_sources = [CONTRACTS / name for name in TEST_SOURCES]
    current: dict[Path, str] = {}
    for runs in sorted({runs_of(path) for path in sources}):
        wanted = [path for path in sources if runs_of(path) == runs]
        others = [path for path in sources if runs_of(path) != runs]
        current |= {ARTIFACTS / name: text for name, text in build(wanted, others, runs).items()}
    test_runs = runs_of(test_sources[0])
    current |= {TEST_ARTIFACTS / name: text for name, text in build(test_sources, sources, test_runs).items()}
    there = {
        path: path.read_text() for folder in (ARTIFACTS, TEST_ARTIFACTS) for path in folder.glob("*.json")
    }
    stale = sorted(path for path in current.keys() | there.keys() if current.get(path) != there.get(path))
    if check and stale:
        names = ", ".join(path.name for path in stale)
        sys.exit(f"not what the sources compile to: {names}; run scripts/build_contracts.py")
    for path in stale:
        if path in current:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(current[path])
        else:
            path.unlink()
    print(f"{len(current)} artifacts, {len(stale)} changed")


if __name__ == "__main__":
    main()
