// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IElementEvaluator} from "../interfaces/IElementEvaluator.sol";
import {Softfloat32} from "../lib/Softfloat32.sol";
import {ScalarProgram} from "./ScalarProgram.sol";
import {Decoded, TapeDecoder} from "./TapeDecoder.sol";
import {TensorView, View} from "./TensorView.sol";
import {Walk} from "./Walk.sol";

/// @notice The first of the largest (or smallest) values so far.
struct Best {
    uint256 value;
    /// Larger for a better value.
    int256 order;
    uint256 position;
    uint256 seen;
}

/// @title The seven instructions, one element at a time (docs/protocol.md §1.3)
/// @dev Integers are computed in 256 bits: admission proves that they fit i64, so that nothing here can overflow.
/// Arithmetic is unchecked throughout; indices are checked where memory or calldata is read.
contract ElementEvaluator is IElementEvaluator {
    using TensorView for View;

    /// @inheritdoc IElementEvaluator
    function inspect(bytes calldata instruction, uint64[8] calldata symbols)
        external
        pure
        returns (Shape memory shape)
    {
        return _shape(TapeDecoder.decode(instruction, symbols));
    }

    /// @inheritdoc IElementEvaluator
    function evaluate(
        bytes calldata instruction,
        uint64[8] calldata symbols,
        uint64 element,
        Opening[] calldata openings
    ) external pure returns (Shape memory shape, uint64 bits) {
        Decoded memory d = TapeDecoder.decode(instruction, symbols);
        shape = _shape(d);
        if (element >= d.count) return (shape, 0);
        _open(d, openings);
        bits = _evaluate(d, element, _registers());
    }

    /// @inheritdoc IElementEvaluator
    function evaluateMany(
        bytes calldata instruction,
        uint64[8] calldata symbols,
        uint64[] calldata elements,
        Opening[] calldata openings
    ) external pure returns (uint64[] memory bits) {
        unchecked {
            Decoded memory d = TapeDecoder.decode(instruction, symbols);
            _open(d, openings);
            uint256 registers = _registers();
            bits = new uint64[](elements.length);
            for (uint256 i; i != elements.length; ++i) {
                bits[i] = _evaluate(d, elements[i], registers);
            }
        }
    }

    function _shape(Decoded memory d) private pure returns (Shape memory shape) {
        unchecked {
            shape.opcode = uint8(d.opcode);
            shape.dtype = uint8(d.dtype);
            shape.elementCount = uint64(d.count);
            shape.byteLength = uint64(d.count * TensorView.widthOf(d.dtype));
            View[] memory views = _distinct(d.views);
            shape.refs = new uint32[](views.length);
            shape.refByteLengths = new uint64[](views.length);
            shape.refDtypes = new uint8[](views.length);
            for (uint256 i; i != views.length; ++i) {
                shape.refs[i] = uint32(views[i].ref);
                shape.refByteLengths[i] = uint64(views[i].byteLength);
                shape.refDtypes[i] = uint8(views[i].dtype);
            }
        }
    }

    function _open(Decoded memory d, Opening[] calldata openings) private pure {
        unchecked {
            Walk.mergeReduceAxes(d);
            for (uint256 i; i != d.views.length; ++i) {
                d.views[i].open(openings);
            }
        }
    }

    /// @dev Memory for a scalar program's registers.
    function _registers() private pure returns (uint256 registers) {
        uint256[] memory words = new uint256[](ScalarProgram.MAX_REGISTERS);
        assembly ("memory-safe") {
            registers := add(words, 0x20)
        }
    }

    function _evaluate(Decoded memory d, uint256 element, uint256 registers)
        private
        pure
        returns (uint64 bits)
    {
        unchecked {
            if (element >= d.count) revert MalformedInstruction(0);
            Walk.place(d, element);
            uint256 opcode = d.opcode;
            uint256 value;
            if (opcode == TapeDecoder.MAP) value = _run(d, registers);
            else if (opcode == TapeDecoder.MATMUL) value = _matmul(d);
            else if (opcode == TapeDecoder.REDUCE) value = _reduce(d, registers);
            else if (opcode == TapeDecoder.GATHER) value = _gather(d);
            else if (opcode == TapeDecoder.CONCAT) value = _concat(d);
            else if (opcode == TapeDecoder.CONST) value = d.views[0].load();
            else value = _input(d);
            // The low bytes: a register's extension, and what an unproved program may have overflowed, are cut.
            return uint64(value & ((1 << (8 * TensorView.widthOf(d.dtype))) - 1));
        }
    }

    /// @dev The program's result at the current coordinates.
    function _run(Decoded memory d, uint256 registers) private pure returns (uint256) {
        unchecked {
            View[] memory views = d.views;
            uint256 count = views.length;
            uint256 next = registers;
            for (uint256 i; i != count; ++i) {
                uint256 value = views[i].load();
                assembly ("memory-safe") {
                    mstore(next, value)
                }
                next += 32;
            }
            return ScalarProgram.run(d.program, d.programEnd, registers, next);
        }
    }

    function _matmul(Decoded memory d) private pure returns (uint256 sum) {
        unchecked {
            uint256 last = d.dimensions.length - 1;
            do {
                sum += _dot(d.views[0], d.views[1], last, d.dimensions[last]);
            } while (Walk.advance(d));
        }
    }

    /// @dev Σ a·b along the last axis, in runs within which neither operand changes its chunk.
    function _dot(View memory a, View memory b, uint256 last, uint256 count)
        private
        pure
        returns (uint256 sum)
    {
        unchecked {
            uint256 i = uint256(a.index) * a.width;
            uint256 j = uint256(b.index) * b.width;
            uint256 iStep = uint256(a.strides[last]) * a.width;
            uint256 jStep = uint256(b.strides[last]) * b.width;
            while (count != 0) {
                uint256 steps = a.reach(i, iStep);
                uint256 limit = b.reach(j, jStep);
                if (steps > limit) steps = limit;
                if (steps > count) steps = count;
                sum += _dotRun(a, b, a.data + i - a.low, b.data + j - b.low, iStep, jStep, steps);
                i += steps * iStep;
                j += steps * jStep;
                count -= steps;
            }
        }
    }

    /// @dev The innermost loop: a·b at two calldata positions that advance by their steps.
    function _dotRun(
        View memory a,
        View memory b,
        uint256 p,
        uint256 q,
        uint256 pStep,
        uint256 qStep,
        uint256 steps
    ) private pure returns (uint256 sum) {
        unchecked {
            uint256 aWidth = a.width;
            uint256 bWidth = b.width;
            uint256 aSign = a.signByte;
            uint256 bSign = b.signByte;
            if (aWidth > 2 || bWidth > 2) {
                for (; steps != 0; --steps) {
                    sum += TensorView.read(p, aWidth, aSign) * TensorView.read(q, bWidth, bSign);
                    p += pStep;
                    q += qStep;
                }
                return sum;
            }
            // The usual types, without a branch: the second byte of a one-byte element is multiplied away.
            assembly ("memory-safe") {
                let aHigh := shl(8, sub(aWidth, 1))
                let bHigh := shl(8, sub(bWidth, 1))
                for {} steps { steps := sub(steps, 1) } {
                    let word := calldataload(p)
                    let x := signextend(aSign, add(byte(0, word), mul(aHigh, byte(1, word))))
                    word := calldataload(q)
                    let y := signextend(bSign, add(byte(0, word), mul(bHigh, byte(1, word))))
                    sum := add(sum, mul(x, y))
                    p := add(p, pStep)
                    q := add(q, qStep)
                }
            }
        }
    }

    function _reduce(Decoded memory d, uint256 registers) private pure returns (uint256) {
        unchecked {
            uint256 last = d.dimensions.length - 1;
            uint256 inner = d.dimensions[last];
            Best memory best;
            best.order = type(int256).min;
            uint256 sum;
            do {
                for (uint256 left = inner; left != 0; --left) {
                    uint256 value = _run(d, registers);
                    Walk.move(d.views, last, 1);
                    if (d.reducer == TapeDecoder.SUM) sum += value;
                    else _prefer(best, d, value);
                }
                Walk.move(d.views, last, -int256(inner));
            } while (Walk.advance(d));
            if (d.reducer == TapeDecoder.SUM) return sum;
            if (d.reducer == TapeDecoder.ARGMAX) return best.position;
            return d.isFloat ? Softfloat32.positiveZero(best.value) : best.value;
        }
    }

    /// @dev Keeps the value if it comes before all earlier ones: strictly, so that of equal ones the first stays.
    function _prefer(Best memory best, Decoded memory d, uint256 value) private pure {
        unchecked {
            // an integer that orders the program's results
            int256 order = d.isFloat ? Softfloat32.order(value) : int256(value);
            if (d.reducer == TapeDecoder.MIN) order = -order;
            if (order > best.order) {
                best.order = order;
                best.value = value;
                best.position = best.seen;
            }
            ++best.seen;
        }
    }

    function _gather(Decoded memory d) private pure returns (uint256) {
        unchecked {
            int256 row = int256(d.views[0].load());
            if (row >= int256(d.rows)) row = int256(d.rows) - 1;
            if (row < 0) row = 0;
            View memory table = d.views[1];
            table.index += row * d.rowStride;
            return table.load();
        }
    }

    function _concat(Decoded memory d) private pure returns (uint256) {
        unchecked {
            uint256 coordinate = d.coordinates[d.axis];
            uint256 start;
            for (uint256 i; i != d.views.length; ++i) {
                View memory v = d.views[i];
                if (coordinate < start + d.extents[i]) {
                    v.index -= int256(start) * v.strides[d.axis];
                    return v.load();
                }
                start += d.extents[i];
            }
            revert MalformedInstruction(0); // longer than its parts
        }
    }

    function _input(Decoded memory d) private pure returns (uint256 value) {
        unchecked {
            value = d.views[0].load();
            bool isFloat = d.dtype == TapeDecoder.F32;
            if (isFloat) {
                if (value & 0x7fffffff > 0x7f800000) value = 0; // NaN
                value = Softfloat32.min(Softfloat32.max(value, uint256(d.low)), uint256(d.high)); // never −0
            } else {
                if (int256(value) < d.low) value = uint256(d.low);
                if (int256(value) > d.high) value = uint256(d.high);
            }
        }
    }

    /// @dev One view of every tensor that is read, by ascending reference.
    function _distinct(View[] memory all) private pure returns (View[] memory views) {
        unchecked {
            views = new View[](all.length);
            uint256 count;
            for (uint256 i; i != all.length; ++i) {
                uint256 j;
                while (j != count && views[j].ref < all[i].ref) ++j;
                if (j != count && views[j].ref == all[i].ref) continue;
                for (uint256 k = count++; k != j; --k) {
                    views[k] = views[k - 1];
                }
                views[j] = all[i];
            }
            assembly ("memory-safe") {
                mstore(views, count)
            }
        }
    }
}
