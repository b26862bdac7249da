// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Recomputes one element of one instruction of a tape
/// @notice The trusted core of the dispute game: the meaning of an instruction (docs/protocol.md §1) as the chain
/// sees it. Stateless and pure; it trusts its caller for the instruction bytes, the symbols and the opened chunks.
interface IElementEvaluator {
    /// @notice Opened 1,024-byte chunks of one operand tensor.
    /// @param ref The operand's reference, as the instruction spells it.
    /// @param positions The chunks' positions in the tensor, strictly ascending.
    /// @param chunks The chunks in the same order, concatenated.
    struct Opening {
        uint32 ref;
        uint32[] positions;
        bytes chunks;
    }

    /// @notice What a caller must know to check a proof.
    /// @param opcode 1 INPUT … 7 CONCAT.
    /// @param dtype The result's element type.
    /// @param elementCount Elements of the result.
    /// @param byteLength Bytes of the result.
    /// @param refs The distinct references, ascending.
    /// @param refByteLengths Bytes of each referenced tensor.
    /// @param refDtypes Element type of each referenced tensor.
    struct Shape {
        uint8 opcode;
        uint8 dtype;
        uint64 elementCount;
        uint64 byteLength;
        uint32[] refs;
        uint64[] refByteLengths;
        uint8[] refDtypes;
    }

    /// @notice The encoding does not decode, or reads outside an operand.
    /// @param position The byte at which decoding stopped.
    error MalformedInstruction(uint256 position);

    /// @notice The evaluation reads a chunk that was not opened.
    error ChunkNotOpened(uint32 ref, uint32 chunk);

    /// @notice Decodes an instruction for concrete symbols, wholly.
    function inspect(bytes calldata instruction, uint64[8] calldata symbols)
        external
        pure
        returns (Shape memory);

    /// @notice One element of the result, and what the caller must know to check the openings it was computed from.
    /// @param element Its row-major position; at and past the element count lies padding, which is zero.
    /// @param openings Openings of the operands, by strictly ascending ref; unused ones are ignored.
    /// @return shape As `inspect` returns it.
    /// @return bits The element's bits, zero-extended: byte i of the tensor's element is bits 8i…8i+7.
    function evaluate(
        bytes calldata instruction,
        uint64[8] calldata symbols,
        uint64 element,
        Opening[] calldata openings
    ) external pure returns (Shape memory shape, uint64 bits);

    /// @notice Several elements of one instruction, for self tests; past the element count is malformed.
    function evaluateMany(
        bytes calldata instruction,
        uint64[8] calldata symbols,
        uint64[] calldata elements,
        Opening[] calldata openings
    ) external pure returns (uint64[] memory bits);
}
