// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {
    ChallengeKey,
    ChallengeView,
    ClaimStatus,
    InstructionProof,
    NO_INDEX,
    Proof,
    Step,
    Turn
} from "../../src/interfaces/Types.sol";
import {Merkle} from "./Merkle.sol";
import {OracleTest, VmMore} from "./OracleTest.sol";
import {ToyModel, Trace} from "./ToyModel.sol";

/// @notice The gas of a whole dispute: 40 instructions, a disputed tensor of 64 chunks, four reveals.
/// forge-config: default.isolate = true
contract GasTest is OracleTest {
    uint256 private total;
    uint256 private moves;

    function setUp() public override {
        instructionCount = 40;
        super.setUp();
        input = inputOf(ToyModel.MAX_INPUT);
    }

    /// @dev Sends one transaction, and counts what it costs: intrinsic gas, execution and the floor of EIP-7623.
    function send(address from, string memory move, uint256 value, bytes memory data, uint256 limit) private {
        vm.prank(from);
        (bool success, bytes memory reason) = address(oracle).call{value: value}(data);
        (, uint256 spent,,,) = vm.lastCallGas();
        assertTrue(success, string(reason));
        uint256 tokens;
        for (uint256 i = 0; i < data.length; ++i) {
            tokens += data[i] == 0 ? 1 : 4;
        }
        uint256 floor = 21_000 + 10 * tokens;
        if (spent < floor) spent = floor;
        total += spent;
        record(string.concat(++moves < 10 ? "0" : "", vm.toString(moves), " ", move), spent);
        assertLe(spent, limit, move);
    }

    function test_dispute__forty_instructions_64_chunks__within_a_million_gas() external {
        Trace memory mine = truth();
        Trace memory theirs = lie(1, 4 * 9000);
        bytes32 claimId = claim(ask(), liar, theirs);
        send(watcher, "open", CHALLENGE_BOND, abi.encodeCall(oracle.open, (claimId, 0)), 75_000);
        ChallengeKey memory key = ChallengeKey(claimId, watcher, 0);
        (bytes32[] memory output, bytes32[] memory witness, bytes32[] memory ok) = tracePaths(theirs);
        send(
            liar,
            "postTrace",
            0,
            abi.encodeCall(oracle.postTrace, (claimId, theirs.root, output, witness, ok)),
            80_000
        );
        ChallengeView memory v = oracle.getChallenge(key);
        while (v.instruction == NO_INDEX || v.height != 0) {
            bytes memory data = abi.encodeCall(
                oracle.reveal, (claimId, v.node, lengthTagOf(v, theirs), childrenOf(v, theirs))
            );
            send(liar, "reveal", 0, data, 70_000);
            sendPick(key, v, theirs, mine);
            v = oracle.getChallenge(key);
        }
        bytes memory chunk = ToyModel.chunk(theirs.tensors[v.instruction].raw, v.position);
        send(
            liar,
            "postChunk",
            0,
            abi.encodeCall(oracle.postChunk, (claimId, v.node, lengthTagOf(v, theirs), chunk)),
            75_000
        );
        v = oracle.getChallenge(key);
        Proof memory p = proofOf(v, theirs, mine, 9000 % 256);
        send(watcher, "prove", 0, abi.encodeCall(oracle.prove, (key, v.node, p)), 320_000);
        assertStatus(claimId, ClaimStatus.REFUTED);
        record("total", total);
        assertLe(total, 1_000_000, "a whole dispute");
    }

    /// @dev Into snapshots/dispute.json.
    function record(string memory what, uint256 spent) private {
        VmMore(address(vm)).snapshotValue("dispute", what, spent);
    }

    function sendPick(ChallengeKey memory key, ChallengeView memory v, Trace memory theirs, Trace memory mine)
        private
    {
        (Step[] memory steps, uint256 index) = firstStep(v, theirs, mine);
        bool leaf = v.instruction == NO_INDEX && levelsOpened(v.height) == v.height;
        InstructionProof memory named = leaf ? naming(v.position * steps[0].children.length + index) : none();
        send(watcher, "pick", 0, abi.encodeCall(oracle.pick, (key, v.node, steps, named)), 110_000);
    }
}
