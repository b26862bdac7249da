// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IElementEvaluator} from "../interfaces/IElementEvaluator.sol";
import {Softfloat32} from "../lib/Softfloat32.sol";
import {ScalarProgram} from "./ScalarProgram.sol";
import {Decoded, TapeDecoder} from "./TapeDecoder.sol";
import {TensorView, View} from "./TensorView.sol";

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
        unchecked {
            Decoded memory d = TapeDecoder.decode(instruction, symbols);
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

    /// @inheritdoc IElementEvaluator
    function evaluate(
        bytes calldata instruction,
        uint64[8] calldata symbols,
        uint64 element,
        Opening[] calldata openings
    ) external pure returns (uint64 bits) {
        Decoded memory d = _prepare(instruction, symbols, openings);
        return _evaluate(d, element, _registers());
    }

    /// @inheritdoc IElementEvaluator
    function evaluateMany(
        bytes calldata instruction,
        uint64[8] calldata symbols,
        uint64[] calldata elements,
        Opening[] calldata openings
    ) external pure returns (uint64[] memory bits) {
        unchecked {
            Decoded memory d = _prepare(instruction, symbols, openings);
            uint256 registers = _registers();
            bits = new uint64[](elements.length);
            for (uint256 i; i != elements.length; ++i) {
                bits[i] = _evaluate(d, elements[i], registers);
            }
        }
    }

    function _prepare(bytes calldata instruction, uint64[8] calldata symbols, Opening[] calldata openings)
        private
        pure
        returns (Decoded memory d)
    {
        unchecked {
            d = TapeDecoder.decode(instruction, symbols);
            _mergeReduceAxes(d);
            for (uint256 i; i != d.views.length; ++i) {
                d.views[i].open(openings);
            }
        }
    }

    /// @dev Joins a reduce axis with the next one where every view runs through both as through a single axis: the
    /// elements read and their order stay the same, and the innermost loop gets longer.
    function _mergeReduceAxes(Decoded memory d) private pure {
        unchecked {
            for (uint256 axis = d.dimensions.length; axis > d.rank + 1;) {
                --axis;
                uint256 inner = d.dimensions[axis];
                bool joined = true;
                for (uint256 i; i != d.views.length; ++i) {
                    int256[] memory strides = d.views[i].strides;
                    joined = joined && strides[axis - 1] == strides[axis] * int256(inner);
                }
                if (!joined) continue;
                d.dimensions[axis - 1] *= inner;
                _remove(d.dimensions, axis);
                for (uint256 i; i != d.views.length; ++i) {
                    uint256[] memory strides;
                    int256[] memory joinedStrides = d.views[i].strides;
                    assembly ("memory-safe") {
                        strides := joinedStrides
                    }
                    _remove(strides, axis - 1); // the inner stride is the joined axis' stride
                }
            }
        }
    }

    function _remove(uint256[] memory values, uint256 index) private pure {
        unchecked {
            uint256 last = values.length - 1;
            for (; index != last; ++index) {
                values[index] = values[index + 1];
            }
            assembly ("memory-safe") {
                mstore(values, last)
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

    function _evaluate(Decoded memory d, uint256 element, uint256 registers) private pure returns (uint64 bits) {
        unchecked {
            if (element >= d.count) revert MalformedInstruction(0);
            _place(d, element);
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

    /// @dev Sets the output coordinates to the element's, the reduce coordinates to zero, and the views accordingly.
    function _place(Decoded memory d, uint256 element) private pure {
        unchecked {
            uint256 axes = d.dimensions.length;
            for (uint256 axis = d.rank; axis != 0;) {
                --axis;
                uint256 dimension = d.dimensions[axis]; // not zero, since the result has this element
                d.coordinates[axis] = element % dimension;
                element /= dimension;
            }
            for (uint256 axis = d.rank; axis < axes; ++axis) {
                d.coordinates[axis] = 0;
            }
            for (uint256 i; i != d.views.length; ++i) {
                View memory v = d.views[i];
                int256 index = v.offset;
                for (uint256 axis; axis != d.rank; ++axis) {
                    index += int256(d.coordinates[axis]) * v.strides[axis];
                }
                v.index = index;
            }
        }
    }

    /// @dev Moves to the next reduce coordinates, row-major, over all reduce axes before `last`; false after the last.
    function _advance(Decoded memory d, uint256 last) private pure returns (bool) {
        unchecked {
            for (uint256 axis = last; axis != d.rank;) {
                --axis;
                if (d.coordinates[axis] + 1 != d.dimensions[axis]) {
                    _move(d.views, axis, 1);
                    ++d.coordinates[axis];
                    return true;
                }
                _move(d.views, axis, -int256(d.coordinates[axis]));
                d.coordinates[axis] = 0;
            }
            return false;
        }
    }

    function _move(View[] memory views, uint256 axis, int256 steps) private pure {
        unchecked {
            for (uint256 i; i != views.length; ++i) {
                views[i].index += steps * views[i].strides[axis];
            }
        }
    }

    /// @dev The program's result at the current coordinates.
    function _run(Decoded memory d, uint256 registers) private pure returns (uint256) {
        unchecked {
            uint256 next = registers;
            for (uint256 i; i != d.views.length; ++i) {
                uint256 value = d.views[i].load();
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
            } while (_advance(d, last));
        }
    }

    /// @dev Σ a·b along the last axis, in runs within which neither operand changes its chunk.
    function _dot(View memory a, View memory b, uint256 last, uint256 count) private pure returns (uint256 sum) {
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
    function _dotRun(View memory a, View memory b, uint256 p, uint256 q, uint256 pStep, uint256 qStep, uint256 steps)
        private
        pure
        returns (uint256 sum)
    {
        unchecked {
            uint256 aWidth = a.width;
            uint256 bWidth = b.width;
            uint256 aSign = a.signByte();
            uint256 bSign = b.signByte();
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

    function _reduce(Decoded memory d, uint256 registers) private pure returns (uint256 result) {
        unchecked {
            result = _run(d, registers);
            uint256 reducer = d.reducer;
            uint256 axes = d.dimensions.length;
            int256 best = _order(d, result);
            uint256 bestPosition;
            for (uint256 position = 1; _advance(d, axes); ++position) {
                uint256 value = _run(d, registers);
                if (reducer == TapeDecoder.SUM) {
                    result += value;
                    continue;
                }
                int256 order = _order(d, value);
                // Strictly: of equal values the first one stays.
                if (order == best || (order > best) == (reducer == TapeDecoder.MIN)) continue;
                (result, best, bestPosition) = (value, order, position);
            }
            if (reducer == TapeDecoder.ARGMAX) return bestPosition;
            if (d.isFloat) return Softfloat32.positiveZero(result);
        }
    }

    /// @dev An integer that orders a program's results.
    function _order(Decoded memory d, uint256 value) private pure returns (int256) {
        return d.isFloat ? Softfloat32.order(value) : int256(value);
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
