// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IGame} from "../interfaces/IGame.sol";
import {IJudge, Operands, Subject, Verdict} from "../interfaces/IJudge.sol";
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
import {Trees} from "../lib/Trees.sol";
import {Challenge, ChallengeState, StoredChallenge} from "./ChallengeState.sol";
import {Challenges} from "./Challenges.sol";
import {Judge} from "./Judge.sol";

/// @notice The moves of a dispute.
abstract contract Game is Challenges {
    using ChallengeState for StoredChallenge;

    uint256 private constant INPUT = 1;
    uint256 private constant CONST = 2;

    /// @dev Words before the last argument's own encoding in calls of the judge. That encoding is position independent and
    /// reaches to the end of the calldata, so it is handed on as it is: not decoded here, nor encoded again.
    uint256 private constant NAME_WORDS = 8;
    uint256 private constant JUDGE_WORDS = 14;

    /// @dev A reveal lists a power of two of children, up to this.
    uint256 private constant MAX_CHILDREN = 2 << ARITY_LOG2;

    uint256 private constant MAX_BYTE_LENGTH = type(uint40).max;

    address private immutable _JUDGE;

    constructor(address evaluator_) {
        _JUDGE = address(new Judge(evaluator_));
    }

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
        Listing storage l = _listings[c.listing];
        uint256 depth = Trees.depth(l.instructionCount);
        _requireRoot(Trees.foldPath(c.outputRoot, l.output, outputPath, depth), traceRoot);
        _requireRoot(Trees.foldPath(Trees.ONE_ROOT, l.ok, okPath, depth), traceRoot);
        if (l.witness != NO_INDEX) {
            _requireRoot(Trees.foldPath(_witnessRoot(c), l.witness, witnessPath, depth), traceRoot);
        }
        c.traceTime = uint40(block.timestamp);
        c.traceRoot = traceRoot;
        emit TracePosted(claimId, traceRoot);
    }

    /// @inheritdoc IGame
    function reveal(bytes32 claimId, bytes32 node, uint64 lengthTag, bytes32[] calldata children) external {
        uint256 count = children.length;
        require(
            count > 1 && count <= MAX_CHILDREN && count & (count - 1) == 0,
            WrongChildCount(count, MAX_CHILDREN)
        );
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
        (bytes32 id, Challenge memory ch) = _activeChallenge(key);
        Claim storage c = _claims[key.claimId];
        // INVARIANT: a decided claim is not decided again: naming a malformed instruction gives all bonds back.
        _requireClaimIn(key.claimId, c.status, ClaimStatus.PROPOSED);
        _locate(ch, c);
        _requireNode(expectedNode, ch.node);
        _spendClocks(ch, c, key.claimId);
        for (uint256 i = 0; i < steps.length; ++i) {
            _descend(key.claimId, ch, steps[i]);
        }
        bool named = naming.instruction.length != 0;
        bool atTensor = ch.instruction == NO_INDEX && ch.height == 0;
        require(named == atTensor, NamingMismatch(named, atTensor));
        require(named || steps.length != 0, NothingPicked());
        if (atTensor && !_nameInstruction(ch, c, naming)) return _void(key, id, c);
        ch.costGwei += _costGwei(PICK_GAS);
        _challenges[id].save(ch);
        emit Picked(
            id,
            key.claimId,
            ch.node,
            uint32(ch.instruction),
            uint64(ch.position),
            uint8(ch.height),
            uint64(ch.byteLength)
        );
    }

    /// @inheritdoc IGame
    function prove(ChallengeKey calldata key, bytes32 expectedNode, Proof calldata proof) external {
        (bytes32 id, Challenge memory ch) = _activeChallenge(key);
        Claim storage c = _claims[key.claimId];
        _requireClaimIn(key.claimId, c.status, ClaimStatus.PROPOSED);
        _requireNode(expectedNode, ch.node);
        require(ch.instruction != NO_INDEX && ch.height == 0, NotAtChunk(ch.height));
        (Turn turn, uint256 limit,, uint256 recorded) = _turn(ch, c, key.claimId);
        require(turn == Turn.CHALLENGER && block.timestamp <= limit, ClockOut(block.timestamp, limit));
        Verdict memory v = _judge(ch, c, proof);
        require(uint256(v.chunkHash) & RECORD_HASH == recorded, NotTheRevealed(expectedNode));
        if (!v.sound) return _void(key, id, c);
        require(v.claimed != v.computed, ElementIsRight(v.element, v.claimed));
        emit ElementProved(id, v.element, v.claimed, v.computed);
        _convict(key, id, c);
    }

    /// @dev Charges both clocks up to now, for a move of the challenger.
    function _spendClocks(Challenge memory ch, Claim storage c, bytes32 claimId) private view {
        (Turn turn, uint256 limit, uint256 answered,) = _turn(ch, c, claimId);
        require(answered != 0, NotRevealed(ch.node));
        require(turn == Turn.CHALLENGER && block.timestamp <= limit, ClockOut(block.timestamp, limit));
        ch.defenderLeft -= answered - ch.since;
        ch.challengerLeft = limit - block.timestamp;
        ch.since = block.timestamp;
    }

    /// @dev One level of a descent, through children that were revealed.
    function _descend(bytes32 claimId, Challenge memory ch, Step calldata step) private view {
        (uint64 lengthTag, uint256 count) = _question(ch);
        bytes32[] calldata children = step.children;
        uint256 index = step.index;
        require(children.length == count && count != 0, WrongChildCount(children.length, count));
        require(index < count, ChildOutOfRange(index, count));
        uint256 record = _records[_recordKey(claimId, ch.node, lengthTag, count)];
        require(record != 0, NotRevealed(ch.node));
        require(record & RECORD_HASH == uint256(_hashOf(children)) & RECORD_HASH, NotTheRevealed(ch.node));
        ch.node = children[index];
        ch.position = ch.position * count + index;
        ch.height -= Trees.depth(count);
        ch.steps += 1;
    }

    /// @dev Goes on from a trace leaf to the tensor that its instruction writes. False where the model is at fault.
    function _nameInstruction(Challenge memory ch, Claim storage c, InstructionProof calldata naming)
        private
        view
        returns (bool)
    {
        uint256 count = _listings[c.listing].instructionCount;
        uint256 index = ch.position;
        // INVARIANT: padding of the trace tree is nobody's tensor.
        require(index < count, InstructionOutOfRange(index, count));
        uint256 start;
        assembly ("memory-safe") {
            start := naming
        }
        bytes memory head = abi.encodeWithSelector(IJudge.name.selector, _subject(c, index), NAME_WORDS * 32);
        (bool sound, uint256 byteLength) =
            abi.decode(_ask(_JUDGE, bytes.concat(head, msg.data[start:])), (bool, uint256));
        // Nor is a tensor sound that is longer than a challenge can address.
        if (!sound || byteLength > MAX_BYTE_LENGTH) return false;
        ch.instruction = index;
        ch.byteLength = byteLength;
        ch.height = Trees.chunkDepth(byteLength);
        ch.position = 0;
        return true;
    }

    function _judge(Challenge memory ch, Claim storage c, Proof calldata proof)
        private
        view
        returns (Verdict memory)
    {
        require(proof.instruction.instruction.length != 0, NamingMismatch(false, true));
        Operands memory operands = _operands(c, uint8(proof.instruction.instruction[0]));
        uint256 start;
        assembly ("memory-safe") {
            start := proof
        }
        bytes memory head = abi.encodeWithSelector(
            IJudge.judge.selector, _subject(c, ch.instruction), operands, ch.position, JUDGE_WORDS * 32
        );
        return abi.decode(_ask(_JUDGE, bytes.concat(head, msg.data[start:])), (Verdict));
    }

    function _subject(Claim storage c, uint256 index) private view returns (Subject memory subject) {
        Listing storage l = _listings[c.listing];
        subject.programRoot = l.programRoot;
        subject.instructionCount = l.instructionCount;
        subject.index = index;
        subject.derived = l.derived;
        subject.lengths = [_requests[c.requestId].inputElements, c.outputElements, c.witnessElements];
    }

    /// @dev Against what the operands of an instruction are opened; reads no more than its opcode needs.
    function _operands(Claim storage c, uint256 opcode) private view returns (Operands memory o) {
        Listing storage l = _listings[c.listing];
        if (opcode == INPUT) {
            o.sourceRoots = [_requests[c.requestId].inputRoot, c.outputRoot, _witnessRoot(c)];
        } else if (opcode == CONST) {
            (o.root, o.count) = (l.weightsRoot, l.weightCount);
        } else {
            (o.root, o.count) = (c.traceRoot, l.instructionCount);
        }
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

    function _requireRoot(bytes32 folded, bytes32 required) private pure {
        require(folded == required, WrongRoot(folded, required));
    }

    /// @dev INVARIANT: a move answers the node its sender saw, so that a reorg cannot redirect it.
    function _requireNode(bytes32 expected, bytes32 current) private pure {
        require(expected == current, StaleNode(expected, current));
    }
}
