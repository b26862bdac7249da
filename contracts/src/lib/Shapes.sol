// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

/// @title Bytes of an element by type code (docs/protocol.md §1)
library Shapes {
    /// @notice 1, 2, 4 or 8; 0 for a code that is none.
    function width(uint256 dtype) internal pure returns (uint256) {
        // u8 i8 i16 i32 i64 f32, from the lowest byte up; code 0 is none.
        return (0x04080402010100 >> (dtype * 8)) & 0xff;
    }
}
