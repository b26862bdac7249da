// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {ClaimStatus, ClaimView} from "./Types.sol";

/// @title Answers with a bond
/// @notice COMMITTED → PROPOSED → FINALIZED | REFUTED; also COMMITTED → FORFEITED (not revealed in time) and
/// PROPOSED → VOID (the model's own program is malformed). Several claims may stand for a request; the first to
/// finalize answers it, and ends nothing for the others.
interface IClaims {
    /// @param claimId `keccak256(abi.encode(chain id, oracle, requestId, claimant, nonce, commitment))`.
    /// @param order 1 for the request's first claim.
    /// @param revealBy Last time to reveal.
    event ClaimCommitted(
        bytes32 indexed claimId,
        bytes32 indexed requestId,
        address indexed claimant,
        bytes32 commitment,
        uint256 order,
        uint256 revealBy
    );
    /// @notice The answer is public, and may be challenged until `windowEnd`.
    event ClaimProposed(
        bytes32 indexed claimId,
        bytes32 indexed requestId,
        address indexed claimant,
        bytes32 outputRoot,
        bytes32 witnessRoot,
        uint256 order,
        uint256 windowEnd,
        bytes output,
        bytes witness
    );
    event ClaimForfeited(bytes32 indexed claimId, bytes32 indexed requestId, uint256 burned);
    /// @param answered Whether this claim is the request's answer; false where another one was first.
    event ClaimFinalized(bytes32 indexed claimId, bytes32 indexed requestId, bool answered);
    event ClaimRefuted(bytes32 indexed claimId, bytes32 indexed requestId, bytes32 challengeId);
    event ClaimVoided(bytes32 indexed claimId, bytes32 indexed requestId);

    error ClaimExists(bytes32 claimId);
    error ClaimNotIn(bytes32 claimId, ClaimStatus status, ClaimStatus required);
    /// @notice The listing wants claims committed before they are revealed, or wants them not to be.
    error CommitRevealIs(bool required);
    error WrongCommitment(bytes32 given, bytes32 required);
    error RevealTooLate(uint256 time, uint256 limit);
    error RevealStillPossible(uint256 time, uint256 limit);
    /// @notice The claim's window, or the longest game over it, has not ended.
    error NotFinal(uint256 time, uint256 finalAfter, uint256 openChallenges);

    /// @notice Commits to an answer, with the claim bond.
    /// @param commitment `keccak256(abi.encode(chain id, oracle, requestId, claimant, salt, outputRoot, witnessRoot,
    /// output bytes, witness bytes))`, the lengths as numbers.
    function commitClaim(bytes32 requestId, bytes32 commitment, uint256 nonce)
        external
        payable
        returns (bytes32 claimId);

    /// @notice Publishes a committed answer; the challenge window starts.
    function revealClaim(bytes32 claimId, bytes32 salt, bytes calldata output, bytes calldata witness)
        external;

    /// @notice Claims an answer at once, where the listing does without commitments. The id is made with
    /// `commitment = keccak256(abi.encode(outputRoot, witnessRoot))`.
    function proposeClaim(bytes32 requestId, uint256 nonce, bytes calldata output, bytes calldata witness)
        external
        payable
        returns (bytes32 claimId);

    /// @notice Ends a claim that was not revealed in time: half of its bond is burned.
    function forfeit(bytes32 claimId) external;

    /// @notice Ends an unrefuted claim after its window: no challenge open, or the longest possible game over.
    function finalize(bytes32 claimId) external;

    function getClaim(bytes32 claimId) external view returns (ClaimView memory);

    /// @notice First time at which `finalize` succeeds if nobody moves; 0 for a claim that is not proposed.
    function finalAt(bytes32 claimId) external view returns (uint256);
}
