// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IGame} from "../../src/interfaces/IGame.sol";
import {
    ChallengeKey,
    ChallengeStatus,
    ChallengeView,
    ClaimStatus,
    InstructionProof,
    NO_LENGTH,
    Step,
    Turn
} from "../../src/interfaces/Types.sol";
import {Merkle} from "./Merkle.sol";
import {OracleTest} from "./OracleTest.sol";
import {Trace} from "./ToyModel.sol";

/// @notice Who pays for the time that passes, and what comes too late.
contract ClocksTest is OracleTest {
    function test_clocks__defender_silent__loses_a_second_after_its_limit() external {
        bytes32 claimId = claim(ask(), liar, lie(1, 0));
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        uint256 limit = block.timestamp + CLOCK;
        vm.warp(limit);
        vm.expectRevert(abi.encodeWithSelector(IGame.ClockRunning.selector, limit, limit));
        oracle.timeout(key);
        vm.warp(limit + 1);
        oracle.timeout(key);
        assertStatus(claimId, ClaimStatus.REFUTED);
        assertEq(oracle.balanceOf(watcher), CHALLENGE_BOND + CLAIM_BOND / 2, "reward");
    }

    function test_clocks__challenger_silent__loses_its_bond() external {
        Trace memory t = truth();
        bytes32 claimId = claim(ask(), honest, t);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        vm.warp(block.timestamp + 100);
        answer(key, t);
        uint256 limit = block.timestamp + CLOCK;
        vm.warp(limit + 1);
        // The move comes too late also if nobody called the timeout.
        ChallengeView memory v = oracle.getChallenge(key);
        (Step[] memory steps, uint256 index) = firstStep(v, lie(1, 0), lie(2, 0));
        steps[0].children = childrenOf(v, t);
        InstructionProof memory named = naming(index);
        vm.prank(watcher);
        vm.expectRevert(abi.encodeWithSelector(IGame.ClockOut.selector, limit + 1, limit));
        oracle.pick(key, v.node, steps, named);
        oracle.timeout(key);
        assertStatus(key, ChallengeStatus.LOST);
        assertStatus(claimId, ClaimStatus.PROPOSED);
        vm.warp(oracle.getClaim(claimId).windowEnd + 1);
        oracle.finalize(claimId);
    }

    /// @dev Lateness is settled when it happens: an answer after the limit does not mend it.
    function test_clocks__defender_answers_late__still_loses() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        vm.warp(block.timestamp + CLOCK + 1);
        answer(key, theirs);
        oracle.timeout(key);
        assertStatus(claimId, ClaimStatus.REFUTED);
    }

    /// @dev A reveal made before the pick that asks for it costs the defender nothing, and gives the challenger no more.
    function test_clocks__both_think__each_pays_its_own_time() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        vm.warp(block.timestamp + 300);
        answer(key, theirs);
        vm.warp(block.timestamp + 200);
        pickFirst(key, theirs, truth());
        ChallengeView memory v = oracle.getChallenge(key);
        assertEq(v.defenderLeft, CLOCK - 300, "defender's clock");
        assertEq(v.challengerLeft, CLOCK - 200, "challenger's clock");
    }

    /// @dev Anyone can reveal nodes of a trace that is not posted yet: that answers nothing, so the clock runs on until it is.
    function test_clocks__revealed_before_the_trace__counts_from_the_trace() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        oracle.reveal(claimId, theirs.root, NO_LENGTH, Merkle.children(theirs.levels, 3, 0, 3));
        vm.warp(block.timestamp + 400);
        postTrace(claimId, theirs);
        uint256 posted = block.timestamp;
        ChallengeView memory v = oracle.getChallenge(key);
        assertEq(uint256(v.turn), uint256(Turn.CHALLENGER), "turn");
        assertEq(v.limit, posted + CLOCK, "the challenger has its whole clock");
        vm.warp(posted + 100);
        pickFirst(key, theirs, truth());
        v = oracle.getChallenge(key);
        assertEq(v.defenderLeft, CLOCK - 400, "defender's clock");
        assertEq(v.challengerLeft, CLOCK - 100, "challenger's clock");
    }

    /// @dev Nor does it mend a trace that comes too late.
    function test_clocks__revealed_in_time_but_the_trace_late__defender_loses() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        oracle.reveal(claimId, theirs.root, NO_LENGTH, Merkle.children(theirs.levels, 3, 0, 3));
        vm.warp(block.timestamp + CLOCK + 1);
        postTrace(claimId, theirs);
        oracle.timeout(key);
        assertStatus(claimId, ClaimStatus.REFUTED);
    }
}
