// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {Delivery, IOracleConsumer} from "../../src/interfaces/IOracleConsumer.sol";
import {
    ChallengeKey,
    ChallengeStatus,
    ClaimStatus,
    InstructionProof,
    Proof,
    RequestOptions,
    RequestStatus,
    Step
} from "../../src/interfaces/Types.sol";
import {OracleTest} from "./OracleTest.sol";
import {ToyModel, Trace} from "./ToyModel.sol";

/// @notice Calls back into the oracle, whenever the oracle calls it or pays it.
contract Reentrant is IOracleConsumer {
    address private immutable _ORACLE;
    bytes private _call;
    bool public succeeded;
    uint256 public calls;

    constructor(address oracle_) payable {
        _ORACLE = oracle_;
    }

    function arm(bytes calldata call_) external {
        _call = call_;
    }

    function fire(bytes memory call_) public {
        (succeeded,) = _ORACLE.call(call_);
        ++calls;
    }

    function onDelivery(Delivery calldata, bytes calldata, bytes calldata) external {
        reenter();
    }

    receive() external payable {
        reenter();
    }

    /// @dev Once: what it calls may call it again.
    function reenter() private {
        bytes memory call_ = _call;
        delete _call;
        if (call_.length != 0) fire(call_);
    }
}

/// @notice Whatever a callback, or whoever is paid, calls in the oracle: it comes to the same as calling it afterwards. And
/// what is owed to anybody holds up nobody else.
contract ReentrancyTest is OracleTest {
    /// @dev Enough to call anything; outer calls have more than those that may be made inside.
    uint32 private constant GAS = 2_000_000;

    Reentrant private consumer;
    bytes32 private requestId;
    bytes32 private claimId;
    bytes32 private openRequest;
    bytes32 private openClaim;
    bytes32 private finalClaim;
    bytes32 private pledge;
    bytes32 private staleRequest;
    ChallengeKey private late;
    ChallengeKey private running;
    bytes[] private calls;

    /// @dev A world in which every external function has something to do.
    function setUp() public override {
        super.setUp();
        consumer = new Reentrant(address(oracle));
        oracle.deposit{value: 10 ether}(address(consumer));
        requestId = askFor(direct, 1, 0);
        claimId = claim(requestId, honest, truth());
        staleRequest = askFor(direct, 2, uint40(block.timestamp + 1));
        finalClaim = claim(askFor(direct, 3, 0), liar, lie(1, 0));
        bytes32 disputed = claim(askFor(direct, 4, 0), liar, lie(1, 0));
        late = challenge(disputed, address(watcher), 0);
        bytes32 pledged = askFor(committed, 5, 0);
        vm.prank(liar);
        pledge = oracle.commitClaim{value: CLAIM_BOND}(pledged, "pledge", 0);
        vm.warp(block.timestamp + WINDOW + 1);
        openRequest = askFor(direct, 6, 0);
        openClaim = claim(openRequest, liar, lie(1, 0));
        running = challenge(openClaim, watcher, 0);
        oracle.finalize(claimId);
        fill();
    }

    function askFor(bytes32 listing, uint256 nonce, uint40 deadline) private returns (bytes32) {
        RequestOptions memory options;
        options.nonce = nonce;
        options.deadline = deadline;
        options.callback = address(consumer);
        options.gasLimit = nonce == 1 ? GAS : nonce == 3 ? 2 * GAS : GAS / 20;
        options.provisional = true;
        vm.prank(alice);
        return oracle.request{value: 1 ether}(listing, input, options);
    }

    function outputOf(Trace memory t) private pure returns (bytes memory) {
        return t.tensors[ToyModel.OUTPUT].raw;
    }

    /// @dev One call of every function that changes anything.
    function fill() private {
        bytes memory right = outputOf(truth());
        bytes memory wrong = outputOf(lie(1, 0));
        Trace memory t = lie(1, 0);
        (bytes32[] memory output, bytes32[] memory witness, bytes32[] memory ok) = tracePaths(t);
        RequestOptions memory options;
        Proof memory proof;
        calls.push(abi.encodeCall(oracle.deliver, (requestId, right, "")));
        calls.push(abi.encodeCall(oracle.deliverProvisional, (openClaim, wrong, "")));
        calls.push(abi.encodeCall(oracle.retract, (openRequest, "")));
        calls.push(abi.encodeCall(oracle.request, (direct, input, options)));
        calls.push(
            abi.encodeCall(oracle.requestCallback, (uint256(direct), input, address(consumer), GAS, ""))
        );
        calls.push(abi.encodeCall(oracle.expire, (staleRequest)));
        calls.push(abi.encodeCall(oracle.proposeClaim, (openRequest, 1, right, "")));
        calls.push(abi.encodeCall(oracle.commitClaim, (openRequest, "x", 1)));
        calls.push(abi.encodeCall(oracle.revealClaim, (pledge, "x", right, "")));
        calls.push(abi.encodeCall(oracle.forfeit, (pledge)));
        calls.push(abi.encodeCall(oracle.finalize, (finalClaim)));
        calls.push(abi.encodeCall(oracle.open, (openClaim, 7)));
        calls.push(abi.encodeCall(oracle.postTrace, (openClaim, t.root, output, witness, ok)));
        calls.push(abi.encodeCall(oracle.reveal, (openClaim, t.root, type(uint64).max, t.levels[0])));
        calls.push(abi.encodeCall(oracle.postChunk, (openClaim, bytes32(0), 0, "")));
        calls.push(abi.encodeCall(oracle.pick, (running, t.root, new Step[](0), none())));
        calls.push(abi.encodeCall(oracle.prove, (running, t.root, proof)));
        calls.push(abi.encodeCall(oracle.timeout, (late)));
        calls.push(abi.encodeCall(oracle.close, (late)));
        calls.push(abi.encodeCall(oracle.setDelegate, (other, true)));
        calls.push(abi.encodeCall(oracle.withdraw, (payable(consumer), 3 ether)));
        calls.push(abi.encodeCall(oracle.withdraw, (payable(other), 10 ether)));
        calls.push(abi.encodeCall(oracle.deposit, (other)));
        calls.push(abi.encodeCall(oracle.list, (ToyModel.model(instructionCount), policy(true))));
    }

    /// @dev All money, and where everything stands.
    function world() private view returns (bytes32) {
        address[6] memory actors = [alice, honest, liar, watcher, other, address(consumer)];
        uint256[12] memory money;
        for (uint256 i = 0; i < 6; ++i) {
            (money[i], money[6 + i]) = (actors[i].balance, oracle.balanceOf(actors[i]));
        }
        return keccak256(
            abi.encode(
                money,
                address(oracle).balance,
                oracle.burned(),
                oracle.getRequest(requestId),
                oracle.getRequest(openRequest),
                oracle.getRequest(staleRequest),
                oracle.getClaim(openClaim),
                oracle.getClaim(finalClaim),
                oracle.getClaim(pledge),
                oracle.getChallenge(late),
                oracle.getChallenge(running)
            )
        );
    }

    /// @dev The trigger makes the oracle call the consumer.
    function compare(function() internal trigger) private returns (uint256 took) {
        for (uint256 i = 0; i < calls.length; ++i) {
            uint256 clean = vm.snapshot();
            consumer.arm(calls[i]);
            trigger();
            (bytes32 inside, bool worked) = (world(), consumer.succeeded());
            assertEq(consumer.calls(), 1, "called back");
            vm.revertTo(clean);
            trigger();
            consumer.fire(calls[i]);
            assertEq(world(), inside, vm.toString(i));
            assertEq(consumer.succeeded(), worked, vm.toString(i));
            vm.revertTo(clean);
            if (worked) ++took;
        }
    }

    function deliverFinal() private {
        oracle.deliver(requestId, outputOf(truth()), "");
    }

    function deliverEarly() private {
        oracle.deliverProvisional(finalClaim, outputOf(lie(1, 0)), "");
    }

    function payOut() private {
        vm.prank(address(consumer));
        oracle.withdraw(payable(consumer), 1 ether);
    }

    function test_callback__reenters_every_function__as_if_called_afterwards() external {
        assertGe(compare(deliverFinal), 10, "functions that had something to do");
        assertGe(compare(deliverEarly), 10, "early");
    }

    function test_withdraw__payee_reenters_every_function__as_if_called_afterwards() external {
        assertGe(compare(payOut), 10, "functions that had something to do");
    }

    // Nothing is pushed

    /// @dev A claimant that takes no ether holds up nobody, itself included.
    function test_finalize__claimant_that_takes_no_ether__all_goes_on() external {
        address deaf = address(evaluator);
        vm.deal(deaf, CLAIM_BOND);
        bytes32 asked = ask(direct, 20);
        bytes32 theirs = claim(asked, deaf, truth());
        vm.warp(oracle.finalAt(theirs));
        oracle.finalize(theirs);
        assertEq(oracle.balanceOf(deaf), CLAIM_BOND + MIN_FEE, "bond and fee");
        vm.prank(deaf);
        expectRevertOf(IBalances.TransferFailed.selector);
        oracle.withdraw(payable(deaf), CLAIM_BOND);
        vm.prank(deaf);
        oracle.withdraw(payable(other), CLAIM_BOND);
    }

    // Challenging oneself

    /// @dev A liar who sees that it is caught, and wins against itself before the watcher does: half its bond is gone.
    function test_refute__by_the_liars_own_challenge__costs_it_half_its_bond() external {
        uint256 before = liar.balance + oracle.balanceOf(liar);
        bytes32 theirs = claim(ask(direct, 21), liar, lie(1, 0));
        ChallengeKey memory own = challenge(theirs, liar, 0);
        ChallengeKey memory watch = challenge(theirs, watcher, 0);
        refute(own, lie(1, 0), truth());
        oracle.close(watch);
        assertStatus(theirs, ClaimStatus.REFUTED);
        assertStatus(watch, ChallengeStatus.VOID);
        assertLe(liar.balance + oracle.balanceOf(liar), before - CLAIM_BOND / 2, "no profit");
        assertGe(oracle.balanceOf(watcher), CHALLENGE_BOND, "the watcher's bond");
    }
}
