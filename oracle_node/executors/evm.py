"""The shipped Solidity evaluator, run in this process: one element of one instruction at a time, as the chain would.

pyrevm where it is installed (fast), else py-evm. Not here: whole tapes (`reference`, `onnx`), or a chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eth_abi import decode, encode
from eth_utils import function_signature_to_4byte_selector as selector

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

        `gas_used` afterwards is the sum over the elements.
        """
        types = [*_INSTRUCTION.split(","), "uint64", _OPENINGS]
        opened = [(o.ref, o.positions, o.chunks) for o in openings]
        values: list[int] = []
        gas = 0
        for element in elements:
            arguments = [instruction, list(symbols), element, opened]
            values.append(self._call("evaluate", types, arguments, "uint64"))
            gas += self.gas_used
        self.gas_used = gas
        return values

    def inspect(self, instruction: bytes, symbols: Symbols) -> Shape:
        """What the contract decodes; MalformedInstructionError where it does not."""
        fields = self._call("inspect", _INSTRUCTION.split(","), [instruction, list(symbols)], _SHAPE)
        return Shape(*fields)

    def _call(self, name: str, types: list[str], arguments: list[Any], result: str) -> Any:
        data = selector(f"{name}({','.join(types)})") + encode(types, arguments)
        success, output, self.gas_used = self._machine.call(data, self._gas_limit)
        if not success:
            raise _error(output)
        return decode([result], output)[0]


def _error(output: bytes) -> EvaluationError:
    if output[:4] == _MALFORMED:
        return MalformedInstructionError(f"malformed at byte {int.from_bytes(output[4:36], 'big')}")
    if output[:4] == _NOT_OPENED:
        return ChunkNotOpenedError(int.from_bytes(output[4:36], "big"), int.from_bytes(output[36:68], "big"))
    return EvaluationError(f"the evaluator stopped with {'0x' + output.hex() if output else 'nothing (out of gas?)'}")


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
        except RuntimeError:
            result = self._evm.result
            return False, bytes(result.output or b""), result.gas_used - base
        return True, bytes(output), self._evm.result.gas_used - base


class _PyEvm:
    def __init__(self, code: bytes) -> None:
        from eth.chains.base import MiningChain
        from eth.db.atomic import AtomicDB
        from eth.vm.forks.cancun import CancunVM

        self._to = bytes.fromhex(_ADDRESS[2:])
        chain = MiningChain.configure("Evaluator", vm_configuration=((0, CancunVM),), chain_id=1)
        state = {self._to: {"balance": 0, "nonce": 1, "code": code, "storage": {}}}
        genesis = {"difficulty": 0, "gas_limit": 1 << 30, "timestamp": 0}
        self._vm = chain.from_genesis(AtomicDB(), genesis, state).get_vm()
        self._code = code

    def call(self, data: bytes, gas: int) -> tuple[bool, bytes, int]:
        caller = bytes.fromhex(_CALLER[2:])
        computation = self._vm.execute_bytecode(caller, 0, gas, self._to, caller, 0, data, self._code)
        return computation.is_success, computation.output, computation.get_gas_used()
