// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {InstructionProof, Proof} from "./Types.sol";

/// @notice What the oracle knows about a disputed instruction.
/// @param programRoot The model's.
/// @param instructionCount The model's.
/// @param index The disputed instruction.
/// @param derived The derived symbols: source (8 bits) and divisor (32 bits) each, symbol 3 lowest.
/// @param lengths Symbols 0, 1, 2.
struct Subject {
    bytes32 programRoot;
    uint256 instructionCount;
    uint256 index;
    uint256 derived;
    uint32[3] lengths;
}

/// @notice Against what operands are opened.
/// @param root Tree over the operands' tensor roots: of the trace or of the weights; unused by INPUT.
/// @param count Its leaves.
/// @param sourceRoots Tensor roots of input, output and witness; used by INPUT alone.
struct Operands {
    bytes32 root;
    uint256 count;
    bytes32[3] sourceRoots;
}

/// @notice What a proof shows.
/// @param sound False where the instruction is malformed: the model is at fault, not the claim.
/// @param chunkHash keccak256 of the given chunk, padded.
/// @param element Row-major number of the element.
/// @param claimed Its bits in the chunk.
/// @param computed Its bits as recomputed.
struct Verdict {
    bool sound;
    bytes32 chunkHash;
    uint256 element;
    uint256 claimed;
    uint256 computed;
}

/// @title Judges proofs about one instruction
/// @notice Stateless; split from the oracle for the sake of the contract size limit. It trusts the oracle for what it is
/// told about the model and the claim, and nobody for the rest. Reverts with the errors of `IGame`.
interface IJudge {
    /// @notice Checks that an instruction is the program's, and says how long its result is.
    /// @return sound False where it is malformed, or reads what comes later.
    function name(Subject calldata subject, InstructionProof calldata naming)
        external
        view
        returns (bool sound, uint256 byteLength);

    /// @notice Recomputes one element of a chunk of the instruction's result.
    /// @param position The chunk's.
    function judge(
        Subject calldata subject,
        Operands calldata operands,
        uint256 position,
        Proof calldata proof
    ) external view returns (Verdict memory);
}
