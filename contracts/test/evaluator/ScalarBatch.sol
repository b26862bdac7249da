// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {ScalarProgram} from "../../src/evaluator/ScalarProgram.sol";

/// @notice Runs a scalar program over many lanes at once, for the differential tests in tests/evm.
contract ScalarBatch {
    /// @param program The operations, without their count; not checked.
    /// @param operands Registers loaded for every lane.
    /// @param lanes The registers, 8 bytes each, big-endian: integers in two's complement, or a float's bits.
    /// @return results 8 bytes a lane.
    function run(bytes calldata program, uint256 operands, bytes calldata lanes)
        external
        pure
        returns (bytes memory results)
    {
        uint256[] memory registers = new uint256[](ScalarProgram.MAX_REGISTERS);
        uint256 count = lanes.length / (8 * operands);
        results = new bytes(8 * count + 24); // room for the last word
        for (uint256 i; i != count; ++i) {
            uint256 first;
            uint256 start;
            assembly ("memory-safe") {
                first := add(registers, 0x20)
                let lane := add(lanes.offset, mul(i, shl(3, operands)))
                for { let j := 0 } lt(j, operands) { j := add(j, 1) } {
                    mstore(add(first, shl(5, j)), sar(192, calldataload(add(lane, shl(3, j)))))
                }
                start := program.offset
            }
            uint256 result = ScalarProgram.run(start, start + program.length, first, first + 32 * operands);
            assembly ("memory-safe") {
                mstore(add(add(results, 0x20), shl(3, i)), shl(192, result))
            }
        }
        assembly ("memory-safe") {
            mstore(results, shl(3, count))
        }
    }
}
