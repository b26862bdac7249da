// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IClaims} from "../../src/interfaces/IClaims.sol";
import {IGame} from "../../src/interfaces/IGame.sol";
import {
    ChallengeKey,
    ChallengeStatus,
    ChallengeView,
    ClaimStatus,
    InstructionProof,
    Proof,
    Step
} from "../../src/interfaces/Types.sol";
import {Merkle} from "./Merkle.sol";
import {OracleTest} from "./OracleTest.sol";
import {Tensor, ToyModel, Trace} from "./ToyModel.sol";

/// @notice Disputes from end to end: who tells the truth wins, whatever the other side does.
contract GameTest is OracleTest {
    /// @dev Every tensor that a liar can begin to lie in, first and last chunk.
    function test_dispute__lie_in_any_tensor__convicted() external {
        Trace memory mine = truth();
        uint256[2][8] memory lies = [
            [uint256(0), 3],
            [uint256(0), 599],
            [uint256(1), 0],
            [uint256(1), 2396],
            [uint256(1), 1024],
            [uint256(2), 0],
            [uint256(3), 0],
            [uint256(5), 1]
        ];
        for (uint256 i = 0; i < lies.length; ++i) {
            Trace memory theirs = lie(lies[i][0], lies[i][1]);
            bytes32 claimId = claim(ask(direct, 100 + i), liar, theirs);
            ChallengeKey memory key = challenge(claimId, watcher, 0);
            refute(key, theirs, mine);
            assertStatus(claimId, ClaimStatus.REFUTED);
            assertStatus(key, ChallengeStatus.WON);
        }
    }

    /// @dev No element of an honest trace convicts, also not where padding is disputed.
    function test_dispute__honest_claim__no_element_convicts() external {
        Trace memory mine = truth();
        bytes32 claimId = claim(ask(), honest, mine);
        uint256[2][6] memory picks = [
            [uint256(0), 0],
            [uint256(1), 2],
            [uint256(1), 3],
            [uint256(2), 0],
            [uint256(3), 0],
            [uint256(5), 0]
        ];
        for (uint256 i = 0; i < picks.length; ++i) {
            ChallengeKey memory key = challenge(claimId, watcher, i);
            wander(key, mine, picks[i][0], picks[i][1]);
            ChallengeView memory v = oracle.getChallenge(key);
            uint256 width = elementWidth(picks[i][0]);
            for (uint256 slot = 0; slot < 1024 / width; slot += 37) {
                Proof memory p = proofOf(v, mine, mine, slot);
                expectRevertOf(IGame.ElementIsRight.selector);
                oracle.prove(key, v.node, p);
            }
        }
    }

    /// @dev Plays to a chunk of one's choice.
    function wander(ChallengeKey memory key, Trace memory t, uint256 instruction, uint256 chunk) private {
        answer(key, t);
        ChallengeView memory v = oracle.getChallenge(key);
        pickAt(key, v, childrenOf(v, t), instruction, naming(instruction));
        answer(key, t);
        v = oracle.getChallenge(key);
        if (v.height == 0) return;
        pickAt(key, v, childrenOf(v, t), chunk, none());
        answer(key, t);
    }

    function pickAt(
        ChallengeKey memory key,
        ChallengeView memory v,
        bytes32[] memory children,
        uint256 index,
        InstructionProof memory named
    ) private {
        Step[] memory steps = new Step[](1);
        steps[0] = Step(children, index);
        vm.prank(key.challenger);
        oracle.pick(key, v.node, steps, named);
    }

    // Rule 1: who

    function test_trace__not_from_the_claimant__refused() external {
        Trace memory mine = truth();
        bytes32 claimId = claim(ask(), honest, mine);
        (bytes32[] memory output, bytes32[] memory witness, bytes32[] memory ok) = tracePaths(mine);
        vm.prank(other);
        vm.expectRevert(abi.encodeWithSelector(IGame.NotAllowed.selector, other, honest));
        oracle.postTrace(claimId, mine.root, output, witness, ok);
    }

    function test_pick__by_a_stranger_or_a_delegate__only_the_delegate() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        answer(key, theirs);
        ChallengeView memory v = oracle.getChallenge(key);
        (Step[] memory steps, uint256 index) = firstStep(v, theirs, truth());
        InstructionProof memory named = naming(index);
        vm.prank(other);
        vm.expectRevert(abi.encodeWithSelector(IGame.NotAllowed.selector, other, watcher));
        oracle.pick(key, v.node, steps, named);
        vm.prank(watcher);
        oracle.setDelegate(other, true);
        vm.prank(other);
        oracle.pick(key, v.node, steps, named);
        assertEq(oracle.getChallenge(key).instruction, 1, "picked");
    }

    function test_trace__without_the_claimed_output_or_ok__refused() external {
        Trace memory theirs = lie(5, 0);
        Trace memory mine = truth();
        bytes32 claimId = claim(ask(), liar, theirs);
        (bytes32[] memory output, bytes32[] memory witness, bytes32[] memory ok) = tracePaths(mine);
        vm.startPrank(liar);
        // A right trace does not show the wrong output,
        expectRevertOf(IGame.WrongRoot.selector);
        oracle.postTrace(claimId, mine.root, output, witness, ok);
        // nor does one in which the answer is not ok.
        bytes[] memory t = ToyModel.run(input, instructionCount);
        (t[5], t[6]) = (theirs.tensors[5].raw, theirs.tensors[6].raw);
        t[4] = hex"00";
        Trace memory notOk = ToyModel.trace(t);
        (output, witness, ok) = tracePaths(notOk);
        expectRevertOf(IGame.WrongRoot.selector);
        oracle.postTrace(claimId, notOk.root, output, witness, ok);
    }

    function test_trace__posted_twice__refused() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        postTrace(claimId, theirs);
        (bytes32[] memory output, bytes32[] memory witness, bytes32[] memory ok) = tracePaths(theirs);
        vm.prank(liar);
        vm.expectRevert(abi.encodeWithSelector(IGame.TraceAlreadyPosted.selector, theirs.root));
        oracle.postTrace(claimId, theirs.root, output, witness, ok);
    }

    function test_reveal__of_other_children_or_twice__refused() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        postTrace(claimId, theirs);
        ChallengeView memory v = oracle.getChallenge(key);
        bytes32[] memory children = childrenOf(v, theirs);
        children[3] ^= bytes32(uint256(1));
        expectRevertOf(IGame.WrongRoot.selector);
        oracle.reveal(claimId, v.node, lengthTagOf(v, theirs), children);
        answer(key, theirs);
        children[3] ^= bytes32(uint256(1));
        expectRevertOf(IGame.AlreadyRevealed.selector);
        oracle.reveal(claimId, v.node, lengthTagOf(v, theirs), children);
    }

    /// @dev Children of one's own choice would lead to a node that the claimant never showed, and cannot answer.
    function test_pick__through_other_children__refused() external {
        Trace memory t = truth();
        bytes32 claimId = claim(ask(), honest, t);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        answer(key, t);
        ChallengeView memory v = oracle.getChallenge(key);
        bytes32[] memory children = childrenOf(v, t);
        children[1] = bytes32(uint256(7));
        Step[] memory steps = new Step[](1);
        steps[0] = Step(children, 1);
        InstructionProof memory named = naming(1);
        vm.prank(watcher);
        vm.expectRevert(abi.encodeWithSelector(IGame.NotTheRevealed.selector, v.node));
        oracle.pick(key, v.node, steps, named);
    }

    function test_prove__about_another_chunk__refused() external {
        Trace memory t = truth();
        bytes32 claimId = claim(ask(), honest, t);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        wander(key, t, 1, 2);
        ChallengeView memory v = oracle.getChallenge(key);
        Proof memory p = proofOf(v, t, t, 0);
        p.chunk[0] ^= 0x01;
        vm.expectRevert(abi.encodeWithSelector(IGame.NotTheRevealed.selector, v.node));
        oracle.prove(key, v.node, p);
    }

    // Rule 2: reorgs

    function test_pick__for_another_node__stale() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        answer(key, theirs);
        ChallengeView memory v = oracle.getChallenge(key);
        (Step[] memory steps, uint256 index) = firstStep(v, theirs, truth());
        InstructionProof memory named = naming(index);
        bytes32 stale = bytes32(uint256(7));
        vm.prank(watcher);
        vm.expectRevert(abi.encodeWithSelector(IGame.StaleNode.selector, stale, v.node));
        oracle.pick(key, stale, steps, named);
    }

    /// @dev After a reorg a claim of other content stands in the place of the challenged one.
    function test_open__claim_replaced_in_a_reorg__refused() external {
        bytes32 requestId = ask();
        uint256 before = vm.snapshot();
        bytes32 wrong = claim(requestId, liar, lie(1, 0));
        vm.revertTo(before);
        bytes32 right = claim(requestId, liar, truth());
        assertTrue(wrong != right, "ids differ by content");
        vm.prank(watcher);
        vm.expectRevert(
            abi.encodeWithSelector(IClaims.ClaimNotIn.selector, wrong, ClaimStatus.NONE, ClaimStatus.PROPOSED)
        );
        oracle.open{value: CHALLENGE_BOND}(wrong, 0);
    }

    function test_ids__on_another_chain__differ() external {
        uint256 before = vm.snapshot();
        bytes32 here = ask();
        vm.revertTo(before);
        vm.chainId(77);
        assertTrue(ask() != here, "ids bind the chain");
    }

    /// @dev Every part of an id: chain and contract too, since the same accounts and contents may meet on several.
    function test_ids__of_claims_and_challenges__hash_all_that_they_bind() external {
        bytes32 requestId = ask();
        bytes memory output = truth().tensors[ToyModel.OUTPUT].raw;
        bytes32 content = keccak256(abi.encode(ToyModel.tensor(output, 4).root, ToyModel.tensor("", 0).root));
        bytes32 claimId = claim(requestId, honest, truth(), 3);
        assertEq(claimId, idOf(requestId, honest, 3, content), "claim");
        bytes32 pledge = keccak256("a commitment");
        bytes32 second = ask(committed, 1);
        vm.prank(honest);
        bytes32 promised = oracle.commitClaim{value: CLAIM_BOND}(second, pledge, 4);
        assertEq(promised, idOf(second, honest, 4, pledge), "committed claim");
        vm.prank(watcher);
        bytes32 challengeId = oracle.open{value: CHALLENGE_BOND}(claimId, 5);
        bytes32 expected = keccak256(abi.encode(block.chainid, address(oracle), claimId, watcher, uint256(5)));
        assertEq(challengeId, expected, "challenge");
        ChallengeKey memory key = ChallengeKey(claimId, watcher, 5);
        assertEq(oracle.challengeIdOf(key), expected, "challenge read back");
        vm.chainId(77);
        assertTrue(oracle.challengeIdOf(key) != expected, "a fork's challenge is another one");
    }

    function idOf(bytes32 requestId, address claimant, uint256 nonce, bytes32 content)
        private
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(oracle), requestId, claimant, nonce, content));
    }

    // Rule 3: bounds

    function test_pick__padding_of_the_trace__refused() external {
        Trace memory t = truth();
        bytes32 claimId = claim(ask(), honest, t);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        answer(key, t);
        ChallengeView memory v = oracle.getChallenge(key);
        Step[] memory steps = new Step[](1);
        steps[0] = Step(childrenOf(v, t), 7);
        // The padding's leaf is that of 1,024 zero bytes, which would pass for an instruction.
        InstructionProof memory named =
            InstructionProof(new bytes(1024), Merkle.path(ToyModel.program(instructionCount), 7));
        vm.prank(watcher);
        vm.expectRevert(abi.encodeWithSelector(IGame.InstructionOutOfRange.selector, 7, 7));
        oracle.pick(key, v.node, steps, named);
    }

    function test_prove__by_another_instruction__refused() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        descend(key, theirs, truth());
        ChallengeView memory v = oracle.getChallenge(key);
        Proof memory p = proofOf(v, theirs, truth(), 0);
        p.instruction = naming(0);
        expectRevertOf(IGame.WrongRoot.selector);
        oracle.prove(key, v.node, p);
    }

    function test_dispute__dirt_in_the_padding__convicted() external {
        Trace memory mine = truth();
        // Tensor 1 has 2,400 bytes in four places for chunks: dirt in the third chunk's rest, and in the fourth.
        uint256[2] memory places = [uint256(2400), 3072 + 40];
        for (uint256 i = 0; i < places.length; ++i) {
            Trace memory theirs = truth();
            bytes memory raw = ToyModel.chunk(theirs.tensors[1].raw, 0);
            for (uint256 c = 1; c < 4; ++c) {
                raw = bytes.concat(raw, ToyModel.chunk(theirs.tensors[1].raw, c));
            }
            raw[places[i]] = 0x01;
            theirs.tensors[1] = ToyModel.tensor(raw, 2400);
            ToyModel.seal(theirs);
            bytes32 claimId = claim(ask(direct, 10 + i), liar, theirs);
            ChallengeKey memory key = challenge(claimId, watcher, 0);
            refute(key, theirs, mine);
            assertStatus(claimId, ClaimStatus.REFUTED);
        }
    }

    function test_prove__openings_of_another_trace__refused() external {
        Trace memory theirs = lie(ToyModel.SUM, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        descend(key, theirs, truth());
        ChallengeView memory v = oracle.getChallenge(key);
        // Operands of a third trace would convict anybody.
        Proof memory p = proofOf(v, theirs, lie(1, 0), 0);
        expectRevertOf(IGame.WrongRoot.selector);
        oracle.prove(key, v.node, p);
    }

    /// @dev A decided claim must not be decided again, as a malformed instruction would.
    function test_pick__on_a_refuted_claim__refused() external {
        Trace memory theirs = lie(1, 0);
        Trace memory mine = truth();
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory first = challenge(claimId, watcher, 0);
        ChallengeKey memory second = challenge(claimId, watcher, 1);
        refute(first, theirs, mine);
        ChallengeView memory v = oracle.getChallenge(second);
        (Step[] memory steps, uint256 index) = firstStep(v, theirs, mine);
        InstructionProof memory named = naming(index);
        vm.prank(watcher);
        vm.expectRevert(
            abi.encodeWithSelector(
                IClaims.ClaimNotIn.selector, claimId, ClaimStatus.REFUTED, ClaimStatus.PROPOSED
            )
        );
        oracle.pick(second, v.node, steps, named);
    }

    // Many challengers

    /// @dev A hundred challenges do not delay finality beyond both clocks, nor make it dearer.
    function test_finalize__hundred_silent_challenges__on_time_at_constant_gas() external {
        Trace memory t = truth();
        bytes32 claimId = claim(ask(), honest, t);
        uint256 windowEnd = oracle.getClaim(claimId).windowEnd;
        vm.warp(windowEnd);
        for (uint256 i = 0; i < 100; ++i) {
            challenge(claimId, watcher, i);
        }
        uint256 last = windowEnd + 2 * CLOCK + MARGIN;
        vm.warp(last);
        vm.expectRevert(abi.encodeWithSelector(IClaims.NotFinal.selector, last, last, 100));
        oracle.finalize(claimId);
        vm.warp(last + 1);
        uint256 before = gasleft();
        oracle.finalize(claimId);
        assertLe(before - gasleft(), 60_000, "gas of finalize");
        assertStatus(claimId, ClaimStatus.FINALIZED);
    }

    /// @dev One answer serves all challenges of a claim: the defender pays once for a hundred.
    function test_reveal__hundred_challenges__one_reveal_answers_all() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey[] memory keys = new ChallengeKey[](100);
        for (uint256 i = 0; i < 100; ++i) {
            keys[i] = challenge(claimId, watcher, i);
        }
        answer(keys[0], theirs);
        Trace memory mine = truth();
        ChallengeView memory v = oracle.getChallenge(keys[0]);
        (Step[] memory steps, uint256 index) = firstStep(v, theirs, mine);
        InstructionProof memory named = naming(index);
        for (uint256 i = 0; i < 100; ++i) {
            vm.prank(watcher);
            oracle.pick(keys[i], v.node, steps, named);
        }
    }

    /// @dev A confederate's challenge that loses on purpose protects nobody from the next one.
    function test_dispute__decoy_loses__the_other_challenge_convicts() external {
        Trace memory theirs = lie(1, 0);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory decoy = challenge(claimId, other, 0);
        answer(decoy, theirs);
        vm.warp(oracle.getClaim(claimId).windowEnd);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        oracle.timeout(decoy);
        assertStatus(decoy, ChallengeStatus.LOST);
        vm.warp(block.timestamp + 60);
        refute(key, theirs, truth());
        assertStatus(claimId, ClaimStatus.REFUTED);
    }

    /// @dev Somebody else reveals or proves first: the one who came later loses gas, no turn and no money.
    function test_moves__front_run__the_game_goes_on() external {
        Trace memory theirs = lie(1, 0);
        Trace memory mine = truth();
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory key = challenge(claimId, watcher, 0);
        vm.startPrank(other);
        oracle.reveal(claimId, theirs.root, type(uint64).max, Merkle.children(theirs.levels, 3, 0, 3));
        vm.stopPrank();
        postTrace(claimId, theirs);
        descend(key, theirs, mine);
        ChallengeView memory v = oracle.getChallenge(key);
        Proof memory p = proofOf(v, theirs, mine, 0);
        vm.prank(other);
        oracle.prove(key, v.node, p);
        assertStatus(key, ChallengeStatus.WON);
        assertEq(oracle.balanceOf(watcher), CHALLENGE_BOND + CLAIM_BOND / 2, "the challenger's reward");
        assertEq(oracle.balanceOf(other), 0, "nothing for the front-runner");
    }

    function test_pick__several_levels_at_once__as_one_by_one() external {
        input = inputOf(ToyModel.MAX_INPUT);
        Trace memory theirs = lie(1, 4 * 9000);
        bytes32 claimId = claim(ask(), liar, theirs);
        ChallengeKey memory first = challenge(claimId, watcher, 0);
        ChallengeKey memory second = challenge(claimId, watcher, 1);
        descend(first, theirs, truth());
        ChallengeView memory goal = oracle.getChallenge(first);
        ChallengeView memory v = oracle.getChallenge(second);
        pickAt(second, v, childrenOf(v, theirs), 1, naming(1));
        v = oracle.getChallenge(second);
        Step[] memory steps = new Step[](2);
        steps[0] = Step(childrenOf(v, theirs), goal.position / 16);
        steps[1] =
            Step(Merkle.children(theirs.tensors[1].levels, 4, goal.position / 16, 4), goal.position % 16);
        vm.prank(watcher);
        oracle.pick(second, v.node, steps, none());
        v = oracle.getChallenge(second);
        assertEq(v.node, goal.node, "node");
        assertEq(v.position, goal.position, "position");
        prove(second, theirs, truth(), 9000 % 256);
        assertStatus(claimId, ClaimStatus.REFUTED);
    }
}
