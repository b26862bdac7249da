// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {
    ChallengeKey,
    ChallengeStatus,
    ChallengeView,
    ClaimStatus,
    InstructionProof,
    NO_INDEX,
    Step
} from "../../src/interfaces/Types.sol";
import {OracleTest, VmMore} from "./OracleTest.sol";
import {ToyModel, Trace} from "./ToyModel.sol";

/// @notice A hundred Sybil challenges against one honest claim, each to a chunk as far from the others' as there is one.
abstract contract Crowd is OracleTest {
    uint256 internal constant CROWD = 100;
    uint256 internal constant GAS_PRICE = 15 gwei;
    /// @dev What the defender's moves and the timeouts cost at most, against one challenge and against the crowd.
    uint256 internal constant GAS_AGAINST_ONE = 450_000;
    uint256 internal constant GAS_AGAINST_CROWD = 7_000_000;
    /// @dev The disputed tensor: 64 chunks.
    uint256 private constant TENSOR = 1;
    /// @dev Zero bytes in hashes and addresses are cheaper than others.
    uint256 internal constant CALLDATA_NOISE = 600;

    struct Bill {
        uint256 open;
        uint256 picks;
        uint256 timeout;
        uint256 finalize;
        uint256 postTrace;
        uint256 reveal;
        uint256 postChunk;
        uint256 defender;
        uint256 moves;
        uint256 income;
        uint256 delay;
    }

    Trace private t;
    bytes32 private claimId;

    function setUp() public override {
        instructionCount = 40;
        super.setUp();
        input = inputOf(ToyModel.MAX_INPUT);
    }

    /// @dev Everything is opened in the window's last second; the last challenger's calls are the ones that are kept.
    function dispute(uint256 crowd) internal returns (Bill memory bill) {
        gasPrice(10 gwei, GAS_PRICE);
        claimId = claim(ask(), honest, t = truth());
        // So that neither payee's balance is written for the first time.
        vm.prank(honest);
        oracle.deposit{value: 1}(honest);
        uint256 windowEnd = oracle.getClaim(claimId).windowEnd;
        vm.warp(windowEnd);
        ChallengeKey[] memory keys = new ChallengeKey[](crowd);
        for (uint256 i = 0; i < crowd; ++i) {
            keys[i] = ChallengeKey(claimId, address(uint160(uint256(keccak256(abi.encode("sybil", i))))), 1);
            vm.deal(keys[i].challenger, 1 ether);
            bytes memory call = abi.encodeCall(oracle.open, (claimId, 1));
            bill.open = spend(keys[i].challenger, CHALLENGE_BOND, call);
        }
        for (uint256 i = 0; i < crowd; ++i) {
            descendTo(keys[i], i % 64, bill);
        }
        vm.warp(windowEnd + CLOCK + 1);
        uint256 before = oracle.balanceOf(honest);
        for (uint256 i = 0; i < crowd; ++i) {
            bill.timeout = spend(honest, 0, abi.encodeCall(oracle.timeout, (keys[i])));
            bill.defender += bill.timeout;
            ++bill.moves;
            assertStatus(keys[i], ChallengeStatus.LOST);
        }
        bill.income = oracle.balanceOf(honest) - before;
        bill.delay = vm.getBlockTimestamp() - windowEnd;
        bill.finalize = spend(honest, 0, abi.encodeCall(oracle.finalize, (claimId)));
        assertStatus(claimId, ClaimStatus.FINALIZED);
    }

    /// @dev A challenger picks its way down to a chunk, and falls silent there; the defender answers what is not answered.
    function descendTo(ChallengeKey memory key, uint256 chunk, Bill memory bill) private {
        bill.picks = 0;
        while (true) {
            defend(key, bill);
            ChallengeView memory v = oracle.getChallenge(key);
            if (v.instruction != NO_INDEX && v.height == 0) return;
            Step[] memory steps = new Step[](1);
            uint256 down = levelsOpened(v.height);
            uint256 leaf = v.instruction == NO_INDEX ? TENSOR : chunk;
            uint256 index = (leaf >> (v.height - down)) & ((1 << down) - 1);
            steps[0] = Step(childrenOf(v, t), index);
            bool named = v.instruction == NO_INDEX && v.height == down;
            InstructionProof memory by = named ? naming(TENSOR) : none();
            bill.picks += spend(key.challenger, 0, abi.encodeCall(oracle.pick, (key, v.node, steps, by)));
        }
    }

    function defend(ChallengeKey memory key, Bill memory bill) private {
        if (oracle.getClaim(claimId).traceTime == 0) {
            (bytes32[] memory output, bytes32[] memory witness, bytes32[] memory ok) = tracePaths(t);
            bill.postTrace =
                spend(honest, 0, abi.encodeCall(oracle.postTrace, (claimId, t.root, output, witness, ok)));
            bill.defender += bill.postTrace;
            ++bill.moves;
        }
        ChallengeView memory v = oracle.getChallenge(key);
        // The defender is on turn unless another challenge has had the same answer.
        bool chunk = v.instruction != NO_INDEX && v.height == 0;
        uint256 count = chunk ? 0 : 1 << levelsOpened(v.height);
        if (oracle.revealedAt(claimId, v.node, lengthTagOf(v, t), count) != 0) return;
        bytes memory call = chunk
            ? abi.encodeCall(
                oracle.postChunk,
                (claimId, v.node, lengthTagOf(v, t), ToyModel.chunk(t.tensors[v.instruction].raw, v.position))
            )
            : abi.encodeCall(oracle.reveal, (claimId, v.node, lengthTagOf(v, t), childrenOf(v, t)));
        uint256 spent = spend(honest, 0, call);
        if (chunk) bill.postChunk = spent;
        else if (count == 16) bill.reveal = spent;
        bill.defender += spent;
        ++bill.moves;
    }

    function spend(address from, uint256 value, bytes memory data) private returns (uint256 spent) {
        vm.prank(from);
        (bool success, bytes memory reason) = address(oracle).call{value: value}(data);
        (, spent,,,) = vm.lastCallGas();
        assertTrue(success, string(reason));
    }

    /// @dev Into snapshots/crowd.json.
    function record(string memory what, uint256 value) internal {
        VmMore(address(vm)).snapshotValue("crowd", what, value);
    }
}

/// @notice What every call costs beside what it costs where there is one challenge.
/// forge-config: default.isolate = true
contract CrowdGasTest is Crowd {
    function test_claim__against_a_hundred_challenges__every_call_costs_what_it_costs_against_one() external {
        uint256 clean = vm.snapshot();
        Bill memory one = dispute(1);
        vm.revertTo(clean);
        Bill memory many = dispute(CROWD);
        assertNear(many.open, one.open, "open");
        assertNear(many.picks, one.picks, "picks");
        assertNear(many.timeout, one.timeout, "timeout");
        assertNear(many.finalize, one.finalize, "finalize");
        assertNear(many.postTrace, one.postTrace, "postTrace");
        assertNear(many.reveal, one.reveal, "reveal");
        assertNear(many.postChunk, one.postChunk, "postChunk");
        assertLe(one.defender, GAS_AGAINST_ONE, "against one");
        assertLe(many.defender, GAS_AGAINST_CROWD, "against a hundred");
        record("1 defender gas", one.defender);
        record("1 defender moves", one.moves);
        record("100 defender gas", many.defender);
        record("100 defender moves", many.moves);
        record("call open", many.open);
        record("call timeout", many.timeout);
        record("call finalize", many.finalize);
        record("call picks of one challenge", many.picks);
    }

    function assertNear(uint256 a, uint256 b, string memory what) private pure {
        assertLe(a > b ? a - b : b - a, CALLDATA_NOISE, what);
    }
}

/// @notice What the defender earns, and when the claim is final. Calls that are isolated have no base fee to be paid by.
contract CrowdMoneyTest is Crowd {
    function test_claim__against_a_hundred_challenges__on_time_and_the_defender_is_paid() external {
        uint256 clean = vm.snapshot();
        Bill memory one = dispute(1);
        vm.revertTo(clean);
        Bill memory many = dispute(CROWD);
        assertEq(many.delay, one.delay, "delay");
        assertLe(many.delay, 2 * CLOCK + MARGIN, "both clocks");
        assertGe(one.income, GAS_AGAINST_ONE * GAS_PRICE, "against one");
        assertGe(many.income, GAS_AGAINST_CROWD * GAS_PRICE, "against a hundred");
        record("1 defender income gwei", one.income / 1 gwei);
        record("100 defender income gwei", many.income / 1 gwei);
        record("seconds after the window", many.delay);
    }
}
