// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IElementEvaluator} from "./IElementEvaluator.sol";

/// @dev Stands for "no instruction": a model without a witness, a challenge still in the trace tree.
uint32 constant NO_INDEX = type(uint32).max;

/// @dev The length tag of a node that is not a tensor root (docs/protocol.md §3).
uint64 constant NO_LENGTH = type(uint64).max;

/// @notice What a source (0 request input, 1 claim output, 2 claim witness) may hold.
/// @param dtype Element type code, 1…6.
/// @param minElements Fewest elements.
/// @param maxElements Most elements; 0 for a source that the model does not use.
struct Source {
    uint8 dtype;
    uint64 minElements;
    uint64 maxElements;
}

/// @notice `c0·n0 + c1·n1 + c2·n2 ≤ bound`, n in elements; all zero if unused.
struct Inequality {
    int64 c0;
    int64 c1;
    int64 c2;
    int64 bound;
}

/// @notice A derived symbol `ceil(n_source / divisor)`; divisor 0 if unused.
struct Derived {
    uint8 source;
    uint64 divisor;
}

/// @notice What a model id commits to: `modelId = sha256(abi.encode(model))` (docs/protocol.md §2).
/// @param version 1.
/// @param instructionCount Instructions of the tape, at least 1.
/// @param programRoot Merkle root over `H(00 ‖ instruction bytes)`.
/// @param weightCount Constants of the tape.
/// @param weightsRoot Merkle root over the constants' tensor roots.
/// @param output Instruction whose result must equal the claim's output.
/// @param witness Instruction whose result must equal the claim's witness, or `NO_INDEX`.
/// @param ok Instruction whose result must be the one byte 1.
/// @param sources Types and limits of input, output and witness.
/// @param inequalities Limits over the lengths together.
/// @param derived Symbols 3…7.
/// @param stepBound Most calldata bytes of the proof of one element.
/// @param traceWork Elementary operations of a trace at the limits.
struct Model {
    uint32 version;
    uint32 instructionCount;
    bytes32 programRoot;
    uint32 weightCount;
    bytes32 weightsRoot;
    uint32 output;
    uint32 witness;
    uint32 ok;
    Source[3] sources;
    Inequality[4] inequalities;
    Derived[5] derived;
    uint64 stepBound;
    uint64 traceWork;
}

/// @notice The terms under which a model is asked. Times in seconds, money in wei.
/// @param window Time to challenge a claim from its reveal.
/// @param challengerClock Thinking time of a challenger, over a whole challenge.
/// @param defenderClock Thinking time of a defender, over a whole challenge.
/// @param revealTimeout Time from commit to reveal.
/// @param claimBond Locked by each claim.
/// @param challengeBond Locked by each challenge.
/// @param minFee Least fee of a request, without its callback.
/// @param commitReveal Whether claims are committed before they are revealed.
struct Policy {
    uint32 window;
    uint32 challengerClock;
    uint32 defenderClock;
    uint32 revealTimeout;
    uint96 claimBond;
    uint96 challengeBond;
    uint96 minFee;
    bool commitReveal;
}

/// @notice Floors and caps that hold for every listing; fixed at deployment. Times in seconds, money in wei.
/// @param minWindow Window floor; four trace times come on top.
/// @param minClock Floor of both clocks; four trace times come on top.
/// @param minRevealTimeout Floor of the reveal timeout.
/// @param settleMargin Time to call timeouts between the last clock's end and forced finality.
/// @param requestLifetime Lifetime of requests that name no deadline.
/// @param maxInputBytes Cap on a request's input.
/// @param maxClaimBytes Cap on a claim's output and on its witness.
/// @param maxStepBytes Cap on a model's step bound.
/// @param minClaimBond Claim bond floor.
/// @param minChallengeBond Challenge bond floor.
/// @param callbackGasPrice What a request pays for one gas of its callback's limit.
/// @param traceSecondPrice What a lost challenge pays for one second of trace work.
struct Limits {
    uint32 minWindow;
    uint32 minClock;
    uint32 minRevealTimeout;
    uint32 settleMargin;
    uint32 requestLifetime;
    uint32 maxInputBytes;
    uint32 maxClaimBytes;
    uint32 maxStepBytes;
    uint96 minClaimBond;
    uint96 minChallengeBond;
    uint96 callbackGasPrice;
    uint96 traceSecondPrice;
}

/// @notice How a request wants to be answered.
/// @param callback Called with the answer; none if zero.
/// @param gasLimit Gas given to the callback.
/// @param provisional Whether answers may also be delivered before finality.
/// @param deadline Last time at which claims are accepted; 0 for the contract's default lifetime.
/// @param fee Paid for the answer; 0 for the listing's least fee. The callback's gas comes on top.
/// @param nonce Tells apart requests of one sender for the same input.
/// @param callbackData Handed back to the callback.
struct RequestOptions {
    address callback;
    uint32 gasLimit;
    bool provisional;
    uint40 deadline;
    uint96 fee;
    uint256 nonce;
    bytes callbackData;
}

enum RequestStatus {
    NONE,
    OPEN,
    ANSWERED,
    EXPIRED
}

enum ClaimStatus {
    NONE,
    COMMITTED,
    PROPOSED,
    FINALIZED,
    REFUTED,
    VOID,
    FORFEITED
}

enum ChallengeStatus {
    NONE,
    ACTIVE,
    WON,
    LOST,
    VOID
}

/// @notice Whose clock runs.
enum Turn {
    NOBODY,
    DEFENDER,
    CHALLENGER
}

/// @notice A request as `getRequest` returns it.
/// @param listingId What is asked.
/// @param requester Who pays, and is refunded.
/// @param status Where it stands.
/// @param provisional Whether early delivery is wanted.
/// @param delivered Whether the final callback has succeeded.
/// @param feePaid Whether the fee has been paid out or refunded.
/// @param deadline Last time at which claims are accepted.
/// @param claims Claims ever made.
/// @param standing Claims not decided yet.
/// @param fee In wei, without the callback's.
/// @param inputElements Symbol 0.
/// @param gasLimit Of the callback.
/// @param callback Who is called.
/// @param inputRoot Tensor root of the input.
/// @param callbackHash keccak256 of the callback data.
/// @param answer The claim that answers it, or zero.
struct RequestView {
    bytes32 listingId;
    address requester;
    RequestStatus status;
    bool provisional;
    bool delivered;
    bool feePaid;
    uint40 deadline;
    uint32 claims;
    uint32 standing;
    uint96 fee;
    uint32 inputElements;
    uint32 gasLimit;
    address callback;
    bytes32 inputRoot;
    bytes32 callbackHash;
    bytes32 answer;
}

/// @notice A claim as `getClaim` returns it.
/// @param requestId What it answers.
/// @param claimant Who made it.
/// @param status Where it stands.
/// @param order 1 for the request's first claim, in order of commitment.
/// @param openChallenges Challenges not settled yet.
/// @param windowEnd COMMITTED: last time to reveal; later: last time to challenge.
/// @param traceTime When the trace root was posted, or 0.
/// @param outputElements Symbol 1.
/// @param witnessElements Symbol 2.
/// @param outputRoot Tensor root of the output; the commitment while COMMITTED.
/// @param witnessRoot Tensor root of the witness.
/// @param traceRoot Zero until posted.
/// @param pot Of a refuted claim, in wei: what its void challengers may still draw.
struct ClaimView {
    bytes32 requestId;
    address claimant;
    ClaimStatus status;
    uint32 order;
    uint32 openChallenges;
    uint40 windowEnd;
    uint40 traceTime;
    uint32 outputElements;
    uint32 witnessElements;
    bytes32 outputRoot;
    bytes32 witnessRoot;
    bytes32 traceRoot;
    uint256 pot;
}

/// @notice Names a challenge; its id is `keccak256(abi.encode(chain id, oracle, claimId, challenger, nonce))`.
struct ChallengeKey {
    bytes32 claimId;
    address challenger;
    uint256 nonce;
}

/// @notice A challenge as `getChallenge` returns it.
/// @param status Where it stands.
/// @param since Time of the challenger's last move.
/// @param challengerLeft Seconds on the challenger's clock at its last move.
/// @param defenderLeft Seconds on the defender's clock at the challenger's last move.
/// @param instruction The disputed instruction, `NO_INDEX` while the trace tree is descended.
/// @param position Place of the current node among the nodes of its height, from the left.
/// @param height Levels between the current node and the leaves of its tree.
/// @param byteLength Of the disputed tensor; 0 while the trace tree is descended.
/// @param challengerCost Metered wei of the challenger's moves, drawn from the pot if another challenge wins.
/// @param steps Levels of reveals descended so far.
/// @param node The disputed node; zero while there is no trace root.
/// @param turn Whose clock runs.
/// @param limit Last time at which that player may move.
struct ChallengeView {
    ChallengeStatus status;
    uint40 since;
    uint32 challengerLeft;
    uint32 defenderLeft;
    uint32 instruction;
    uint64 position;
    uint8 height;
    uint64 byteLength;
    uint256 challengerCost;
    uint16 steps;
    bytes32 node;
    Turn turn;
    uint40 limit;
}

/// @notice One level of a descent: the revealed children, and which of them is disputed.
struct Step {
    bytes32[] children;
    uint256 index;
}

/// @notice An instruction's bytes and its path in the program tree, bottom first.
struct InstructionProof {
    bytes instruction;
    bytes32[] path;
}

/// @notice Shows that one element of the disputed chunk does not follow from the claim's own trace.
/// @param instruction The disputed instruction.
/// @param chunk The disputed chunk; zeros at its end may be left out.
/// @param slot Place of the element in the chunk, in elements.
/// @param openings Operand chunks that the element reads, by strictly ascending ref.
/// @param siblings For each opening, the chunks' multiproof in the operand's chunk tree.
/// @param rootSiblings The operands' multiproof in the trace tree (CONST: in the weights tree; INPUT: empty).
struct Proof {
    InstructionProof instruction;
    bytes chunk;
    uint256 slot;
    IElementEvaluator.Opening[] openings;
    bytes32[][] siblings;
    bytes32[] rootSiblings;
}
