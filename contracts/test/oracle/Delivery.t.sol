// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {OracleConsumer} from "../../src/OracleConsumer.sol";
import {DigitReader} from "../../src/examples/DigitReader.sol";
import {EarlyBird} from "../../src/examples/EarlyBird.sol";
import {Storyteller} from "../../src/examples/Storyteller.sol";
import {IAIOracle} from "../../src/interfaces/IAIOracle.sol";
import {IInferenceOracle} from "../../src/interfaces/IInferenceOracle.sol";
import {Delivery, DeliveryKind, IOracleConsumer} from "../../src/interfaces/IOracleConsumer.sol";
import {IRequests} from "../../src/interfaces/IRequests.sol";
import {
    ChallengeKey,
    ClaimStatus,
    RequestOptions,
    RequestStatus,
    RequestView
} from "../../src/interfaces/Types.sol";
import {OracleTest} from "./OracleTest.sol";
import {ToyModel, Trace} from "./ToyModel.sol";

/// @notice What a consumer written for ORA's oracle looks like: receiver base and modifier as there.
abstract contract AIOracleCallbackReceiver {
    IAIOracle public immutable aiOracle;

    error UnauthorizedCallbackSource(IAIOracle expected, address found);

    constructor(IAIOracle aiOracle_) {
        aiOracle = aiOracle_;
    }

    modifier onlyAIOracleCallback() {
        if (msg.sender != address(aiOracle)) revert UnauthorizedCallbackSource(aiOracle, msg.sender);
        _;
    }

    function aiOracleCallback(uint256 requestId, bytes calldata output, bytes calldata callbackData)
        external
        virtual;
}

contract Prompt is AIOracleCallbackReceiver {
    uint64 private constant GAS = 200_000;
    mapping(uint256 => bytes) public results;
    uint256 public calls;

    constructor(IAIOracle aiOracle_) AIOracleCallbackReceiver(aiOracle_) {}

    function estimateFee(uint256 modelId) public view returns (uint256) {
        return aiOracle.estimateFee(modelId, GAS);
    }

    function calculateAIResult(uint256 modelId, bytes calldata prompt) external payable returns (uint256) {
        return aiOracle.requestCallback{value: msg.value}(modelId, prompt, address(this), GAS, hex"77");
    }

    function aiOracleCallback(uint256 requestId, bytes calldata output, bytes calldata)
        external
        override
        onlyAIOracleCallback
    {
        ++calls;
        results[requestId] = output;
    }
}

/// @notice A consumer that behaves as badly as it is told.
contract Mean is IOracleConsumer {
    enum Mood {
        KIND,
        REVERT,
        RETURN_BOMB,
        REENTER
    }

    Mood public mood;
    uint256 public seen;
    uint256 public gasSeen;

    function set(Mood mood_) external {
        mood = mood_;
    }

    function onDelivery(Delivery calldata delivery, bytes calldata output, bytes calldata data) external {
        gasSeen = gasleft();
        if (mood == Mood.REVERT) revert("no");
        if (mood == Mood.RETURN_BOMB) {
            assembly {
                revert(0, 150000)
            }
        }
        if (mood == Mood.REENTER) IRequests(msg.sender).deliver(delivery.requestId, output, data);
        ++seen;
    }
}

/// @notice Rule 10: callbacks can hurt nobody but themselves.
contract DeliveryTest is OracleTest {
    uint32 private constant GAS = 100_000;
    Mean private mean = new Mean();

    function askFor(address callback, bool provisional) private returns (bytes32) {
        RequestOptions memory options;
        options.callback = callback;
        options.gasLimit = GAS;
        options.provisional = provisional;
        options.callbackData = hex"abcd";
        vm.prank(alice);
        return oracle.request{value: 1 ether}(direct, input, options);
    }

    function answered(bytes32 requestId) private returns (bytes memory output) {
        Trace memory t = truth();
        bytes32 claimId = claim(requestId, honest, t);
        vm.warp(oracle.finalAt(claimId));
        oracle.finalize(claimId);
        return t.tensors[ToyModel.OUTPUT].raw;
    }

    function test_finalize__with_a_callback__calls_nobody() external {
        bytes32 requestId = askFor(address(mean), false);
        answered(requestId);
        assertEq(mean.gasSeen(), 0, "not called");
        assertTrue(oracle.isFinalized(uint256(requestId)), "but answered");
    }

    function test_deliver__answer__called_once_and_paid_for() external {
        bytes32 requestId = askFor(address(mean), false);
        bytes memory output = answered(requestId);
        vm.prank(other);
        oracle.deliver(requestId, output, hex"abcd");
        assertEq(mean.seen(), 1, "delivered");
        assertEq(oracle.balanceOf(other), GAS * CALLBACK_GAS_PRICE, "the deliverer's gas");
        vm.expectRevert(abi.encodeWithSelector(IRequests.AlreadyDelivered.selector, requestId));
        oracle.deliver(requestId, output, hex"abcd");
    }

    function test_deliver__other_bytes__refused() external {
        bytes32 requestId = askFor(address(mean), false);
        bytes memory output = answered(requestId);
        expectRevertOf(IRequests.WrongBytes.selector);
        oracle.deliver(requestId, output, hex"abce");
        output[0] ^= 0x01;
        expectRevertOf(IRequests.WrongBytes.selector);
        oracle.deliver(requestId, output, hex"abcd");
    }

    /// @dev The callback gets its whole limit or the delivery reverts, at every amount of gas.
    function test_deliver__starved_of_gas__reverts_or_gives_the_whole_limit() external {
        bytes32 requestId = askFor(address(mean), false);
        bytes memory data = abi.encodeCall(oracle.deliver, (requestId, answered(requestId), hex"abcd"));
        bool delivered;
        for (uint256 limit = 60_000; !delivered; limit += 2_000) {
            (delivered,) = address(oracle).call{gas: limit}(data);
        }
        // The callee's dispatch comes before it looks.
        assertGe(mean.gasSeen(), GAS - 2_000, "gas of the callback");
        assertEq(mean.seen(), 1, "delivered");
    }

    function test_deliver__callback_reverts_bombs_or_reenters__isolated_and_repeatable() external {
        bytes32 requestId = askFor(address(mean), false);
        bytes memory output = answered(requestId);
        for (uint256 mood = 1; mood <= 3; ++mood) {
            mean.set(Mean.Mood(mood));
            uint256 before = gasleft();
            vm.prank(other);
            oracle.deliver(requestId, output, hex"abcd");
            assertLe(before - gasleft(), GAS + 60_000, "gas of the delivery");
            assertFalse(oracle.getRequest(requestId).delivered, "not delivered");
        }
        assertEq(oracle.balanceOf(other), GAS * CALLBACK_GAS_PRICE, "paid once");
        mean.set(Mean.Mood.KIND);
        oracle.deliver(requestId, output, hex"abcd");
        assertTrue(oracle.getRequest(requestId).delivered, "delivered");
        assertEq(mean.seen(), 1, "once");
    }

    function test_example__digit_reader__reads() external {
        DigitReader reader = new DigitReader(oracle, direct);
        uint256 price = oracle.quote(direct, 100_000);
        bytes32 requestId = reader.read{value: price}(input);
        bytes memory output = answered(requestId);
        oracle.deliver(requestId, output, "");
        assertEq(reader.digitPlusOne(requestId), 1, "the first of one");
        // −2, −1, 0.5, 0.25, 0.5
        bytes memory floats = hex"000000c0000080bf0000003f0000803e0000003f";
        assertEq(reader.argmax(floats), 2, "largest");
        vm.expectRevert(abi.encodeWithSelector(OracleConsumer.OnlyOracle.selector, address(this)));
        reader.onDelivery(Delivery(requestId, 0, 1, DeliveryKind.FINAL), output, "");
    }

    function test_example__storyteller__keeps_the_text() external {
        Storyteller teller = new Storyteller(oracle, direct);
        assertEq(uint256(uint32(teller.littleEndian(0x01020304))), 0x04030201, "little-endian");
        assertEq(teller.price(12), oracle.quote(direct, 204_000), "price");
        // The toy model takes any 600 bytes: the first four are the number of tokens.
        input = bytes.concat(hex"0c000000", inputOf(596));
        uint256 price = teller.price(12);
        bytes32 requestId = teller.tell{value: price}(12, inputOf(596));
        bytes memory output = answered(requestId);
        assertEq(bytes(teller.story(requestId)).length, 0, "not before it is final");
        oracle.deliver(requestId, output, "");
        assertEq(bytes(teller.story(requestId)), output, "the text");
        vm.expectRevert(abi.encodeWithSelector(OracleConsumer.OnlyOracle.selector, address(this)));
        teller.onDelivery(Delivery(requestId, 0, 1, DeliveryKind.FINAL), output, "");
    }

    // Provisional answers

    function early() private returns (EarlyBird bird, bytes32 requestId) {
        bird = new EarlyBird(oracle);
        requestId = bird.ask{value: oracle.quote(direct, 150_000)}(direct, input, 1);
    }

    function assertState(EarlyBird bird, bytes32 requestId, EarlyBird.State expected) private view {
        (EarlyBird.State state,) = bird.answerOf(requestId);
        assertEq(uint256(state), uint256(expected), "state");
    }

    function test_provisional__refuted__retracted_and_corrected() external {
        (EarlyBird bird, bytes32 requestId) = early();
        Trace memory theirs = lie(1, 0);
        bytes memory wrong = theirs.tensors[ToyModel.OUTPUT].raw;
        bytes32 claimId = claim(requestId, liar, theirs);
        oracle.deliverProvisional(claimId, wrong, "");
        assertState(bird, requestId, EarlyBird.State.EARLY);
        vm.expectRevert(abi.encodeWithSelector(IRequests.NotProvisional.selector, requestId));
        oracle.retract(requestId, "");
        refute(challenge(claimId, watcher, 0), theirs, truth());
        // At most one is outstanding.
        Trace memory mine = truth();
        bytes memory right = mine.tensors[ToyModel.OUTPUT].raw;
        bytes32 second = claim(requestId, honest, mine);
        vm.expectRevert(abi.encodeWithSelector(IRequests.NotProvisional.selector, requestId));
        oracle.deliverProvisional(second, right, "");
        oracle.retract(requestId, "");
        assertState(bird, requestId, EarlyBird.State.RETRACTED);
        oracle.deliverProvisional(second, right, "");
        assertState(bird, requestId, EarlyBird.State.EARLY);
        vm.warp(oracle.finalAt(second));
        oracle.finalize(second);
        oracle.deliver(requestId, right, "");
        assertState(bird, requestId, EarlyBird.State.FINAL);
    }

    /// @dev The early answer was never refuted, but another one was final first: it is retracted before the answer.
    function test_provisional__other_answer_final__retracted_first() external {
        bytes32 requestId = askFor(address(mean), true);
        Trace memory theirs = lie(1, 0);
        Trace memory mine = truth();
        bytes32 right = claim(requestId, honest, mine);
        bytes32 wrong = claim(requestId, liar, theirs);
        oracle.deliverProvisional(wrong, theirs.tensors[ToyModel.OUTPUT].raw, hex"abcd");
        vm.warp(oracle.finalAt(right));
        oracle.finalize(right);
        bytes memory retraction = abi.encodeCall(
            IOracleConsumer.onDelivery, (Delivery(requestId, wrong, 1, DeliveryKind.RETRACTED), "", hex"abcd")
        );
        vm.expectCall(address(mean), retraction);
        oracle.deliver(requestId, mine.tensors[ToyModel.OUTPUT].raw, hex"abcd");
        assertEq(mean.seen(), 3, "early, retracted, final");
    }

    function test_provisional__not_asked_for__refused() external {
        bytes32 requestId = askFor(address(mean), false);
        Trace memory mine = truth();
        bytes32 claimId = claim(requestId, honest, mine);
        vm.expectRevert(abi.encodeWithSelector(IRequests.NotProvisional.selector, requestId));
        oracle.deliverProvisional(claimId, mine.tensors[ToyModel.OUTPUT].raw, hex"abcd");
    }

    // ORA's interface

    function test_ora__unchanged_consumer__one_call_after_finality() external {
        Prompt prompt = new Prompt(oracle);
        uint256 modelId = uint256(direct);
        uint256 fee = prompt.estimateFee(modelId);
        uint256 first = prompt.calculateAIResult{value: fee}(modelId, input);
        uint256 second = prompt.calculateAIResult{value: fee}(modelId, input);
        assertTrue(first != second, "the same prompt twice");
        assertFalse(oracle.isFinalized(first), "not yet");
        Trace memory t = truth();
        bytes memory output = t.tensors[ToyModel.OUTPUT].raw;
        bytes32 claimId = claim(bytes32(first), honest, t);
        vm.expectRevert(abi.encodeWithSelector(IRequests.NotProvisional.selector, bytes32(first)));
        oracle.deliverProvisional(claimId, output, hex"77");
        vm.expectRevert(
            abi.encodeWithSelector(
                IRequests.RequestNotIn.selector, bytes32(first), RequestStatus.OPEN, RequestStatus.ANSWERED
            )
        );
        oracle.deliver(bytes32(first), output, hex"77");
        vm.warp(oracle.finalAt(claimId));
        oracle.finalize(claimId);
        oracle.deliver(bytes32(first), output, hex"77");
        assertTrue(oracle.isFinalized(first), "finalized");
        assertEq(prompt.results(first), output, "result");
        vm.expectRevert(abi.encodeWithSelector(IRequests.AlreadyDelivered.selector, bytes32(first)));
        oracle.deliver(bytes32(first), output, hex"77");
        assertEq(prompt.calls(), 1, "calls");
    }
}
