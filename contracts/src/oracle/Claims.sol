// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IClaims} from "../interfaces/IClaims.sol";
import {ClaimStatus, ClaimView, NO_INDEX, RequestStatus} from "../interfaces/Types.sol";
import {Trees} from "../lib/Trees.sol";
import {Requests} from "./Requests.sol";

/// @notice Claims, from commitment to finality, and who earns a request's fee.
abstract contract Claims is Requests {
    struct Claim {
        // Word 0
        address claimant;
        ClaimStatus status;
        uint24 listing;
        uint24 openChallenges;
        uint40 windowEnd;
        // Word 1
        uint40 traceTime;
        uint32 outputElements;
        uint32 witnessElements;
        uint24 order;
        uint128 pot;
        // Words 2 to 5
        bytes32 requestId;
        bytes32 outputRoot;
        bytes32 witnessRoot;
        bytes32 traceRoot;
    }

    mapping(bytes32 claimId => Claim) internal _claims;

    /// @inheritdoc IClaims
    function commitClaim(bytes32 requestId, bytes32 commitment, uint256 nonce)
        external
        payable
        returns (bytes32 claimId)
    {
        Claim storage c;
        (claimId, c) = _newClaim(requestId, commitment, nonce, true);
        uint256 revealBy = block.timestamp + _listings[c.listing].revealTimeout;
        c.status = ClaimStatus.COMMITTED;
        c.windowEnd = uint40(revealBy);
        c.outputRoot = commitment;
        emit ClaimCommitted(claimId, requestId, msg.sender, commitment, c.order, revealBy);
    }

    /// @inheritdoc IClaims
    function revealClaim(bytes32 claimId, bytes32 salt, bytes calldata output, bytes calldata witness)
        external
    {
        Claim storage c = _claims[claimId];
        _requireClaimIn(claimId, c.status, ClaimStatus.COMMITTED);
        require(block.timestamp <= c.windowEnd, RevealTooLate(block.timestamp, c.windowEnd));
        (bytes32 outputRoot, bytes32 witnessRoot) = (Trees.tensorRoot(output), Trees.tensorRoot(witness));
        // INVARIANT: a commitment names its claimant, so that a copied one opens for nobody else.
        bytes32 commitment = keccak256(
            abi.encode(
                block.chainid,
                address(this),
                c.requestId,
                c.claimant,
                salt,
                outputRoot,
                witnessRoot,
                output.length,
                witness.length
            )
        );
        require(commitment == c.outputRoot, WrongCommitment(commitment, c.outputRoot));
        _propose(claimId, c, outputRoot, witnessRoot, output, witness);
    }

    /// @inheritdoc IClaims
    function proposeClaim(bytes32 requestId, uint256 nonce, bytes calldata output, bytes calldata witness)
        external
        payable
        returns (bytes32 claimId)
    {
        (bytes32 outputRoot, bytes32 witnessRoot) = (Trees.tensorRoot(output), Trees.tensorRoot(witness));
        Claim storage c;
        (claimId, c) = _newClaim(requestId, keccak256(abi.encode(outputRoot, witnessRoot)), nonce, false);
        _propose(claimId, c, outputRoot, witnessRoot, output, witness);
    }

    /// @inheritdoc IClaims
    function forfeit(bytes32 claimId) external {
        Claim storage c = _claims[claimId];
        _requireClaimIn(claimId, c.status, ClaimStatus.COMMITTED);
        require(block.timestamp > c.windowEnd, RevealStillPossible(block.timestamp, c.windowEnd));
        c.status = ClaimStatus.FORFEITED;
        uint256 bond = _listings[c.listing].claimBond;
        _burn(bond / 2);
        _credit(c.claimant, bond - bond / 2);
        emit ClaimForfeited(claimId, c.requestId, bond / 2);
        _decided(c.requestId);
    }

    /// @inheritdoc IClaims
    function finalize(bytes32 claimId) external {
        Claim storage c = _claims[claimId];
        _requireClaimIn(claimId, c.status, ClaimStatus.PROPOSED);
        uint256 finalAfter = _finalAfter(c);
        require(block.timestamp > finalAfter, NotFinal(block.timestamp, finalAfter, c.openChallenges));
        c.status = ClaimStatus.FINALIZED;
        _credit(c.claimant, _listings[c.listing].claimBond);
        bytes32 requestId = c.requestId;
        Request storage r = _requests[requestId];
        bool answered = r.status == RequestStatus.OPEN;
        if (answered) {
            r.status = RequestStatus.ANSWERED;
            r.answer = claimId;
            r.bestOrder = c.order;
        } else if (r.fee != 0 && c.order < r.bestOrder && _sameContent(c, _claims[r.answer])) {
            r.bestOrder = c.order;
            r.bestClaim = claimId;
        }
        emit ClaimFinalized(claimId, requestId, answered);
        _decided(requestId);
    }

    /// @inheritdoc IClaims
    function getClaim(bytes32 claimId) external view returns (ClaimView memory) {
        Claim storage c = _claims[claimId];
        return ClaimView({
            requestId: c.requestId,
            claimant: c.claimant,
            status: c.status,
            order: c.order,
            openChallenges: c.openChallenges,
            windowEnd: c.windowEnd,
            traceTime: c.traceTime,
            outputElements: c.outputElements,
            witnessElements: c.witnessElements,
            outputRoot: c.outputRoot,
            witnessRoot: _witnessRoot(c),
            traceRoot: c.traceRoot,
            pot: c.pot
        });
    }

    /// @inheritdoc IClaims
    function finalAt(bytes32 claimId) external view returns (uint256) {
        Claim storage c = _claims[claimId];
        return c.status == ClaimStatus.PROPOSED ? _finalAfter(c) + 1 : 0;
    }

    /// @dev A new claim with its bond, for a request that takes claims.
    function _newClaim(bytes32 requestId, bytes32 commitment, uint256 nonce, bool committed)
        private
        returns (bytes32 claimId, Claim storage c)
    {
        Request storage r = _requests[requestId];
        _requireRequestIn(requestId, r.status, RequestStatus.OPEN);
        require(block.timestamp <= r.deadline, DeadlinePassed(block.timestamp, r.deadline));
        uint24 listing = r.listing;
        require(_listings[listing].commitReveal == committed, CommitRevealIs(!committed));
        // INVARIANT: ids bind chain, contract, request, claimant and content, so that a reorg cannot redirect a bond.
        claimId =
            keccak256(abi.encode(block.chainid, address(this), requestId, msg.sender, nonce, commitment));
        c = _claims[claimId];
        require(c.status == ClaimStatus.NONE, ClaimExists(claimId));
        _creditAndLock(_listings[listing].claimBond);
        c.claimant = msg.sender;
        c.listing = listing;
        c.requestId = requestId;
        c.order = ++r.claims;
        ++r.standing;
    }

    /// @dev Publishes an answer: its window starts, longer by one trace for each claim that stands beside it.
    function _propose(
        bytes32 claimId,
        Claim storage c,
        bytes32 outputRoot,
        bytes32 witnessRoot,
        bytes calldata output,
        bytes calldata witness
    ) private {
        uint24 listing = c.listing;
        bytes32 requestId = c.requestId;
        Request storage r = _requests[requestId];
        uint32 n1 = _elements(listing, 1, output.length);
        uint32 n2 = _elements(listing, 2, witness.length);
        _requireLengths(listing, r.inputElements, n1, n2);
        Listing storage l = _listings[listing];
        uint256 windowEnd = block.timestamp + l.window + uint256(l.traceSeconds) * (r.standing - 1);
        c.status = ClaimStatus.PROPOSED;
        c.windowEnd = uint40(windowEnd);
        (c.outputElements, c.witnessElements) = (n1, n2);
        c.outputRoot = outputRoot;
        if (n2 != 0) c.witnessRoot = witnessRoot;
        emit ClaimProposed(
            claimId, requestId, c.claimant, outputRoot, witnessRoot, c.order, windowEnd, output, witness
        );
    }

    /// @dev Last time at which a claim may not be finalized yet. Challenges run side by side on clocks of their own, so
    /// that any number of them ends within one challenger's and one defender's clock after the window.
    function _finalAfter(Claim storage c) private view returns (uint256) {
        if (c.openChallenges == 0) return c.windowEnd;
        Listing storage l = _listings[c.listing];
        return uint256(c.windowEnd) + l.challengerClock + l.defenderClock + SETTLE_MARGIN;
    }

    /// @dev A claim fell: it lets others take its place, also after the deadline.
    function _reopen(bytes32 requestId, uint256 traceSeconds) internal {
        Request storage r = _requests[requestId];
        uint256 deadline = block.timestamp + _graceSeconds(traceSeconds);
        if (r.status != RequestStatus.OPEN || deadline <= r.deadline) return;
        r.deadline = uint40(deadline);
        emit RequestReopened(requestId, deadline);
    }

    /// @dev A claim stands no more. The fee waits for the last one, since an earlier commitment may still earn it.
    function _decided(bytes32 requestId) internal {
        Request storage r = _requests[requestId];
        uint256 standing = --r.standing;
        uint256 fee = r.fee;
        if (standing != 0 || fee == 0 || r.status != RequestStatus.ANSWERED) return;
        r.fee = 0;
        bytes32 claimId = r.bestClaim;
        if (claimId == 0) claimId = r.answer;
        address claimant = _claims[claimId].claimant;
        _credit(claimant, fee);
        emit FeePaid(requestId, claimId, claimant, fee);
    }

    function _sameContent(Claim storage a, Claim storage b) private view returns (bool) {
        return a.outputRoot == b.outputRoot && _witnessRoot(a) == _witnessRoot(b);
    }

    /// @dev Empty witnesses are not stored.
    function _witnessRoot(Claim storage c) internal view returns (bytes32) {
        return c.witnessElements == 0 ? Trees.EMPTY_ROOT : c.witnessRoot;
    }

    function _requireClaimIn(bytes32 claimId, ClaimStatus status, ClaimStatus required) internal pure {
        require(status == required, ClaimNotIn(claimId, status, required));
    }
}
