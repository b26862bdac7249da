// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IModels} from "../../src/interfaces/IModels.sol";
import {IRequests} from "../../src/interfaces/IRequests.sol";
import {Limits, Model, NO_INDEX, Policy, RequestOptions, RequestView} from "../../src/interfaces/Types.sol";
import {OracleTest} from "./OracleTest.sol";
import {ToyModel} from "./ToyModel.sol";

/// @notice Listings and requests: ids, floors and limits.
contract RequestsTest is OracleTest {
    // Listings

    function test_list__model_and_terms__named_by_both_and_read_back() external {
        Policy memory p = policy(false);
        p.window += 1;
        p.defenderClock += 2;
        p.revealTimeout += 3;
        p.minFee += 4;
        p.claimBond += 5;
        Model memory m = ToyModel.model(7);
        bytes32 modelId = sha256(abi.encode(m));
        bytes32 listingId = keccak256(abi.encode(modelId, p));
        assertEq(oracle.list(m, p), listingId, "listing id");
        (bytes32 model, Policy memory read, uint256 traceSeconds) = oracle.getListing(listingId);
        assertEq(model, modelId, "model id");
        assertEq(keccak256(abi.encode(read)), keccak256(abi.encode(p)), "terms");
        assertEq(traceSeconds, TRACE_SECONDS, "trace seconds");
        vm.expectRevert(abi.encodeWithSelector(IModels.AlreadyListed.selector, listingId));
        oracle.list(m, p);
    }

    function test_limits__as_deployed() external view {
        assertEq(keccak256(abi.encode(oracle.limits())), keccak256(abi.encode(limits())), "limits");
    }

    /// @dev Rule 6: clocks and window have their floor and four trace times.
    function test_list__terms_under_a_floor__refused() external {
        Model memory m = ToyModel.model(7);
        uint256 traces = 4 * TRACE_SECONDS;
        Policy memory p = policy(false);
        p.challengerClock = uint32(10 minutes + traces - 1);
        refused(m, p, "challengerClock", 10 minutes + traces - 1, 10 minutes + traces);
        p.challengerClock += 1;
        p.defenderClock = uint32(10 minutes + traces - 1);
        refused(m, p, "defenderClock", 10 minutes + traces - 1, 10 minutes + traces);
        p.defenderClock += 1;
        p.window = uint32(30 minutes + traces - 1);
        refused(m, p, "window", 30 minutes + traces - 1, 30 minutes + traces);
        p.window += 1;
        p.claimBond = 0.1 ether - 1;
        refused(m, p, "claimBond", 0.1 ether - 1, 0.1 ether);
        p.claimBond += 1;
        p.challengeBond = 0.05 ether - 1;
        refused(m, p, "challengeBond", 0.05 ether - 1, 0.05 ether);
        p.challengeBond += 1;
        p.revealTimeout = 5 minutes - 1;
        refused(m, p, "revealTimeout", 5 minutes - 1, 5 minutes);
        p.revealTimeout += 1;
        oracle.list(m, p);
    }

    function refused(Model memory m, Policy memory p, bytes32 field, uint256 value, uint256 floor) private {
        vm.expectRevert(abi.encodeWithSelector(IModels.BadPolicy.selector, field, value, floor));
        oracle.list(m, p);
    }

    function test_list__model_that_cannot_be_judged__refused() external {
        for (uint256 i = 0; i < 10; ++i) {
            Model memory m = ToyModel.model(7);
            if (i == 0) m.version = 2;
            if (i == 1) m.instructionCount = 0;
            if (i == 2) m.output = 7;
            if (i == 3) m.ok = 7;
            if (i == 4) m.witness = 7;
            if (i == 5) m.sources[2].maxElements = 1;
            if (i == 6) m.sources[1].dtype = 7;
            if (i == 7) m.sources[0].maxElements = 65_537;
            if (i == 8) m.derived[4].source = 3;
            if (i == 9) m.stepBound = 12_289;
            expectRevertOf(IModels.BadModel.selector);
            oracle.list(m, policy(false));
        }
    }

    // Requests

    function test_request__options__stored_and_defaults_filled() external {
        RequestOptions memory options;
        options.callback = other;
        options.gasLimit = 50_000;
        options.callbackData = hex"c0ffee";
        uint256 price = oracle.quote(direct, 50_000);
        assertEq(price, MIN_FEE + 50_000 * CALLBACK_GAS_PRICE, "quote");
        vm.prank(alice);
        bytes32 requestId = oracle.request{value: price + 5}(direct, input, options);
        assertEq(oracle.balanceOf(alice), 5, "excess");
        RequestView memory r = oracle.getRequest(requestId);
        assertEq(r.listingId, direct, "listing");
        assertEq(r.requester, alice, "requester");
        assertEq(r.deadline, block.timestamp + 1 days, "deadline");
        assertEq(r.fee, MIN_FEE, "fee");
        assertEq(r.inputElements, 600, "symbol 0");
        assertEq(r.inputRoot, ToyModel.tensor(input, 600).root, "input root");
        assertEq(r.callbackHash, keccak256(hex"c0ffee"), "callback data");
        bytes32 expected =
            keccak256(abi.encode(block.chainid, address(oracle), direct, alice, uint256(0), r.inputRoot));
        assertEq(requestId, expected, "request id");
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IRequests.RequestExists.selector, requestId));
        oracle.request{value: price}(direct, input, options);
    }

    function test_request__fee_or_deadline_too_low__refused() external {
        RequestOptions memory options;
        options.fee = uint96(MIN_FEE - 1);
        vm.expectRevert(abi.encodeWithSelector(IRequests.FeeTooLow.selector, MIN_FEE - 1, MIN_FEE));
        oracle.request{value: 1 ether}(direct, input, options);
        options.fee = 0;
        options.deadline = uint40(block.timestamp - 1);
        expectRevertOf(IRequests.DeadlinePassed.selector);
        oracle.request{value: 1 ether}(direct, input, options);
    }

    /// @dev The chain's tensor roots equal the plain ones, for every number of chunks up to nine.
    function test_request__callback_gas_that_no_transaction_carries__refused() external {
        RequestOptions memory options;
        options.callback = other;
        options.gasLimit = 10_000_001;
        vm.deal(alice, 10 ether);
        vm.prank(alice);
        expectRevertOf(IRequests.CallbackGasTooHigh.selector);
        oracle.request{value: 1 ether}(direct, input, options);
        vm.prank(alice);
        expectRevertOf(IRequests.CallbackGasTooHigh.selector);
        oracle.requestCallback{value: 1 ether}(uint256(direct), input, other, type(uint64).max, "");
    }

    function test_request__inputs_of_any_size__root_as_specified() external {
        uint256[13] memory sizes =
            [uint256(1), 2, 1023, 1024, 1025, 2048, 2049, 3072, 4097, 5000, 7168, 8192, 8193];
        for (uint256 i = 0; i < sizes.length; ++i) {
            input = inputOf(sizes[i]);
            bytes32 root = oracle.getRequest(ask()).inputRoot;
            assertEq(root, ToyModel.tensor(input, uint64(sizes[i])).root, "root");
        }
    }

    // Rule 4: symbols are bounded when they are made

    function test_lengths__outside_the_models_limits__refused() external {
        RequestOptions memory options;
        vm.expectRevert(abi.encodeWithSelector(IRequests.BadLength.selector, 0, 0));
        oracle.request{value: MIN_FEE}(direct, "", options);
        vm.expectRevert(abi.encodeWithSelector(IRequests.BadLength.selector, 0, 16_385));
        oracle.request{value: MIN_FEE}(direct, new bytes(16_385), options);
        bytes32 requestId = ask();
        // The output is one i32: nothing shorter, longer or broken.
        uint256[5] memory sizes = [uint256(0), 3, 5, 6, 8];
        vm.deal(honest, 100 ether);
        vm.startPrank(honest);
        for (uint256 i = 0; i < sizes.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IRequests.BadLength.selector, 1, sizes[i]));
            oracle.proposeClaim{value: CLAIM_BOND}(requestId, 0, new bytes(sizes[i]), "");
        }
        vm.expectRevert(abi.encodeWithSelector(IRequests.BadLength.selector, 2, 1));
        oracle.proposeClaim{value: CLAIM_BOND}(requestId, 0, new bytes(4), hex"00");
    }

    function test_lengths__together_against_an_inequality__refused() external {
        Model memory m = ToyModel.model(7);
        (m.sources[1].maxElements, m.sources[2].maxElements) = (100, 100);
        m.witness = 2;
        // 2·n0 − n1 + 3·n2 ≤ 1,205
        (m.inequalities[2].c0, m.inequalities[2].c1, m.inequalities[2].c2) = (2, -1, 3);
        m.inequalities[2].bound = 1205;
        bytes32 requestId = ask(oracle.list(m, policy(false)), 1);
        vm.startPrank(honest);
        vm.expectRevert(abi.encodeWithSelector(IRequests.BadLengths.selector, 2));
        oracle.proposeClaim{value: CLAIM_BOND}(requestId, 0, new bytes(4 * 3), new bytes(3));
        oracle.proposeClaim{value: CLAIM_BOND}(requestId, 0, new bytes(4 * 4), new bytes(3));
    }
}
