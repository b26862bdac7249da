// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IElementEvaluator} from "../interfaces/IElementEvaluator.sol";

/// @notice An operand: a tensor of which some chunks are opened, read through a strided view.
struct View {
    /// The tensor's reference as the instruction spells it.
    uint256 ref;
    /// Element type, 1…6.
    uint256 dtype;
    /// Bytes an element, and which of them has the sign (31 for none).
    uint256 width;
    uint256 signByte;
    /// Bytes of the whole tensor.
    uint256 byteLength;
    /// The view, in elements: its offset, and a stride for every axis.
    int256 offset;
    int256[] strides;
    /// The element at the current coordinates. Out of the tensor's range, it is caught on reading.
    int256 index;
    /// Calldata: the opened positions, their number, the opened chunks.
    uint256 positions;
    uint256 opened;
    uint256 chunks;
    /// The chunk read last: its first byte in the tensor, its bytes that belong to the tensor, its calldata position.
    uint256 low;
    uint256 size;
    uint256 data;
}

/// @title Reads elements through views
library TensorView {
    uint256 private constant CHUNK = 1024;

    /// @dev Byte t is the width of element type t, and the position of its sign byte: 31 for u8 and f32, which have none.
    uint256 private constant WIDTHS = 0x00010102040804 << 200;
    uint256 private constant SIGN_BYTES = 0x001f000103071f << 200;

    function widthOf(uint256 dtype) internal pure returns (uint256 width) {
        assembly ("memory-safe") {
            width := byte(dtype, WIDTHS)
        }
    }

    function signByteOf(uint256 dtype) internal pure returns (uint256 position) {
        assembly ("memory-safe") {
            position := byte(dtype, SIGN_BYTES)
        }
    }

    /// @notice The stride of an axis that is known to exist.
    function stride(View memory v, uint256 axis) internal pure returns (int256 elements) {
        int256[] memory strides = v.strides;
        assembly ("memory-safe") {
            elements := mload(add(add(strides, 0x20), shl(5, axis)))
        }
    }

    /// @notice Takes the opening of the view's tensor, if there is one. Chunks without their 1,024 bytes do not count.
    function open(View memory v, IElementEvaluator.Opening[] calldata openings) internal pure {
        unchecked {
            for (uint256 i; i != openings.length; ++i) {
                IElementEvaluator.Opening calldata opening = openings[i];
                if (opening.ref != v.ref) continue;
                uint32[] calldata positions = opening.positions;
                bytes calldata chunks = opening.chunks;
                uint256 complete = chunks.length / CHUNK;
                v.opened = positions.length < complete ? positions.length : complete;
                assembly ("memory-safe") {
                    mstore(add(v, 0x100), positions.offset) // v.positions
                    mstore(add(v, 0x140), chunks.offset) // v.chunks
                }
                return;
            }
        }
    }

    /// @notice The element at the current coordinates as a register: an integer in two's complement, or a float's bits.
    function load(View memory v) internal pure returns (uint256) {
        unchecked {
            uint256 offset = uint256(v.index) * v.width;
            if (offset - v.low >= v.size) locate(v, offset);
            return read(v.data + offset - v.low, v.width, v.signByte);
        }
    }

    /// @notice How many elements, a fixed number of bytes apart, can be read from one opened chunk.
    /// @param offset Byte in the tensor of the first one; afterwards, its chunk is the view's chunk.
    /// @param step Bytes from one to the next, two's complement.
    function reach(View memory v, uint256 offset, uint256 step) internal pure returns (uint256) {
        unchecked {
            if (offset - v.low >= v.size) locate(v, offset);
            uint256 inside = offset - v.low;
            if (step == 0) return type(uint256).max;
            if (int256(step) > 0) return (v.size - 1 - inside) / step + 1;
            return inside / (0 - step) + 1;
        }
    }

    /// @notice Makes the chunk of a byte the view's chunk.
    function locate(View memory v, uint256 offset) internal pure {
        unchecked {
            // INVARIANT: nothing outside the tensor is read, neither padding nor what follows it in a longer opening.
            if (offset >= v.byteLength) revert IElementEvaluator.MalformedInstruction(0);
            uint256 chunk = offset / CHUNK;
            uint256 low;
            uint256 high = v.opened;
            while (low < high) {
                uint256 middle = (low + high) >> 1;
                if (_position(v, middle) < chunk) low = middle + 1;
                else high = middle;
            }
            if (low == v.opened || _position(v, low) != chunk) {
                revert IElementEvaluator.ChunkNotOpened(uint32(v.ref), uint32(chunk));
            }
            v.low = chunk * CHUNK;
            uint256 rest = v.byteLength - v.low;
            v.size = rest < CHUNK ? rest : CHUNK;
            v.data = v.chunks + low * CHUNK;
        }
    }

    /// @notice A little-endian element of 1, 2, 4 or 8 bytes.
    /// @param position Its calldata position.
    /// @param sign The position of the byte whose top bit is the sign, or 31.
    function read(uint256 position, uint256 width, uint256 sign) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            let word := calldataload(position)
            value := byte(0, word)
            if gt(width, 1) {
                value := or(value, shl(8, byte(1, word)))
                if gt(width, 2) {
                    value := or(value, or(shl(16, byte(2, word)), shl(24, byte(3, word))))
                    if gt(width, 4) {
                        value := or(value, or(shl(32, byte(4, word)), shl(40, byte(5, word))))
                        value := or(value, or(shl(48, byte(6, word)), shl(56, byte(7, word))))
                    }
                }
            }
            value := signextend(sign, value)
        }
    }

    function _position(View memory v, uint256 i) private pure returns (uint256 position) {
        uint256 positions = v.positions;
        assembly ("memory-safe") {
            position := calldataload(add(positions, shl(5, i)))
        }
    }
}
