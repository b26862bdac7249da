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
    uint256 private constant SIGNATURES_00 =
        0x0040600000000000000000000000000002020202020202020202020202030000;
    uint256 private constant SIGNATURES_20 =
        0x2e2e2e2e2e2e25252525250e0e0e3b2121050000000000000000000000000000;

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
        r.require_(operations <= MAX_OPERATIONS && operations + registers != 0);
        bool valid = true;
        assembly ("memory-safe") {
            let cursor := mload(r)
            for {} and(valid, gt(operations, 0)) { operations := sub(operations, 1) } {
                let word := calldataload(cursor)
                // `byte` yields 0 for the table that the code is not in
                let code := byte(0, word)
                let signature := or(byte(code, SIGNATURES_00), byte(sub(code, 0x20), SIGNATURES_20))
                valid := gt(signature, 0)
                let arguments := and(signature, 3)
                for { let j := arguments } j { j := sub(j, 1) } {
                    // An earlier register, of the kind that bit j + 1 of the signature asks for.
                    let register := byte(j, word)
                    let otherKind := and(xor(shr(register, floats), shr(add(j, 1), signature)), 1)
                    valid := and(valid, gt(lt(register, registers), otherKind))
                }
                let result := and(shr(5, signature), 1)
                let immediate := mul(shr(6, signature), sub(8, shl(2, result)))
                cursor := add(add(cursor, 1), add(arguments, immediate))
                floats := or(floats, shl(registers, result))
                registers := add(registers, 1)
            }
            mstore(r, cursor)
            isFloat := and(shr(sub(registers, 1), floats), 1)
        }
        r.require_(valid);
    }

    /// @notice Executes a checked program.
    /// @param cursor Calldata position of the first operation.
    /// @param end Calldata position behind the last operation.
    /// @param registers Memory position of register 0; room for all registers.
    /// @param next Memory position of the first register to write.
    /// @return result The last register.
    function run(uint256 cursor, uint256 end, uint256 registers, uint256 next)
        internal
        pure
        returns (uint256 result)
    {
        unchecked {
            assembly ("memory-safe") {
                result := mload(sub(next, 0x20)) // without operations, the last operand
            }
            while (cursor != end) {
                uint256 word;
                uint256 code;
                uint256 a;
                uint256 b;
                assembly ("memory-safe") {
                    // Where an operation has no such argument, some word is read in vain.
                    word := calldataload(cursor)
                    code := byte(0, word)
                    a := mload(add(registers, shl(5, byte(1, word))))
                    b := mload(add(registers, shl(5, byte(2, word))))
                }
                // The frequent ones come first; then floats have 0x20…0x31, integers 0x10…0x1d.
                if (code == 0x22) {
                    result = Softfloat32.mul(a, b);
                    cursor += 3;
                } else if (code >> 1 == 0x10) {
                    result = Softfloat32.add(a, b ^ (code & 1) << 31); // a − b is a + (−b)
                    cursor += 3;
                } else if (code > 0x1f) {
                    if (code < 0x2e && (code < 0x26 || code > 0x2a)) {
                        result = _binary(code, a, b);
                        cursor += 3;
                    } else if (code == 0x2e) {
                        assembly ("memory-safe") {
                            if iszero(a) { b := mload(add(registers, shl(5, byte(3, word)))) }
                        }
                        result = Softfloat32.positiveZero(b);
                        cursor += 4;
                    } else {
                        result = _unary(code, a);
                        cursor += 2;
                    }
                } else if (code > 0x0f) {
                    cursor += 3;
                    if (code < 0x1d) {
                        result = _integer(code, a, b);
                    } else {
                        assembly ("memory-safe") {
                            if iszero(a) { b := mload(add(registers, shl(5, byte(3, word)))) }
                            result := b
                            cursor := add(cursor, 1)
                        }
                    }
                } else if (code == 1) {
                    assembly ("memory-safe") {
                        result := sar(192, shl(8, word))
                        cursor := add(cursor, 9)
                    }
                } else {
                    assembly ("memory-safe") {
                        result := shr(224, shl(8, word))
                        cursor := add(cursor, 5)
                    }
                }
                assembly ("memory-safe") {
                    mstore(next, result)
                    next := add(next, 0x20)
                }
            }
        }
    }

    /// @dev Codes 10…1c.
    function _integer(uint256 code, uint256 a, uint256 b) private pure returns (uint256 result) {
        assembly ("memory-safe") {
            switch lt(code, 0x16)
            case 1 {
                switch code
                case 0x10 { result := add(a, b) }
                case 0x11 { result := sub(a, b) }
                case 0x12 { result := mul(a, b) }
                case 0x14 { result := xor(b, mul(xor(a, b), slt(a, b))) } // min
                case 0x15 { result := xor(b, mul(xor(a, b), sgt(a, b))) } // max
                default {
                    result := sdiv(a, b) // 0 for b = 0
                    // Of two i64 only MIN / −1 yields 2^63; that is 0 too.
                    if eq(result, 0x8000000000000000) { result := 0 }
                }
            }
            default {
                switch code
                case 0x16 { result := and(a, b) }
                case 0x17 { result := or(a, b) }
                case 0x18 { result := xor(a, b) }
                case 0x19 {
                    if sgt(b, 63) { b := 63 }
                    if slt(b, 0) { b := 0 }
                    result := sar(b, a)
                }
                case 0x1a { result := eq(a, b) }
                case 0x1b { result := slt(a, b) }
                default { result := iszero(sgt(a, b)) }
            }
        }
    }

    /// @dev Codes 23…25 and 2b…2d.
    function _binary(uint256 code, uint256 a, uint256 b) private pure returns (uint256 result) {
        if (code == 0x23) {
            result = Softfloat32.div(a, b);
        } else if (code == 0x24) {
            result = Softfloat32.min(a, b);
        } else if (code == 0x25) {
            result = Softfloat32.max(a, b);
        } else {
            int256 x = Softfloat32.order(a);
            int256 y = Softfloat32.order(b);
            assembly ("memory-safe") {
                switch code
                case 0x2b { result := eq(x, y) }
                case 0x2c { result := slt(x, y) }
                default { result := iszero(sgt(x, y)) }
            }
        }
    }

    /// @dev Codes 26…2a and 2f…31.
    function _unary(uint256 code, uint256 a) private pure returns (uint256 result) {
        if (code > 0x2e) {
            if (code == 0x30) result = Softfloat32.fromInt(int256(a));
            else if (code == 0x31) result = uint256(Softfloat32.toInt(a));
            else result = Softfloat32.pow2(int256(a));
        } else if (code > 0x27) {
            if (code == 0x28) result = Softfloat32.floor(a);
            else if (code == 0x29) result = Softfloat32.round(a);
            else result = Softfloat32.sqrt(a);
        } else {
            result = code == 0x26 ? a ^ 0x80000000 : a & 0x7fffffff;
        }
    }
}
