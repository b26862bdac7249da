// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {TensorView} from "../evaluator/TensorView.sol";
import {IElementEvaluator} from "../interfaces/IElementEvaluator.sol";
import {IGame} from "../interfaces/IGame.sol";
import {IJudge, Operands, Subject, Verdict} from "../interfaces/IJudge.sol";
import {InstructionProof, Proof} from "../interfaces/Types.sol";
import {Trees} from "../lib/Trees.sol";

/// @title Judges proofs about one instruction
contract Judge is IJudge {
    uint256 private constant INPUT = 1;
    uint256 private constant CONST = 2;

    IElementEvaluator private immutable _EVALUATOR;

    constructor(address evaluator_) {
        _EVALUATOR = IElementEvaluator(evaluator_);
    }

    /// @inheritdoc IJudge
    function name(Subject calldata subject, InstructionProof calldata naming)
        external
        view
        returns (bool sound, uint256 byteLength)
    {
        _requireInstruction(subject, naming);
        IElementEvaluator.Shape memory shape;
        (sound, shape) = _inspect(naming.instruction, _symbols(subject));
        if (!sound) return (false, 0);
        uint256 refs = shape.refs.length;
        bool ordered = refs == 0 || shape.opcode == INPUT || shape.opcode == CONST
            || shape.refs[refs - 1] < subject.index;
        return (ordered, shape.byteLength);
    }

    /// @inheritdoc IJudge
    function judge(
        Subject calldata subject,
        Operands calldata operands,
        uint256 position,
        Proof calldata proof
    ) external view returns (Verdict memory v) {
        (, v.chunkHash) = Trees.chunkHashes(proof.chunk);
        // INVARIANT: the instruction that is proved is the one that was named at the tensor root.
        _requireInstruction(subject, proof.instruction);
        uint256 width = _width(proof.instruction.instruction);
        if (width == 0) return v;
        uint256 slots = Trees.CHUNK_BYTES / width;
        require(proof.slot < slots, IGame.SlotOutOfRange(proof.slot, slots));
        v.element = position * slots + proof.slot;
        v.claimed = _elementAt(proof.chunk, proof.slot * width, width);
        try _EVALUATOR.evaluate(
            proof.instruction.instruction, _symbols(subject), uint64(v.element), proof.openings
        ) returns (
            IElementEvaluator.Shape memory shape, uint64 bits
        ) {
            (v.sound, v.computed) = (true, bits);
            // INVARIANT: whatever was computed came from these openings, so they must be the claim's own. At or past the
            // count nothing is: there only zero is right, since padding cannot stand for data, nor hide a difference.
            if (v.element < shape.elementCount) _requireOpenings(operands, shape, proof);
        } catch (bytes memory reason) {
            // Whether reading goes astray depends on instruction, symbols and element alone, not on the opened bytes.
            _requireMalformed(reason);
        }
    }

    /// @dev Bytes of an element of the result; 0 for what is no instruction.
    function _width(bytes calldata instruction) private pure returns (uint256) {
        return instruction.length < 2 ? 0 : TensorView.widthOf(uint8(instruction[1]));
    }

    /// @dev The openings are of the tensors that the instruction names, in the claim's own trace.
    function _requireOpenings(
        Operands calldata operands,
        IElementEvaluator.Shape memory shape,
        Proof calldata proof
    ) private view {
        uint256 count = proof.openings.length;
        require(proof.siblings.length == count, IGame.WrongChildCount(proof.siblings.length, count));
        if (count == 0) return;
        uint256[2][] memory roots = Trees.leavesOf(count);
        uint256 known = 0;
        for (uint256 i = 0; i < count; ++i) {
            IElementEvaluator.Opening calldata opening = proof.openings[i];
            uint256 ref = opening.ref;
            while (known < shape.refs.length && shape.refs[known] != ref) ++known;
            // INVARIANT: references ascend strictly, since the shape's do and none is met twice.
            require(known < shape.refs.length, IGame.BadOpening(ref));
            bytes32 root = _tensorRoot(opening, shape.refByteLengths[known++], proof.siblings[i]);
            Trees.setLeaf(roots, i, ref, root);
            if (shape.opcode == INPUT) _requireRoot(root, operands.sourceRoots[ref]);
        }
        if (shape.opcode == INPUT) return;
        uint256 depth = Trees.depth(operands.count);
        _requireRoot(Trees.foldMultiproof(roots, depth, proof.rootSiblings), operands.root);
    }

    /// @dev The root of a tensor of that length which has the opened chunks at their positions.
    function _tensorRoot(
        IElementEvaluator.Opening calldata opening,
        uint64 byteLength,
        bytes32[] calldata siblings
    ) private view returns (bytes32) {
        uint256 count = opening.positions.length;
        require(
            count != 0 && opening.chunks.length == count * Trees.CHUNK_BYTES, IGame.BadOpening(opening.ref)
        );
        uint256[2][] memory leaves = Trees.leavesOf(count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 start = i * Trees.CHUNK_BYTES;
            bytes32 hash = Trees.leaf(opening.chunks[start:start + Trees.CHUNK_BYTES]);
            Trees.setLeaf(leaves, i, opening.positions[i], hash);
        }
        return
            Trees.bindLength(byteLength, Trees.foldMultiproof(leaves, Trees.chunkDepth(byteLength), siblings));
    }

    /// @dev All symbols of a tape from the lengths of its sources.
    function _symbols(Subject calldata subject) private pure returns (uint64[8] memory symbols) {
        for (uint256 i = 0; i < 3; ++i) {
            symbols[i] = subject.lengths[i];
        }
        uint256 derived = subject.derived;
        for (uint256 i = 3; derived != 0; ++i) {
            uint64 divisor = uint32(derived >> 8);
            if (divisor != 0) symbols[i] = (symbols[uint8(derived)] + divisor - 1) / divisor;
            derived >>= 40;
        }
    }

    function _inspect(bytes calldata instruction, uint64[8] memory symbols)
        private
        view
        returns (bool, IElementEvaluator.Shape memory shape)
    {
        try _EVALUATOR.inspect(instruction, symbols) returns (IElementEvaluator.Shape memory inspected) {
            return (true, inspected);
        } catch (bytes memory reason) {
            _requireMalformed(reason);
            return (false, shape);
        }
    }

    /// @dev Hands on every failure of the evaluator but the one that voids a claim: want of gas must not void it.
    function _requireMalformed(bytes memory reason) private pure {
        if (bytes4(reason) == IElementEvaluator.MalformedInstruction.selector) return;
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }

    function _requireInstruction(Subject calldata subject, InstructionProof calldata proof) private view {
        uint256 depth = Trees.depth(subject.instructionCount);
        bytes32 hash = Trees.leaf(proof.instruction);
        _requireRoot(Trees.foldPath(hash, subject.index, proof.path, depth), subject.programRoot);
    }

    /// @dev Little-endian bits of an element; bytes past the given chunk are zero.
    function _elementAt(bytes calldata chunk, uint256 offset, uint256 width)
        private
        pure
        returns (uint256 bits)
    {
        for (uint256 i = offset + width; i != offset; --i) {
            bits = bits << 8 | (i <= chunk.length ? uint8(chunk[i - 1]) : 0);
        }
    }

    function _requireRoot(bytes32 folded, bytes32 required) private pure {
        require(folded == required, IGame.WrongRoot(folded, required));
    }
}
