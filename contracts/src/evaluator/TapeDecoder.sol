// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {InstructionReader, Reader} from "./InstructionReader.sol";
import {ScalarProgram} from "./ScalarProgram.sol";
import {TensorView, View} from "./TensorView.sol";

/// @notice An instruction for concrete symbols.
struct Decoded {
    uint256 opcode;
    uint256 dtype;
    /// Elements of the result.
    uint256 count;
    /// Output axes; the axes behind them, if any, are reduce axes.
    uint256 rank;
    /// All axes, and the coordinates of what is being evaluated.
    uint256[] dimensions;
    uint256[] coordinates;
    View[] views;
    /// MAP, REDUCE: the program's operations, its calldata positions, whether it yields a float.
    uint256 operations;
    uint256 program;
    uint256 programEnd;
    bool isFloat;
    /// REDUCE: 0 sum, 1 max, 2 min, 3 argmax.
    uint256 reducer;
    /// INPUT: the range, f32 as bits.
    int256 low;
    int256 high;
    /// GATHER.
    int256 rowStride;
    uint256 rows;
    /// CONCAT.
    uint256 axis;
    uint256[] extents;
}

/// @title Decodes instructions strictly (docs/protocol.md §1.1)
/// @notice Whatever is not the one encoding of an instruction, or cannot be meant for these symbols, is malformed.
library TapeDecoder {
    using InstructionReader for Reader;

    uint256 internal constant INPUT = 1;
    uint256 internal constant CONST = 2;
    uint256 internal constant MAP = 3;
    uint256 internal constant MATMUL = 4;
    uint256 internal constant REDUCE = 5;
    uint256 internal constant GATHER = 6;
    uint256 internal constant CONCAT = 7;

    uint256 internal constant SUM = 0;
    uint256 internal constant MAX = 1;
    uint256 internal constant MIN = 2;
    uint256 internal constant ARGMAX = 3;

    uint256 internal constant I32 = 4;
    uint256 internal constant I64 = 5;
    uint256 internal constant F32 = 6;

    uint256 private constant MAX_BYTES = 1024;
    uint256 private constant MAX_AXES = 8;
    uint256 private constant MAX_OPERANDS = 8;
    /// @dev Chunk positions are u32: a tensor has at most 2^32 chunks of 1,024 bytes.
    uint256 private constant MAX_TENSOR_BYTES = 1 << 42;
    /// @dev Work an element: reduce coordinates, and of a program operands and operations at each of them. Keeps every
    /// step, with its calldata, under the 2^24 gas of one transaction (EIP-7825), denormals throughout included.
    uint256 private constant MAX_COORDINATES = 1 << 14;
    uint256 private constant MAX_WORK = 1 << 13;

    /// @notice Decodes all of it. Coordinates are zero, views at their offsets, chunks not opened.
    function decode(bytes calldata instruction, uint64[8] calldata symbols)
        internal
        pure
        returns (Decoded memory d)
    {
        unchecked {
            Reader memory r;
            assembly ("memory-safe") {
                mstore(r, instruction.offset)
                mstore(add(r, 0x20), instruction.offset)
                mstore(add(r, 0x40), symbols)
            }
            r.require_(instruction.length <= MAX_BYTES);
            d.opcode = r.u8();
            r.require_(d.opcode - 1 < CONCAT);
            d.dtype = _dtype(r);
            uint256 reads = _axes(r, d);
            _operands(r, d);
            _tail(r, d);
            r.require_(r.cursor == r.start + instruction.length);
            r.require_(d.opcode == MATMUL || reads * (d.views.length + d.operations) <= MAX_WORK);
        }
    }

    function _dtype(Reader memory r) private pure returns (uint256 dtype) {
        unchecked {
            dtype = r.u8();
            r.require_(dtype - 1 < F32);
        }
    }

    /// @dev Ranks and dimensions; returns the number of reduce coordinates, 1 without reduce axes.
    function _axes(Reader memory r, Decoded memory d) private pure returns (uint256 reads) {
        unchecked {
            uint256 ranks = r.u8();
            d.rank = ranks >> 4;
            uint256 axes = d.rank + (ranks & 15);
            r.require_(axes <= MAX_AXES);
            r.require_((axes != d.rank) == (d.opcode == MATMUL || d.opcode == REDUCE));
            d.dimensions = new uint256[](axes);
            d.coordinates = new uint256[](axes);
            d.count = 1;
            reads = 1;
            for (uint256 i; i != axes; ++i) {
                uint256 dimension = r.dimension();
                d.dimensions[i] = dimension;
                if (i < d.rank) {
                    d.count *= dimension;
                    r.require_(d.count <= MAX_TENSOR_BYTES);
                } else {
                    reads *= dimension;
                    r.require_(reads - 1 < MAX_COORDINATES); // from 1 on: there is no maximum of nothing
                }
            }
            r.require_(d.count * TensorView.widthOf(d.dtype) <= MAX_TENSOR_BYTES);
        }
    }

    function _operands(Reader memory r, Decoded memory d) private pure {
        unchecked {
            uint256 operands = r.u8();
            r.require_(operands <= MAX_OPERANDS);
            if (d.opcode == INPUT || d.opcode == CONST) r.require_(operands == 1);
            else if (d.opcode == MATMUL || d.opcode == GATHER) r.require_(operands == 2);
            else if (d.opcode != MAP) r.require_(operands != 0);
            d.views = new View[](operands);
            for (uint256 i; i != operands; ++i) {
                View memory v = d.views[i];
                v.ref = r.u32();
                v.dtype = _dtype(r);
                v.width = TensorView.widthOf(v.dtype);
                v.signByte = TensorView.signByteOf(v.dtype);
                v.byteLength = v.width;
                uint256 factors = r.u8();
                r.require_(factors <= MAX_AXES);
                for (; factors != 0; --factors) {
                    v.byteLength *= r.dimension();
                    r.require_(v.byteLength <= MAX_TENSOR_BYTES);
                }
                v.offset = r.affine();
                v.index = v.offset;
                v.strides = new int256[](d.dimensions.length);
                for (uint256 axis; axis != v.strides.length; ++axis) {
                    v.strides[axis] = r.affine();
                }
                // INVARIANT: one tensor has one type and one length, however often it is read.
                for (uint256 j; j != i; ++j) {
                    View memory w = d.views[j];
                    r.require_(w.ref != v.ref || (w.dtype == v.dtype && w.byteLength == v.byteLength));
                }
                _requireOperandType(r, d, i, v.dtype);
            }
        }
    }

    /// @dev MATMUL and GATHER's index are integers; what only moves elements keeps their type.
    function _requireOperandType(Reader memory r, Decoded memory d, uint256 operand, uint256 dtype)
        private
        pure
    {
        uint256 opcode = d.opcode;
        if (opcode == MATMUL || (opcode == GATHER && operand == 0)) r.require_(dtype != F32);
        else if (opcode != MAP && opcode != REDUCE) r.require_(dtype == d.dtype);
    }

    function _tail(Reader memory r, Decoded memory d) private pure {
        unchecked {
            uint256 opcode = d.opcode;
            if (opcode == MAP) {
                _program(r, d);
                r.require_(d.isFloat == (d.dtype == F32));
            } else if (opcode == REDUCE) {
                d.reducer = r.u8();
                r.require_(d.reducer <= ARGMAX);
                _program(r, d);
                if (d.reducer == SUM) r.require_(!d.isFloat && (d.dtype == I32 || d.dtype == I64));
                else if (d.reducer == ARGMAX) r.require_(d.dtype == I32);
                else r.require_(d.isFloat == (d.dtype == F32));
            } else if (opcode == MATMUL) {
                r.require_(d.dtype == I32 || d.dtype == I64);
            } else if (opcode == INPUT) {
                d.low = r.i64();
                d.high = r.i64();
                // a float's bits are the low 4 bytes, the others zero
                if (d.dtype == F32) r.require_(uint256(d.low | d.high) >> 32 == 0);
            } else if (opcode == GATHER) {
                d.rowStride = r.affine();
                d.rows = r.dimension();
                r.require_(d.rows != 0);
            } else if (opcode == CONCAT) {
                d.axis = r.u8();
                r.require_(d.axis < d.rank);
                d.extents = new uint256[](d.views.length);
                for (uint256 i; i != d.extents.length; ++i) {
                    d.extents[i] = r.dimension();
                }
            }
        }
    }

    function _program(Reader memory r, Decoded memory d) private pure {
        unchecked {
            uint256 floats; // bit j: operand j is a float
            for (uint256 i; i != d.views.length; ++i) {
                if (d.views[i].dtype == F32) floats |= 1 << i;
            }
            d.operations = r.u8();
            d.program = r.cursor;
            d.isFloat = ScalarProgram.check(r, d.operations, d.views.length, floats);
            d.programEnd = r.cursor;
        }
    }
}
