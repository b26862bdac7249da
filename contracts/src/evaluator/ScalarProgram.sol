// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Softfloat32} from "../lib/Softfloat32.sol";
import {InstructionReader, Reader} from "./InstructionReader.sol";

/// @title Scalar programs: straight-line arithmetic over registers (docs/protocol.md §1.2)
/// @notice `check` decodes a program once, `run` executes it on loaded registers and trusts that it was checked.
/// @dev Registers are consecutive words of memory: an integer in two's complement, or the 32 bits of a float.
library ScalarProgram {
    using InstructionReader for Reader;

    uint256 internal constant MAX_OPERATIONS = 120;
    /// @notice Operands and operations together.
    uint256 internal constant MAX_REGISTERS = 128;

    /// @dev One signature byte an operation code, 00…1f and 20…3f; 0 for a code that does not exist:
    /// bits 0–1 argument count, bits 2–4 argument is a float, bit 5 result is a float, bit 6 an immediate follows
    /// (8 bytes for an integer, 4 for a float).
    uint256 private constant SIGNATURES_00 = 0x0040600000000000000000000000000002020202020202020202020202030000;
    uint256 private constant SIGNATURES_20 = 0x2e2e2e2e2e2e25252525250e0e0e3b2121050000000000000000000000000000;

    /// @notice Reads a program of operations over registers whose kinds are known.
    /// @param r Behind the operation count; afterwards, behind the program.
    /// @param operations The operation count, checked here.
    /// @param registers Registers loaded from operands.
    /// @param floats Bit j is set where register j holds a float.
    /// @return isFloat Whether the last register holds a float.
    function check(Reader memory r, uint256 operations, uint256 registers, uint256 floats)
        internal
        pure
        returns (bool isFloat)
    {
        unchecked {
            r.require_(operations <= MAX_OPERATIONS && operations + registers != 0);
            for (; operations != 0; --operations) {
                uint256 code = r.u8();
                uint256 signature;
                assembly ("memory-safe") {
                    switch shr(5, code)
                    case 0 { signature := byte(code, SIGNATURES_00) }
                    case 1 { signature := byte(sub(code, 32), SIGNATURES_20) }
                }
                r.require_(signature != 0);
                for (uint256 j; j != signature & 3; ++j) {
                    uint256 register = r.u8();
                    r.require_(register < registers && (floats >> register) & 1 == (signature >> (2 + j)) & 1);
                }
                uint256 resultIsFloat = (signature >> 5) & 1;
                if (signature & 0x40 != 0) r.skip(8 - 4 * resultIsFloat);
                floats |= resultIsFloat << registers++;
            }
            return (floats >> (registers - 1)) & 1 == 1;
        }
    }

    /// @notice Executes a checked program.
    /// @param cursor Calldata position of the first operation.
    /// @param end Calldata position behind the last operation.
    /// @param registers Memory position of register 0; room for all registers.
    /// @param next Memory position of the first register to write.
    /// @return result The last register.
    function run(uint256 cursor, uint256 end, uint256 registers, uint256 next) internal pure returns (uint256 result) {
        unchecked {
            assembly ("memory-safe") {
                result := mload(sub(next, 32)) // without operations, the last operand
            }
            while (cursor != end) {
                uint256 word;
                uint256 a;
                uint256 b;
                assembly ("memory-safe") {
                    word := calldataload(cursor)
                    // Where an operation has no such argument, some word is read in vain.
                    a := mload(add(registers, shl(5, and(byte(1, word), 0x7f))))
                    b := mload(add(registers, shl(5, and(byte(2, word), 0x7f))))
                }
                uint256 code = word >> 248;
                if (code > 0x1f) {
                    (result, cursor) = _float(code, word, a, b, registers, cursor);
                } else if (code > 0x0f) {
                    (result, cursor) = _integer(code, word, a, b, registers, cursor);
                } else if (code == 1) {
                    result = uint256(int256(int64(uint64(word >> 184))));
                    cursor += 9;
                } else {
                    result = uint32(word >> 216);
                    cursor += 5;
                }
                assembly ("memory-safe") {
                    mstore(next, result)
                }
                next += 32;
            }
        }
    }

    /// @dev Codes 10…1d, found by halving.
    function _integer(uint256 code, uint256 word, uint256 a, uint256 b, uint256 registers, uint256 cursor)
        private
        pure
        returns (uint256 result, uint256)
    {
        assembly ("memory-safe") {
            cursor := add(cursor, 3)
            switch lt(code, 0x14)
            case 1 {
                switch code
                case 0x10 { result := add(a, b) }
                case 0x11 { result := sub(a, b) }
                case 0x12 { result := mul(a, b) }
                default {
                    result := sdiv(a, b) // 0 for b = 0
                    // Of two i64 only MIN / −1 yields 2^63; it is 0 too.
                    if eq(result, 0x8000000000000000) { result := 0 }
                }
            }
            default {
                switch lt(code, 0x19)
                case 1 {
                    switch code
                    case 0x14 { result := xor(b, mul(xor(a, b), slt(a, b))) }
                    case 0x15 { result := xor(b, mul(xor(a, b), sgt(a, b))) }
                    case 0x16 { result := and(a, b) }
                    case 0x17 { result := or(a, b) }
                    default { result := xor(a, b) }
                }
                default {
                    switch code
                    case 0x19 {
                        if sgt(b, 63) { b := 63 }
                        if slt(b, 0) { b := 0 }
                        result := sar(b, a)
                    }
                    case 0x1a { result := eq(a, b) }
                    case 0x1b { result := slt(a, b) }
                    case 0x1c { result := iszero(sgt(a, b)) }
                    default {
                        cursor := add(cursor, 1)
                        result := b
                        if iszero(a) { result := mload(add(registers, shl(5, byte(3, word)))) }
                    }
                }
            }
        }
        return (result, cursor);
    }

    /// @dev Codes 20…31, found by halving.
    function _float(uint256 code, uint256 word, uint256 a, uint256 b, uint256 registers, uint256 cursor)
        private
        pure
        returns (uint256, uint256)
    {
        unchecked {
            if (code < 0x24) {
                if (code == 0x22) return (Softfloat32.mul(a, b), cursor + 3);
                if (code == 0x23) return (Softfloat32.div(a, b), cursor + 3);
                // a − b is a + (−b)
                return (Softfloat32.add(a, b ^ ((code & 1) << 31)), cursor + 3);
            }
            if (code < 0x2b) {
                if (code < 0x28) {
                    if (code == 0x24) return (Softfloat32.min(a, b), cursor + 3);
                    if (code == 0x25) return (Softfloat32.max(a, b), cursor + 3);
                    return (code == 0x26 ? a ^ 0x80000000 : a & 0x7fffffff, cursor + 2);
                }
                if (code == 0x28) return (Softfloat32.floor(a), cursor + 2);
                if (code == 0x29) return (Softfloat32.round(a), cursor + 2);
                return (Softfloat32.sqrt(a), cursor + 2);
            }
            if (code < 0x2e) {
                int256 x = Softfloat32.order(a);
                int256 y = Softfloat32.order(b);
                if (code == 0x2b) return (x == y ? 1 : 0, cursor + 3);
                return (x < y || (code == 0x2d && x == y) ? 1 : 0, cursor + 3);
            }
            if (code == 0x2e) {
                uint256 c;
                assembly ("memory-safe") {
                    c := mload(add(registers, shl(5, byte(3, word))))
                }
                return (Softfloat32.positiveZero(a != 0 ? b : c), cursor + 4);
            }
            if (code == 0x2f) return (Softfloat32.pow2(int256(a)), cursor + 2);
            if (code == 0x30) return (Softfloat32.fromInt(int256(a)), cursor + 2);
            return (uint256(Softfloat32.toInt(a)), cursor + 2);
        }
    }
}
