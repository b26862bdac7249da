// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IClaims} from "../../src/interfaces/IClaims.sol";
import {IElementEvaluator} from "../../src/interfaces/IElementEvaluator.sol";
import {IGame} from "../../src/interfaces/IGame.sol";
import {IRequests} from "../../src/interfaces/IRequests.sol";
import {
    ChallengeKey,
    ChallengeStatus,
    ChallengeView,
    ClaimStatus,
    InstructionProof,
    Model,
    Proof,
    RequestStatus,
    Step
} from "../../src/interfaces/Types.sol";
import {Merkle} from "./Merkle.sol";
import {OracleTest} from "./OracleTest.sol";
import {ToyModel, Trace} from "./ToyModel.sol";

/// @notice Bonds, fees, refunds: who gets what, and when.
contract MoneyTest is OracleTest {
    function commit(bytes32 requestId, address claimant, bytes memory output, bytes32 salt)
        private
        returns (bytes32 claimId)
    {
        bytes32 commitment = commitmentOf(requestId, claimant, output, salt);
        vm.prank(claimant);
        return oracle.commitClaim{value: CLAIM_BOND}(requestId, commitment, 0);
    }

    function commitmentOf(bytes32 requestId, address claimant, bytes memory output, bytes32 salt)
        private
        view
        returns (bytes32)
    {
        bytes32 outputRoot = ToyModel.tensor(output, uint64(output.length)).root;
        bytes32 witnessRoot = ToyModel.tensor("", 0).root;
        return keccak256(
            abi.encode(
                block.chainid,
                address(oracle),
                requestId,
                claimant,
                salt,
                outputRoot,
                witnessRoot,
                output.length,
                0
            )
        );
    }

    function outputOf(Trace memory t) private pure returns (bytes memory) {
        return t.tensors[ToyModel.OUTPUT].raw;
    }

    function passWindow(bytes32 claimId) private {
        vm.warp(oracle.getClaim(claimId).windowEnd + 1);
    }

    // Balances

    function test_balances__excess_value__stays_the_senders() external {
        vm.prank(watcher);
        oracle.deposit{value: 1 ether}(watcher);
        bytes32 claimId = claim(ask(), liar, lie(1, 0));
        vm.prank(watcher);
        oracle.open{value: 0.5 ether}(claimId, 0);
        assertEq(oracle.balanceOf(watcher), 1.5 ether - CHALLENGE_BOND, "change");
        vm.prank(watcher);
        oracle.open(claimId, 1);
        assertEq(oracle.balanceOf(watcher), 1.5 ether - 2 * CHALLENGE_BOND, "bond from the balance");
        uint256 left = oracle.balanceOf(watcher);
        vm.prank(watcher);
        vm.expectRevert(abi.encodeWithSelector(IBalances.InsufficientBalance.selector, left, left + 1));
        oracle.withdraw(payable(other), left + 1);
        uint256 before = other.balance;
        vm.prank(watcher);
        oracle.withdraw(payable(other), left);
        assertEq(other.balance - before, left, "withdrawn");
    }

    function test_balances__open_without_the_bond__refused() external {
        bytes32 claimId = claim(ask(), liar, lie(1, 0));
        vm.prank(watcher);
        vm.expectRevert(
            abi.encodeWithSelector(IBalances.InsufficientBalance.selector, CHALLENGE_BOND - 1, CHALLENGE_BOND)
        );
        oracle.open{value: CHALLENGE_BOND - 1}(claimId, 0);
    }

    // The plain case

    function test_finalize__unchallenged__pays_fee_and_bond() external {
        bytes32 requestId = ask();
        bytes32 claimId = claim(requestId, honest, truth());
        uint256 windowEnd = oracle.getClaim(claimId).windowEnd;
        assertEq(windowEnd, block.timestamp + WINDOW, "window");
        vm.warp(windowEnd);
        vm.expectRevert(abi.encodeWithSelector(IClaims.NotFinal.selector, windowEnd, windowEnd, 0));
        oracle.finalize(claimId);
        vm.warp(windowEnd + 1);
        oracle.finalize(claimId);
        assertEq(oracle.balanceOf(honest), CLAIM_BOND + MIN_FEE, "bond and fee");
        assertTrue(oracle.isFinalized(uint256(requestId)), "answered");
    }

    // Rule 5: a malformed program

    function malformed(bytes memory broken) private returns (bytes32 claimId, ChallengeKey memory key) {
        bytes32[] memory leaves = new bytes32[](7);
        for (uint256 i = 0; i < 7; ++i) {
            leaves[i] = Merkle.leaf(i == 1 ? broken : ToyModel.instruction(i));
        }
        bytes32[][] memory program = Merkle.build(leaves);
        Model memory m = ToyModel.model(7);
        m.programRoot = Merkle.root(program);
        bytes32 listing = oracle.list(m, policy(false));
        Trace memory t = truth();
        claimId = claim(ask(listing, 1), honest, t);
        key = challenge(claimId, watcher, 0);
        answer(key, t);
        ChallengeView memory v = oracle.getChallenge(key);
        Step[] memory steps = new Step[](1);
        steps[0] = Step(childrenOf(v, t), 1);
        vm.prank(watcher);
        oracle.pick(key, v.node, steps, InstructionProof(broken, Merkle.path(program, 1)));
    }

    function test_pick__malformed_instruction__voids_with_all_bonds_back() external {
        // Opcode 0; and an instruction that reads its own result.
        bytes memory self = ToyModel.instruction(1);
        self[11] = 0x01;
        bytes[2] memory broken = [bytes(hex"00"), self];
        for (uint256 i = 0; i < broken.length; ++i) {
            (bytes32 claimId, ChallengeKey memory key) = malformed(broken[i]);
            assertStatus(claimId, ClaimStatus.VOID);
            assertStatus(key, ChallengeStatus.VOID);
            assertEq(oracle.balanceOf(honest), (i + 1) * CLAIM_BOND, "claim bond");
            assertEq(oracle.balanceOf(watcher), (i + 1) * CHALLENGE_BOND, "challenge bond");
        }
    }

    /// @dev A MAP without operands: that many constants of 9 bytes, then the bytes of some more operations.
    function constants(uint256 count, uint256 more, bytes memory operations)
        private
        pure
        returns (bytes memory encoded)
    {
        encoded = abi.encodePacked(hex"030110010100", uint8(count + more));
        for (uint256 i = 0; i < count; ++i) {
            encoded = abi.encodePacked(encoded, uint8(1), int64(1));
        }
        encoded = bytes.concat(encoded, operations);
    }

    function test_pick__instruction_longer_than_a_kibibyte__voids() external {
        bytes memory longest = constants(113, 0, "");
        assertEq(longest.length, 1024, "bytes");
        (bytes32 claimId, ChallengeKey memory key) = malformed(longest);
        assertStatus(claimId, ClaimStatus.PROPOSED);
        assertEq(oracle.getChallenge(key).instruction, 1, "named");
        // Two sums and a choice: nothing is wrong with it but its length.
        bytes memory longer = constants(112, 3, hex"1000001000001d000000");
        assertEq(longer.length, 1025, "bytes");
        (claimId, key) = malformed(longer);
        assertStatus(claimId, ClaimStatus.VOID);
        assertStatus(key, ChallengeStatus.VOID);
    }

    /// @dev Too little gas for the evaluator is no malformed instruction, though enough is left to void the claim.
    function test_prove__with_too_little_gas__reverts_and_voids_nothing() external {
        input = inputOf(8192);
        Trace memory theirs = lie(ToyModel.SUM, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        descend(key, theirs, truth());
        ChallengeView memory v = oracle.getChallenge(key);
        bytes memory data = abi.encodeCall(oracle.prove, (key, v.node, proofOf(v, theirs, truth(), 0)));
        bool success = false;
        for (uint256 limit = 200_000; !success; limit += 50_000) {
            (success,) = address(oracle).call{gas: limit}(data);
        }
        assertStatus(claimId, ClaimStatus.REFUTED);
    }

    // Rule 7: answered is not over

    function test_claims__after_the_answer__a_standing_claim_is_still_refuted() external {
        bytes32 requestId = ask();
        bytes32 right = claim(requestId, honest, truth());
        vm.warp(oracle.getClaim(right).windowEnd);
        Trace memory theirs = lie(1, 0);
        bytes32 wrong = claim(requestId, liar, theirs);
        passWindow(right);
        oracle.finalize(right);
        // The fee waits while anything stands; the other claim's window, game and bond go on.
        assertEq(oracle.balanceOf(honest), CLAIM_BOND, "no fee yet");
        refute(challenge(wrong, watcher, 0), theirs, truth());
        assertStatus(wrong, ClaimStatus.REFUTED);
        assertEq(oracle.balanceOf(honest), CLAIM_BOND + MIN_FEE, "fee to the answer");
        assertEq(oracle.getRequest(requestId).answer, right, "answer");
    }

    function test_claims__after_the_answer__none_accepted() external {
        bytes32 requestId = ask();
        bytes32 right = claim(requestId, honest, truth());
        passWindow(right);
        oracle.finalize(right);
        vm.prank(liar);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRequests.RequestNotIn.selector, requestId, RequestStatus.ANSWERED, RequestStatus.OPEN
            )
        );
        oracle.proposeClaim{value: CLAIM_BOND}(requestId, 0, hex"01020304", "");
    }

    function test_claims__each_beside_others__gets_a_longer_window() external {
        bytes32 requestId = ask();
        for (uint256 i = 0; i < 4; ++i) {
            bytes32 claimId = claim(requestId, liar, lie(1, 0), i);
            uint256 windowEnd = oracle.getClaim(claimId).windowEnd;
            assertEq(windowEnd, block.timestamp + WINDOW + i * TRACE_SECONDS, "window");
        }
    }

    function test_expire__while_a_claim_stands__refused_then_reopened_on_refutation() external {
        bytes32 requestId = ask();
        uint256 deadline = oracle.getRequest(requestId).deadline;
        vm.warp(deadline);
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(requestId, liar, theirs);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IRequests.ClaimsStanding.selector, 1));
        oracle.expire(requestId);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        refute(key, theirs, truth());
        uint256 grace = block.timestamp + 10 minutes + 4 * TRACE_SECONDS;
        assertEq(oracle.getRequest(requestId).deadline, grace, "grace period");
        vm.warp(grace);
        vm.expectRevert(abi.encodeWithSelector(IRequests.DeadlineAhead.selector, grace, grace));
        oracle.expire(requestId);
        bytes32 right = claim(requestId, honest, truth());
        passWindow(right);
        oracle.finalize(right);
        assertEq(oracle.balanceOf(honest), CLAIM_BOND + MIN_FEE, "answered in the grace period");
    }

    function test_expire__nobody_answers__refunds() external {
        bytes32 requestId = ask();
        vm.warp(oracle.getRequest(requestId).deadline + 1);
        oracle.expire(requestId);
        assertEq(oracle.balanceOf(alice), MIN_FEE, "refund");
        vm.prank(honest);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRequests.RequestNotIn.selector, requestId, RequestStatus.EXPIRED, RequestStatus.OPEN
            )
        );
        oracle.proposeClaim{value: CLAIM_BOND}(requestId, 0, hex"01020304", "");
    }

    // Rule 8: commit and reveal

    function test_reveal__copied_commitment__opens_for_its_author_alone() external {
        bytes32 requestId = ask(committed, 1);
        bytes memory output = outputOf(truth());
        bytes32 salt = bytes32(uint256(5));
        bytes32 commitment = commitmentOf(requestId, honest, output, salt);
        vm.prank(liar);
        bytes32 copy = oracle.commitClaim{value: CLAIM_BOND}(requestId, commitment, 0);
        bytes32 mine = commit(requestId, honest, output, salt);
        oracle.revealClaim(mine, salt, output, "");
        expectRevertOf(IClaims.WrongCommitment.selector);
        oracle.revealClaim(copy, salt, output, "");
    }

    function test_reveal__long_after_the_commitment__starts_a_whole_window() external {
        bytes32 requestId = ask(committed, 1);
        bytes memory output = outputOf(truth());
        bytes32 claimId = commit(requestId, honest, output, 0);
        uint256 revealed = block.timestamp + REVEAL_TIMEOUT;
        vm.warp(revealed);
        oracle.revealClaim(claimId, 0, output, "");
        assertEq(oracle.getClaim(claimId).windowEnd, revealed + WINDOW, "window");
        // On its last second it is still challenged, and not final.
        vm.warp(revealed + WINDOW);
        expectRevertOf(IClaims.NotFinal.selector);
        oracle.finalize(claimId);
        challenge(claimId, watcher, 0);
    }

    function test_propose__where_commitments_are_required__refused() external {
        bytes32 requestId = ask(committed, 1);
        vm.prank(honest);
        vm.expectRevert(abi.encodeWithSelector(IClaims.CommitRevealIs.selector, true));
        oracle.proposeClaim{value: CLAIM_BOND}(requestId, 0, hex"01020304", "");
    }

    function test_forfeit__not_revealed_in_time__half_burned() external {
        bytes32 requestId = ask(committed, 1);
        bytes memory output = outputOf(truth());
        bytes32 claimId = commit(requestId, honest, output, 0);
        uint256 limit = block.timestamp + REVEAL_TIMEOUT;
        vm.warp(limit);
        vm.expectRevert(abi.encodeWithSelector(IClaims.RevealStillPossible.selector, limit, limit));
        oracle.forfeit(claimId);
        vm.warp(limit + 1);
        vm.expectRevert(abi.encodeWithSelector(IClaims.RevealTooLate.selector, limit + 1, limit));
        oracle.revealClaim(claimId, 0, output, "");
        oracle.forfeit(claimId);
        assertEq(oracle.balanceOf(honest), CLAIM_BOND / 2, "half back");
        assertEq(oracle.burned(), CLAIM_BOND / 2, "half burned");
    }

    /// @dev The later commitment is revealed and final first; the fee waits for the earlier one.
    function test_fee__same_answer_twice__to_the_earlier_commitment() external {
        bytes32 requestId = ask(committed, 1);
        bytes memory output = outputOf(truth());
        bytes32 first = commit(requestId, honest, output, bytes32(uint256(1)));
        bytes32 second = commit(requestId, other, output, bytes32(uint256(2)));
        oracle.revealClaim(second, bytes32(uint256(2)), output, "");
        vm.warp(block.timestamp + REVEAL_TIMEOUT);
        oracle.revealClaim(first, bytes32(uint256(1)), output, "");
        passWindow(second);
        oracle.finalize(second);
        assertEq(oracle.balanceOf(other), CLAIM_BOND, "no fee yet");
        passWindow(first);
        oracle.finalize(first);
        assertEq(oracle.balanceOf(honest), CLAIM_BOND + MIN_FEE, "fee to the first");
        assertEq(oracle.getRequest(requestId).answer, second, "the answer is who was final first");
    }

    /// @dev An earlier commitment with other content earns nothing, final or not.
    function test_fee__earlier_claim_of_other_content__to_the_answer() external {
        bytes32 requestId = ask(committed, 1);
        bytes memory output = outputOf(truth());
        bytes memory wrong = outputOf(lie(5, 0));
        bytes32 first = commit(requestId, liar, wrong, bytes32(uint256(1)));
        bytes32 second = commit(requestId, honest, output, bytes32(uint256(2)));
        oracle.revealClaim(second, bytes32(uint256(2)), output, "");
        vm.warp(block.timestamp + REVEAL_TIMEOUT);
        oracle.revealClaim(first, bytes32(uint256(1)), wrong, "");
        passWindow(second);
        oracle.finalize(second);
        passWindow(first);
        oracle.finalize(first);
        assertEq(oracle.balanceOf(honest), CLAIM_BOND + MIN_FEE, "fee to the final content");
        assertEq(oracle.balanceOf(liar), CLAIM_BOND, "no fee");
    }

    // Rules 9 and 15: what a refuted claim's bond and a lost challenge's bond become

    function test_refute__with_others_open__half_to_the_winner_gas_to_the_void_rest_burned() external {
        gasPrice(10 gwei, 100 gwei);
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        ChallengeKey memory beside = challenge(claimId, other, 0);
        uint256 cost = oracle.getChallenge(beside).challengerCost;
        // INVARIANT: paid at the base fee, though the sender paid ten times as much.
        assertEq(cost, 25_000 * 10 gwei, "metered gas, at the base fee");
        vm.expectRevert(abi.encodeWithSelector(IGame.ClaimUndecided.selector, claimId));
        oracle.close(beside);
        refute(key, theirs, truth());
        assertEq(oracle.balanceOf(watcher), CHALLENGE_BOND + CLAIM_BOND / 2, "winner");
        assertEq(oracle.burned(), 0, "the pot waits for the void challenges");
        // The time of closing does not change what is drawn.
        gasPrice(1000 gwei, 5000 gwei);
        oracle.close(beside);
        assertEq(oracle.balanceOf(other), CHALLENGE_BOND + cost, "void challenger");
        assertEq(oracle.burned(), CLAIM_BOND / 2 - cost, "the rest is burned");
        expectRevertOf(IGame.ChallengeNotActive.selector);
        oracle.close(beside);
    }

    function test_open__one_more_in_a_batch__costs_more_gas_than_a_void_challenge_is_paid_for() external {
        bytes32 claimId = claim(ask(), liar, lie(1, 0));
        challenge(claimId, watcher, 0);
        vm.deal(watcher, 1 ether);
        vm.startPrank(watcher);
        oracle.deposit{value: 0.9 ether}(watcher);
        uint256 before = gasleft();
        oracle.open(claimId, 1);
        assertGe(before - gasleft(), 25_000, "everything warm, no transaction of its own");
        vm.stopPrank();
    }

    function test_refute__alone__other_half_burned_at_once() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        refute(challenge(claimId, liar, 0), theirs, truth());
        // Challenging oneself loses half of the bond.
        assertEq(oracle.balanceOf(liar), CHALLENGE_BOND + CLAIM_BOND / 2, "to oneself");
        assertEq(oracle.burned(), CLAIM_BOND / 2, "burned");
    }

    function test_lose__silent_challenger__pays_the_defenders_gas_and_trace() external {
        gasPrice(10 gwei, 12 gwei);
        Trace memory t = truth();
        bytes32 claimId = claim(ask(), honest, t);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        answer(key, t);
        vm.warp(block.timestamp + CLOCK + 1);
        oracle.timeout(key);
        uint256 pay = (75_000 + 65_000) * 12 gwei * 3 / 2 + TRACE_SECONDS * 1e9;
        assertEq(oracle.balanceOf(honest), pay, "defender");
        assertEq(oracle.burned(), CHALLENGE_BOND - pay, "the rest is burned");
        assertEq(oracle.balanceOf(watcher), 0, "challenger");
    }

    /// @dev Rule 9: whoever settles picks the gas price; what is refunded stops at twice the base fee.
    function test_lose__at_any_gas_price__refund_capped_at_twice_the_base_fee() external {
        uint256[3] memory prices = [uint256(19 gwei), 20 gwei, 500 gwei];
        uint256 paid = 0;
        for (uint256 i = 0; i < prices.length; ++i) {
            gasPrice(10 gwei, prices[i]);
            Trace memory t = truth();
            bytes32 claimId = claim(ask(direct, 1 + i), honest, t);
            ChallengeKey memory key = challenge(claimId, watcher, 0);
            answer(key, t);
            vm.warp(block.timestamp + CLOCK + 1);
            oracle.timeout(key);
            uint256 price = i == 0 ? 19 gwei : 20 gwei;
            paid += (75_000 + 65_000) * price * 3 / 2 + TRACE_SECONDS * 1e9;
            assertEq(oracle.balanceOf(honest), paid, "refund");
        }
    }

    /// @dev Finality over open challenges: whoever let its clock run out loses its bond also then.
    function test_close__after_forced_finality__silent_challenger_loses() external {
        Trace memory t = truth();
        bytes32 claimId = claim(ask(), honest, t);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        answer(key, t);
        vm.warp(oracle.finalAt(claimId));
        oracle.finalize(claimId);
        oracle.close(key);
        assertStatus(key, ChallengeStatus.LOST);
    }

    /// @dev A defender who was late before forced finality keeps its claim, but takes nothing from the challenger.
    function test_close__after_forced_finality__of_a_silent_defender__bond_back() external {
        bytes32 claimId = claim(ask(), liar, lie(1, 0));
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        vm.warp(oracle.finalAt(claimId));
        oracle.finalize(claimId);
        oracle.close(key);
        assertStatus(key, ChallengeStatus.VOID);
        assertEq(oracle.balanceOf(watcher), CHALLENGE_BOND, "bond back");
    }

    function test_open__after_the_window__refused() external {
        bytes32 claimId = claim(ask(), liar, lie(1, 0));
        uint256 windowEnd = oracle.getClaim(claimId).windowEnd;
        vm.warp(windowEnd + 1);
        vm.prank(watcher);
        vm.expectRevert(abi.encodeWithSelector(IGame.WindowClosed.selector, windowEnd + 1, windowEnd));
        oracle.open{value: CHALLENGE_BOND}(claimId, 0);
    }
}
