// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IElementEvaluator} from "../interfaces/IElementEvaluator.sol";
import {IGame} from "../interfaces/IGame.sol";
import {
    ChallengeKey,
    ClaimStatus,
    InstructionProof,
    NO_INDEX,
    NO_LENGTH,
    Proof,
    Step,
    Turn
} from "../interfaces/Types.sol";
import {Shapes} from "../lib/Shapes.sol";
import {Trees} from "../lib/Trees.sol";
import {Challenges} from "./Challenges.sol";

/// @notice The moves of a dispute.
abstract contract Game is Challenges {
    uint256 private constant INPUT = 1;
    uint256 private constant CONST = 2;

    /// @inheritdoc IGame
    function postTrace(
        bytes32 claimId,
        bytes32 traceRoot,
        bytes32[] calldata outputPath,
        bytes32[] calldata witnessPath,
        bytes32[] calldata okPath
    ) external {
        Claim storage c = _claims[claimId];
        _requireClaimIn(claimId, c.status, ClaimStatus.PROPOSED);
        // INVARIANT: only the claimant's key binds the claim to a trace: anyone else could bind it to a wrong one.
        require(msg.sender == c.claimant, NotAllowed(msg.sender, c.claimant));
        require(c.traceTime == 0, TraceAlreadyPosted(c.traceRoot));
        Program storage p = _programs[c.listing];
        uint256 depth = Trees.depth(p.instructionCount);
        _requireRoot(Trees.foldPath(c.outputRoot, p.output, outputPath, depth), traceRoot);
        _requireRoot(Trees.foldPath(Trees.ONE_ROOT, p.ok, okPath, depth), traceRoot);
        if (p.witness != NO_INDEX) {
            _requireRoot(Trees.foldPath(_witnessRoot(c), p.witness, witnessPath, depth), traceRoot);
        }
        c.traceTime = uint40(block.timestamp);
        c.traceRoot = traceRoot;
        emit TracePosted(claimId, traceRoot);
    }

    /// @inheritdoc IGame
    function reveal(bytes32 claimId, bytes32 node, uint64 lengthTag, bytes32[] calldata children) external {
        uint256 count = children.length;
        // A power of two from 2 to 16.
        require(count > 1 && count <= 1 << ARITY_LOG2 && count & (count - 1) == 0, WrongChildCount(count, 16));
        bytes32 root = Trees.fold(children);
        if (lengthTag != NO_LENGTH) root = Trees.bindLength(lengthTag, root);
        _requireRoot(root, node);
        _record(claimId, node, lengthTag, count, _hashOf(children));
        emit Revealed(claimId, node, lengthTag, children);
    }

    /// @inheritdoc IGame
    function postChunk(bytes32 claimId, bytes32 node, uint64 lengthTag, bytes calldata chunk) external {
        (bytes32 root, bytes32 recorded) = Trees.chunkHashes(chunk);
        if (lengthTag != NO_LENGTH) root = Trees.bindLength(lengthTag, root);
        _requireRoot(root, node);
        _record(claimId, node, lengthTag, 0, recorded);
        emit ChunkPosted(claimId, node, lengthTag, chunk);
    }

    /// @inheritdoc IGame
    function pick(
        ChallengeKey calldata key,
        bytes32 expectedNode,
        Step[] calldata steps,
        InstructionProof calldata naming
    ) external {
        require(
            msg.sender == key.challenger || _delegates[key.challenger][msg.sender],
            NotAllowed(msg.sender, key.challenger)
        );
        (bytes32 id, Challenge storage ch) = _activeChallenge(key);
        Claim storage c = _claims[key.claimId];
        _spendClocks(ch, c, key.claimId);
        (bytes32 node, uint8 height) = _place(ch, c);
        _requireNode(expectedNode, node);
        (uint32 instruction, uint40 byteLength) = (ch.instruction, ch.byteLength);
        uint256 position = ch.position;
        for (uint256 i = 0; i < steps.length; ++i) {
            (node, position, height) =
                _descend(key.claimId, node, position, height, instruction, byteLength, steps[i]);
        }
        bool named = naming.instruction.length != 0;
        bool atTensor = instruction == NO_INDEX && height == 0;
        require(named == atTensor, NamingMismatch(named, atTensor));
        require(named || steps.length != 0, NothingPicked());
        if (atTensor) {
            bool sound;
            instruction = uint32(position);
            (sound, byteLength) = _nameInstruction(c, position, naming);
            if (!sound) return _void(key, id, ch, c);
            height = uint8(Trees.chunkDepth(byteLength));
            position = 0;
        }
        ch.instruction = instruction;
        ch.position = uint32(position);
        ch.height = height;
        ch.byteLength = byteLength;
        ch.steps += uint8(steps.length);
        ch.costGwei += _costGwei(PICK_GAS);
        ch.node = node;
        emit Picked(id, key.claimId, node, instruction, uint64(position), height, byteLength);
    }

    /// @inheritdoc IGame
    function prove(ChallengeKey calldata key, bytes32 expectedNode, Proof calldata proof) external {
        (bytes32 id, Challenge storage ch) = _activeChallenge(key);
        Claim storage c = _claims[key.claimId];
        _requireClaimIn(key.claimId, c.status, ClaimStatus.PROPOSED);
        _requireNode(expectedNode, ch.node);
        require(ch.instruction != NO_INDEX && ch.height == 0, NotAtChunk(ch.height));
        (Turn turn, uint256 limit,) = _turn(ch, c, key.claimId);
        require(turn == Turn.CHALLENGER && block.timestamp <= limit, ClockOut(block.timestamp, limit));
        (, uint256 recorded) = _answer(ch, c, key.claimId);
        (, bytes32 chunkHash) = Trees.chunkHashes(proof.chunk);
        require(uint216(uint256(chunkHash)) == recorded, NotTheRevealed(expectedNode));
        (bool sound, uint256 element, uint256 claimed, uint256 computed) = _judge(ch, c, proof);
        if (!sound) return _void(key, id, ch, c);
        require(claimed != computed, ElementIsRight(element, claimed));
        emit ElementProved(id, element, claimed, computed);
        _convict(key, id, ch, c);
    }

    /// @dev Charges both clocks up to now, for a move of the challenger.
    function _spendClocks(Challenge storage ch, Claim storage c, bytes32 claimId) private {
        (Turn turn, uint256 limit, uint256 answered) = _turn(ch, c, claimId);
        require(answered != 0, NotRevealed(ch.node));
        require(turn == Turn.CHALLENGER && block.timestamp <= limit, ClockOut(block.timestamp, limit));
        ch.defenderLeft -= uint24(answered - ch.since);
        ch.challengerLeft = uint24(limit - block.timestamp);
        ch.since = uint40(block.timestamp);
    }

    /// @dev One level of a descent, through children that were revealed.
    function _descend(
        bytes32 claimId,
        bytes32 node,
        uint256 position,
        uint8 height,
        uint32 instruction,
        uint40 byteLength,
        Step calldata step
    ) private view returns (bytes32, uint256, uint8) {
        (uint64 lengthTag, uint256 count) = _question(instruction, height, byteLength);
        require(step.children.length == count && count != 0, WrongChildCount(step.children.length, count));
        require(step.index < count, ChildOutOfRange(step.index, count));
        uint256 record = _records[_recordKey(claimId, node, lengthTag, count)];
        require(record != 0, NotRevealed(node));
        require(record & RECORD_HASH == uint256(_hashOf(step.children)) & RECORD_HASH, NotTheRevealed(node));
        return (step.children[step.index], position * count + step.index, height - uint8(Trees.depth(count)));
    }

    /// @dev The shape of the instruction at a trace leaf. Not sound where the encoding is malformed, or reads what comes
    /// later, or a tensor that no challenge can address.
    function _nameInstruction(Claim storage c, uint256 index, InstructionProof calldata naming)
        private
        view
        returns (bool sound, uint40 byteLength)
    {
        Program storage p = _programs[c.listing];
        uint256 count = p.instructionCount;
        // INVARIANT: padding of the trace tree is nobody's tensor.
        require(index < count, InstructionOutOfRange(index, count));
        _requireInstruction(p, index, naming);
        IElementEvaluator.Shape memory shape;
        (sound, shape) = _inspect(naming.instruction, _symbols(c));
        if (!sound) return (false, 0);
        uint256 refs = shape.refs.length;
        bool ordered = refs == 0 || shape.opcode == INPUT || shape.opcode == CONST || shape.refs[refs - 1] < index;
        sound = ordered && shape.byteLength <= type(uint40).max;
        byteLength = uint40(shape.byteLength);
    }

    /// @dev Recomputes one element of the disputed chunk from openings of the claim's own trace.
    function _judge(Challenge storage ch, Claim storage c, Proof calldata proof)
        private
        view
        returns (bool sound, uint256 element, uint256 claimed, uint256 computed)
    {
        // INVARIANT: the instruction that is proved is the one that was named at the tensor root.
        _requireInstruction(_programs[c.listing], ch.instruction, proof.instruction);
        uint64[8] memory symbols = _symbols(c);
        IElementEvaluator.Shape memory shape;
        (sound, shape) = _inspect(proof.instruction.instruction, symbols);
        if (!sound) return (false, 0, 0, 0);
        uint256 width = Shapes.width(shape.dtype);
        uint256 slots = Trees.CHUNK_BYTES / width;
        require(proof.slot < slots, SlotOutOfRange(proof.slot, slots));
        element = uint256(ch.position) * slots + proof.slot;
        claimed = _elementAt(proof.chunk, proof.slot * width, width);
        // At or past the count only zero is right: padding cannot stand for data, nor hide a difference.
        if (element >= shape.elementCount) return (true, element, claimed, 0);
        _requireOpenings(c, shape, proof);
        try IElementEvaluator(evaluator).evaluate(
            proof.instruction.instruction, symbols, uint64(element), proof.openings
        ) returns (uint64 bits) {
            computed = bits;
        } catch (bytes memory reason) {
            _requireMalformed(reason);
            sound = false;
        }
    }

    /// @dev The openings are of the tensors that the instruction names, in the claim's own trace.
    function _requireOpenings(Claim storage c, IElementEvaluator.Shape memory shape, Proof calldata proof)
        private
        view
    {
        uint256 count = proof.openings.length;
        require(proof.siblings.length == count, WrongChildCount(proof.siblings.length, count));
        if (count == 0) return;
        uint256[2][] memory roots = Trees.leavesOf(count);
        uint256 known = 0;
        for (uint256 i = 0; i < count; ++i) {
            uint256 ref = proof.openings[i].ref;
            while (known < shape.refs.length && shape.refs[known] != ref) ++known;
            // References of the shape ascend and each is met once, so these do too.
            require(known < shape.refs.length, BadOpening(ref));
            bytes32 root = _tensorRootOf(proof.openings[i], shape.refByteLengths[known++], proof.siblings[i]);
            Trees.setLeaf(roots, i, ref, root);
            if (shape.opcode == INPUT) _requireRoot(root, _sourceRoot(c, ref));
        }
        if (shape.opcode == INPUT) return;
        Program storage p = _programs[c.listing];
        bool weights = shape.opcode == CONST;
        uint256 depth = Trees.depth(weights ? p.weightCount : p.instructionCount);
        bytes32 folded = Trees.foldMultiproof(roots, depth, proof.rootSiblings);
        _requireRoot(folded, weights ? p.weightsRoot : c.traceRoot);
    }

    /// @dev The root of a tensor of that length which has the opened chunks at their positions.
    function _tensorRootOf(
        IElementEvaluator.Opening calldata opening,
        uint64 byteLength,
        bytes32[] calldata siblings
    ) private view returns (bytes32) {
        uint256 count = opening.positions.length;
        require(
            count != 0 && opening.chunks.length == count * Trees.CHUNK_BYTES, BadOpening(opening.ref)
        );
        uint256 depth = Trees.chunkDepth(byteLength);
        uint256[2][] memory leaves = Trees.leavesOf(count);
        uint256 next = 0;
        for (uint256 i = 0; i < count; ++i) {
            uint256 position = opening.positions[i];
            require(position >= next && position >> depth == 0, BadOpening(opening.ref));
            next = position + 1;
            uint256 start = i * Trees.CHUNK_BYTES;
            Trees.setLeaf(leaves, i, position, Trees.leaf(opening.chunks[start:start + Trees.CHUNK_BYTES]));
        }
        return Trees.bindLength(byteLength, Trees.foldMultiproof(leaves, depth, siblings));
    }

    function _sourceRoot(Claim storage c, uint256 source) private view returns (bytes32) {
        if (source == 0) return _requests[c.requestId].inputRoot;
        return source == 1 ? c.outputRoot : _witnessRoot(c);
    }

    function _symbols(Claim storage c) private view returns (uint64[8] memory) {
        return _symbolsFrom(
            _programs[c.listing].derived,
            _requests[c.requestId].inputElements,
            c.outputElements,
            c.witnessElements
        );
    }

    function _inspect(bytes calldata instruction, uint64[8] memory symbols)
        private
        view
        returns (bool, IElementEvaluator.Shape memory)
    {
        try IElementEvaluator(evaluator).inspect(instruction, symbols) returns (
            IElementEvaluator.Shape memory shape
        ) {
            return (true, shape);
        } catch (bytes memory reason) {
            _requireMalformed(reason);
            IElementEvaluator.Shape memory none;
            return (false, none);
        }
    }

    /// @dev Hands on every failure of the evaluator but the one that voids a claim; want of gas must not void it.
    function _requireMalformed(bytes memory reason) private pure {
        if (bytes4(reason) == IElementEvaluator.MalformedInstruction.selector) return;
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }

    function _requireInstruction(Program storage p, uint256 index, InstructionProof calldata proof) private view {
        uint256 depth = Trees.depth(p.instructionCount);
        _requireRoot(
            Trees.foldPath(Trees.leaf(proof.instruction), index, proof.path, depth), p.programRoot
        );
    }

    /// @dev INVARIANT: a node is answered once, so that its time cannot be made later.
    function _record(bytes32 claimId, bytes32 node, uint64 lengthTag, uint256 count, bytes32 hash) private {
        bytes32 key = _recordKey(claimId, node, lengthTag, count);
        uint256 known = _records[key];
        require(known == 0, AlreadyRevealed(node, known >> 216));
        _records[key] = block.timestamp << 216 | uint256(hash) & RECORD_HASH;
    }

    function _hashOf(bytes32[] calldata hashes) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            calldatacopy(buffer, hashes.offset, shl(5, hashes.length))
            hash := keccak256(buffer, shl(5, hashes.length))
        }
    }

    /// @dev Little-endian bits of an element; bytes past the given chunk are zero.
    function _elementAt(bytes calldata chunk, uint256 offset, uint256 width) private pure returns (uint256 bits) {
        for (uint256 i = width; i != 0; --i) {
            uint256 start = offset + i - 1;
            bits = bits << 8 | (start < chunk.length ? uint8(chunk[start]) : 0);
        }
    }

    function _requireRoot(bytes32 folded, bytes32 required) private pure {
        require(folded == required, WrongRoot(folded, required));
    }

    /// @dev INVARIANT: a move answers the node its sender saw, so that a reorg cannot redirect it.
    function _requireNode(bytes32 expected, bytes32 current) private pure {
        require(expected == current, StaleNode(expected, current));
    }
}
