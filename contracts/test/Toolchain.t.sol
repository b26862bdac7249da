// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Test} from "./Test.sol";

/// @notice The offline toolchain compiles, runs and fails tests.
contract ToolchainTest is Test {
    function fail() external pure {
        assertEq(uint256(1), uint256(2), "numbers");
    }

    function test_assertion__of_unequal_numbers__reverts_with_both() external {
        vm.expectRevert(abi.encodeWithSelector(NotEqual.selector, "numbers", 1, 2));
        this.fail();
    }
}
