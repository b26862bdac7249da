// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {ChallengeKey, ChallengeStatus, ChallengeView, InstructionProof, Proof, Step} from "./Types.sol";

/// @title The dispute game
/// @notice A challenge descends a claim's trace to one chunk of one tensor, where one element is recomputed
/// (docs/protocol.md §3). Challenges run side by side, each on its own clocks; reveals serve all of them.
interface IGame {
    event ChallengeOpened(
        bytes32 indexed challengeId, bytes32 indexed claimId, address indexed challenger, uint256 nonce
    );
    event TracePosted(bytes32 indexed claimId, bytes32 traceRoot);
    event Revealed(bytes32 indexed claimId, bytes32 indexed node, uint64 lengthTag, bytes32[] children);
    /// @param chunk As given: zeros at its end may be left out.
    event ChunkPosted(bytes32 indexed claimId, bytes32 indexed node, uint64 lengthTag, bytes chunk);
    /// @notice A challenge now disputes `node`.
    /// @param instruction `NO_INDEX` inside the trace tree.
    /// @param position Place among the nodes of its height.
    /// @param height Levels above the leaves of its tree.
    /// @param byteLength Of the disputed tensor; 0 inside the trace tree.
    event Picked(
        bytes32 indexed challengeId,
        bytes32 indexed claimId,
        bytes32 node,
        uint32 instruction,
        uint64 position,
        uint8 height,
        uint64 byteLength
    );
    /// @notice The element that convicts.
    event ElementProved(bytes32 indexed challengeId, uint256 element, uint256 claimed, uint256 computed);
    event ChallengeSettled(
        bytes32 indexed challengeId,
        bytes32 indexed claimId,
        ChallengeStatus status,
        uint256 toChallenger,
        uint256 toClaimant
    );
    event DelegateSet(address indexed challenger, address indexed delegate, bool allowed);

    error ChallengeExists(bytes32 challengeId);
    error ChallengeNotActive(bytes32 challengeId, ChallengeStatus status);
    error WindowClosed(uint256 time, uint256 windowEnd);
    /// @notice The move is another account's to make.
    error NotAllowed(address sender, address required);
    error TraceAlreadyPosted(bytes32 traceRoot);
    /// @notice Hashes fold to something else than what they have to prove.
    error WrongRoot(bytes32 folded, bytes32 required);
    error WrongChildCount(uint256 given, uint256 required);
    error AlreadyRevealed(bytes32 node, uint256 time);
    error NotRevealed(bytes32 node);
    /// @notice The children or the chunk are not the revealed ones.
    error NotTheRevealed(bytes32 node);
    /// @notice The move answers another node than the challenge's current one.
    error StaleNode(bytes32 expected, bytes32 current);
    error ChildOutOfRange(uint256 index, uint256 count);
    error InstructionOutOfRange(uint256 index, uint256 count);
    /// @notice A descent ends at a tensor, which must be named, or names one elsewhere.
    error NamingMismatch(bool given, bool required);
    error NothingPicked();
    /// @notice The clock of the player who moves has run out.
    error ClockOut(uint256 time, uint256 limit);
    /// @notice The player on turn may still move.
    error ClockRunning(uint256 time, uint256 limit);
    /// @notice The dispute has not come down to a chunk.
    error NotAtChunk(uint256 height);
    error SlotOutOfRange(uint256 slot, uint256 count);
    /// @notice An opening's reference is none of the instruction's, or out of order.
    error BadOpening(uint256 ref);
    /// @notice The recomputed element equals the claimed one.
    error ElementIsRight(uint256 element, uint256 bits);
    /// @notice The claim is not decided yet.
    error ClaimUndecided(bytes32 claimId);

    /// @notice Disputes a proposed claim, with the challenge bond. Valid until the end of the claim's window.
    function open(bytes32 claimId, uint256 nonce) external payable returns (bytes32 challengeId);

    /// @notice Lets another account make the caller's picks, or forbids it.
    function setDelegate(address delegate, bool allowed) external;

    /// @notice Commits the claimant to a trace; the claimant only, once per claim.
    /// @param outputPath The claimed output's path in the trace tree, bottom first.
    /// @param witnessPath The claimed witness' path; empty for a model without one.
    /// @param okPath The path of the one-byte tensor 1.
    function postTrace(
        bytes32 claimId,
        bytes32 traceRoot,
        bytes32[] calldata outputPath,
        bytes32[] calldata witnessPath,
        bytes32[] calldata okPath
    ) external;

    /// @notice Opens up to four levels under a node, for all challenges of the claim at once; anyone may.
    /// @param lengthTag The byte length where `node` is a tensor root, else `NO_LENGTH`.
    /// @param children A power of two from 2 to 32 hashes, left to right.
    function reveal(bytes32 claimId, bytes32 node, uint64 lengthTag, bytes32[] calldata children) external;

    /// @notice Publishes a chunk; anyone may.
    /// @param node Its leaf hash, or the tensor root of a tensor of one chunk.
    /// @param lengthTag The byte length where `node` is a tensor root, else `NO_LENGTH`.
    /// @param chunk At most 1,024 bytes; zeros at its end may be left out.
    function postChunk(bytes32 claimId, bytes32 node, uint64 lengthTag, bytes calldata chunk) external;

    /// @notice Descends through one or more revealed levels; the challenger or its delegate.
    /// @param expectedNode The node that the first step starts from.
    /// @param naming The instruction, where the descent ends at a leaf of the trace tree; else empty.
    function pick(
        ChallengeKey calldata key,
        bytes32 expectedNode,
        Step[] calldata steps,
        InstructionProof calldata naming
    ) external;

    /// @notice Convicts the claim by one element of the posted chunk; anyone may, on the challenger's clock.
    function prove(ChallengeKey calldata key, bytes32 expectedNode, Proof calldata proof) external;

    /// @notice Settles a challenge in which a clock has run out.
    function timeout(ChallengeKey calldata key) external;

    /// @notice Settles a challenge whose claim is decided.
    function close(ChallengeKey calldata key) external;

    function getChallenge(ChallengeKey calldata key) external view returns (ChallengeView memory);

    function challengeIdOf(ChallengeKey calldata key) external view returns (bytes32);

    /// @notice When a node was revealed (`childCount` 2…32) or its chunk posted (0); 0 if never.
    function revealedAt(bytes32 claimId, bytes32 node, uint64 lengthTag, uint256 childCount)
        external
        view
        returns (uint256);
}
