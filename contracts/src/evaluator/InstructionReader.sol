// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IElementEvaluator} from "../interfaces/IElementEvaluator.sol";

/// @notice A cursor over instruction bytes in calldata.
struct Reader {
    /// Calldata position of the next byte.
    uint256 cursor;
    /// Calldata position of the first byte.
    uint256 start;
    /// Calldata position of the eight symbol values, a word each.
    uint256 symbols;
}

/// @title Reads the fields of an instruction (docs/protocol.md §1.1)
/// @dev Reads are not checked against the instruction's end: the cursor only moves forward, by a bounded amount, and
/// the decoder requires that it stops exactly at the end. Whatever was read behind it is then discarded.
library InstructionReader {
    /// @notice Reverts with MalformedInstruction at the cursor unless the condition holds.
    function require_(Reader memory r, bool condition) internal pure {
        if (!condition) fail(r);
    }

    function fail(Reader memory r) internal pure {
        unchecked {
            revert IElementEvaluator.MalformedInstruction(r.cursor - r.start);
        }
    }

    function skip(Reader memory r, uint256 bytesCount) internal pure {
        unchecked {
            r.cursor += bytesCount;
        }
    }

    function u8(Reader memory r) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            let at := mload(r)
            value := byte(0, calldataload(at))
            mstore(r, add(at, 1))
        }
    }

    function u32(Reader memory r) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            let at := mload(r)
            value := shr(224, calldataload(at))
            mstore(r, add(at, 4))
        }
    }

    function i64(Reader memory r) internal pure returns (int256 value) {
        assembly ("memory-safe") {
            let at := mload(r)
            value := sar(192, calldataload(at))
            mstore(r, add(at, 8))
        }
    }

    /// @notice The value of an affine expression: below 2^131 in magnitude.
    function affine(Reader memory r) internal pure returns (int256 value) {
        bool canonical;
        assembly ("memory-safe") {
            /// A two's complement integer of `length` bytes; canonical if it is 1…8 bytes and needs them all.
            function integer(at, length) -> whole, good {
                whole := sar(sub(256, shl(3, length)), calldataload(at))
                // One byte must not be zero; more must not be what all but the first of them say.
                good := and(
                    lt(sub(length, 1), 8),
                    iszero(eq(whole, mul(gt(length, 1), signextend(sub(length, 2), whole))))
                )
            }

            let at := mload(r)
            let head := calldataload(at)
            let tag := byte(0, head)
            at := add(at, 1)
            canonical := 1
            // Nearly all expressions are constants of at most two bytes: those take the short way.
            switch tag
            case 0 {}
            case 1 {
                value := signextend(0, byte(1, head))
                canonical := iszero(iszero(value))
                at := add(at, 1)
            }
            case 2 {
                value := signextend(1, shr(232, head))
                canonical := iszero(eq(value, signextend(0, value)))
                at := add(at, 2)
            }
            default {
                let length := and(tag, 15)
                if length {
                    value, canonical := integer(at, length)
                    at := add(at, length)
                }
                let floor := 0 // the least symbol that may come next
                for { let terms := shr(4, tag) } terms { terms := sub(terms, 1) } {
                    head := calldataload(at)
                    let symbol := byte(0, head)
                    length := byte(1, head)
                    at := add(at, 2)
                    let coefficient, good := integer(at, length)
                    at := add(at, length)
                    canonical := and(and(canonical, good), and(lt(symbol, 8), iszero(lt(symbol, floor))))
                    floor := add(symbol, 1)
                    let amount :=
                        and(calldataload(add(mload(add(r, 0x40)), shl(5, symbol))), 0xffffffffffffffff)
                    value := add(value, mul(coefficient, amount))
                }
            }
            mstore(r, at)
        }
        require_(r, canonical);
    }

    /// @notice An affine expression that must not be negative nor reach 2^64: a dimension, an extent, a count.
    function dimension(Reader memory r) internal pure returns (uint256 value) {
        value = uint256(affine(r));
        require_(r, value >> 64 == 0);
    }
}
