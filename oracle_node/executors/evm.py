"""The shipped Solidity evaluator, run in this process: one element of one instruction at a time, as the chain would.

pyrevm where it is installed (fast), else py-evm. Not here: whole tapes (`reference`, `onnx`), or a chain.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eth_abi.abi import decode, encode
from eth_utils.abi import function_signature_to_4byte_selector as selector

from oracle_node.contracts import load_artifact
from oracle_node.errors import OracleError
from oracle_node.tape.affine import Symbols

CHUNK_BYTES = 1024
GAS_LIMIT = 1 << 24
"""What one transaction may use (EIP-7825)."""

_INSTRUCTION = "bytes,uint64[8]"
_OPENINGS = "(uint32,uint32[],bytes)[]"
_SHAPE = "(uint8,uint8,uint64,uint64,uint32[],uint64[],uint8[])"
_MALFORMED = selector("MalformedInstruction(uint256)")
_NOT_OPENED = selector("ChunkNotOpened(uint32,uint32)")
_ADDRESS = "0x00000000000000000000000000000000000e1e00"
_REVM_GAS = re.compile(r"gas_used: (\d+)")
_REVM_OUTPUT = re.compile(r"output: 0x([0-9a-f]*)")
_CALLER = "0x00000000000000000000000000000000000ca11e"


class EvaluationError(OracleError):
    """The evaluator reverted: the instruction is malformed, or a chunk it reads was not opened."""


class MalformedInstructionError(EvaluationError):
    """The bytes are no instruction, or read outside an operand."""


class ChunkNotOpenedError(EvaluationError):
    """An element lies in a chunk that is in no opening."""

    def __init__(self, ref: int, chunk: int) -> None:
        super().__init__(f"chunk {chunk} of operand tensor {ref} is read but was not opened")
        self.ref = ref
        self.chunk = chunk


@dataclass(frozen=True, slots=True)
class Opening:
    """Opened chunks of one operand tensor: ascending positions, the 1,024-byte chunks one after another."""

    ref: int
    positions: tuple[int, ...]
    chunks: bytes

    @classmethod
    def whole(cls, ref: int, data: bytes) -> "Opening":
        """Every chunk of a tensor's bytes."""
        count = max(1, -(-len(data) // CHUNK_BYTES))
        return cls(ref, tuple(range(count)), data.ljust(count * CHUNK_BYTES, b"\0"))

    @classmethod
    def of(cls, ref: int, data: bytes, positions: Sequence[int]) -> "Opening":
        """Some chunks of a tensor's bytes."""
        chunks = (data[p * CHUNK_BYTES : (p + 1) * CHUNK_BYTES].ljust(CHUNK_BYTES, b"\0") for p in positions)
        return cls(ref, tuple(positions), b"".join(chunks))


@dataclass(frozen=True, slots=True)
class Shape:
    """What the contract says of an instruction; `refs` are distinct and ascending."""

    opcode: int
    dtype: int
    element_count: int
    byte_length: int
    refs: tuple[int, ...]
    ref_byte_lengths: tuple[int, ...]
    ref_dtypes: tuple[int, ...]


class _Machine(Protocol):
    def call(self, data: bytes, gas: int) -> tuple[bool, bytes, int]:
        """Success, output (or revert data), gas used by the call alone."""


class EvmEvaluator:
    """The shipped bytecode of ElementEvaluator in an EVM of its own.

    `gas_used` is what the last call took, without calldata and the transaction's base cost.
    """

    def __init__(self, gas_limit: int = GAS_LIMIT) -> None:
        self._machine = new_machine(load_artifact("ElementEvaluator").deployed_bytecode)
        self._gas_limit = gas_limit
        self.gas_used = 0

    def evaluate(
        self, instruction: bytes, symbols: Symbols, elements: Sequence[int], openings: Sequence[Opening]
    ) -> list[int]:
        """The elements' bits, little-endian read and zero-extended; EvaluationError where the contract reverts.

        A single element takes the way of a dispute (`evaluate`), several share one call (`evaluateMany`).
        """
        opened = [(o.ref, o.positions, o.chunks) for o in openings]
        shared = [instruction, list(symbols)]
        kinds = _INSTRUCTION.split(",")
        if len(elements) == 1:
            types, arguments = [*kinds, "uint64", _OPENINGS], [*shared, elements[0], opened]
            return [self._call("evaluate", types, arguments, [_SHAPE, "uint64"], self._gas_limit)[1]]
        types, arguments = [*kinds, "uint64[]", _OPENINGS], [*shared, list(elements), opened]
        gas = self._gas_limit * max(1, len(elements))
        return list(self._call("evaluateMany", types, arguments, ["uint64[]"], gas)[0])

    def inspect(self, instruction: bytes, symbols: Symbols) -> Shape:
        """What the contract decodes; MalformedInstructionError where it does not."""
        arguments = [instruction, list(symbols)]
        (fields,) = self._call("inspect", _INSTRUCTION.split(","), arguments, [_SHAPE], self._gas_limit)
        return Shape(*fields)

    def _call(
        self, name: str, types: list[str], arguments: list[Any], results: list[str], gas: int
    ) -> tuple[Any, ...]:
        data = selector(f"{name}({','.join(types)})") + encode(types, arguments)
        success, output, self.gas_used = self._machine.call(data, gas)
        if not success:
            raise _error(output)
        return decode(results, output)


def _error(output: bytes) -> EvaluationError:
    if output[:4] == _MALFORMED:
        return MalformedInstructionError(f"malformed at byte {int.from_bytes(output[4:36], 'big')}")
    if output[:4] == _NOT_OPENED:
        return ChunkNotOpenedError(int.from_bytes(output[4:36], "big"), int.from_bytes(output[36:68], "big"))
    return EvaluationError(
        f"the evaluator stopped with {'0x' + output.hex() if output else 'nothing (out of gas?)'}"
    )


def new_machine(code: bytes) -> _Machine:
    """An EVM that holds one contract."""
    try:
        return _Revm(code)
    except ImportError:
        return _PyEvm(code)


class _Revm:
    def __init__(self, code: bytes) -> None:
        from pyrevm import EVM, AccountInfo

        self._evm = EVM(spec_id="CANCUN")
        self._evm.insert_account_info(_ADDRESS, AccountInfo(code=code))

    def call(self, data: bytes, gas: int) -> tuple[bool, bytes, int]:
        base = 21_000 + sum(16 if byte else 4 for byte in data)
        try:
            output = self._evm.message_call(_CALLER, _ADDRESS, calldata=data, gas=gas + base, is_static=True)
        except RuntimeError as error:  # "Revert { gas_used: 1, output: 0x… }", or "Halt { … }" without output
            gas_used, reverted = _REVM_GAS.search(str(error)), _REVM_OUTPUT.search(str(error))
            if gas_used is None:
                raise
            return False, bytes.fromhex(reverted[1]) if reverted else b"", int(gas_used[1]) - base
        result = self._evm.result
        assert result is not None  # after a call
        return True, bytes(output), result.gas_used - base


class _PyEvm:
    def __init__(self, code: bytes) -> None:
        from eth.chains.base import MiningChain
        from eth.db.atomic import AtomicDB
        from eth.vm.forks.cancun import CancunVM
        from eth_typing import Address, BlockNumber
        from eth_utils.address import to_canonical_address

        self._to, self._caller = to_canonical_address(_ADDRESS), to_canonical_address(_CALLER)
        configuration = ((BlockNumber(0), CancunVM),)
        chain = MiningChain.configure("Evaluator", vm_configuration=configuration, chain_id=1)
        genesis: Any = {"difficulty": 0, "gas_limit": 1 << 30, "timestamp": 0}
        account: Any = {"balance": 0, "nonce": 1, "code": code, "storage": {}}
        state: dict[Address, Any] = {self._to: account}
        self._vm = chain.from_genesis(AtomicDB(), genesis, state).get_vm()
        self._code = code

    def call(self, data: bytes, gas: int) -> tuple[bool, bytes, int]:
        run = self._vm.execute_bytecode(self._caller, 0, gas, self._to, self._caller, 0, data, self._code)
        return run.is_success, run.output, run.get_gas_used()
