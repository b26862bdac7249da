// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Commitments: tensors, trees and their proofs (docs/protocol.md §2)
/// @notice SHA-256 by the precompile at address 2, called from assembly on scratch memory: about 250 gas a node. A call
/// that fails (for want of gas) reverts, so that no stale word is ever taken for a hash.
library Trees {
    uint256 internal constant CHUNK_BYTES = 1024;
    /// @dev Leaf of 1,024 zero bytes.
    bytes32 internal constant ZERO_LEAF = 0xc55b90509b8cb9bac53fbdddfc93d4e572685c509f1218423c43a5d6013bbd48;
    /// @dev Tensor root of no bytes.
    bytes32 internal constant EMPTY_ROOT = 0xc6d7df6da8c78b7b0a295bf73bae5ac7eee8a53da50a3f2135e4ff6a36cb3aa6;
    /// @dev Tensor root of the single byte 1: what a right claim's `ok` is.
    bytes32 internal constant ONE_ROOT = 0xfe0cb9d23b0eda13504b735c6864343b240224cddfcf7fe311683970add8b809;

    error ChunkTooLong(uint256 bytesGiven);
    error WrongPathLength(uint256 given, uint256 required);
    error PositionOutOfRange(uint256 position, uint256 treeDepth);

    /// @notice Levels above the leaves of a tree: `ceil(log2(max(count, 1)))`.
    function depth(uint256 count) internal pure returns (uint256 levels) {
        if (count < 2) return 0;
        assembly ("memory-safe") {
            // The position of the highest bit of count − 1, and one more. Counts here are far below 2^64.
            let rest := sub(count, 1)
            levels := shl(5, gt(rest, 0xffffffff))
            levels := or(levels, shl(4, gt(shr(levels, rest), 0xffff)))
            levels := or(levels, shl(3, gt(shr(levels, rest), 0xff)))
            levels := or(levels, shl(2, gt(shr(levels, rest), 0xf)))
            levels := or(levels, shl(1, gt(shr(levels, rest), 0x3)))
            levels := add(or(levels, gt(shr(levels, rest), 0x1)), 1)
        }
    }

    /// @notice Depth of the chunk tree of a tensor.
    function chunkDepth(uint256 byteLength) internal pure returns (uint256) {
        return depth((byteLength + CHUNK_BYTES - 1) / CHUNK_BYTES);
    }

    /// @notice `H(00 ‖ data)`: the leaf of an instruction.
    function leaf(bytes calldata data) internal view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore8(buffer, 0)
            calldatacopy(add(buffer, 1), data.offset, data.length)
            if iszero(staticcall(gas(), 2, buffer, add(data.length, 1), 0, 32)) { revert(0, 0) }
            hash := mload(0)
        }
    }

    /// @notice The leaf of a chunk, and the keccak256 it is recorded by; both over 1,024 bytes, padded with zeros.
    function chunkHashes(bytes calldata chunk) internal view returns (bytes32 leafHash, bytes32 recorded) {
        require(chunk.length <= CHUNK_BYTES, ChunkTooLong(chunk.length));
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore8(buffer, 0)
            calldatacopy(add(buffer, 1), calldatasize(), 1024)
            calldatacopy(add(buffer, 1), chunk.offset, chunk.length)
            if iszero(staticcall(gas(), 2, buffer, 1025, 0, 32)) { revert(0, 0) }
            leafHash := mload(0)
            recorded := keccak256(add(buffer, 1), 1024)
        }
    }

    /// @notice `H(02 ‖ byte length ‖ Merkle root)`.
    function bindLength(uint64 byteLength, bytes32 merkleRoot) internal view returns (bytes32 root) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, or(shl(248, 2), shl(184, byteLength)))
            mstore(add(buffer, 9), merkleRoot)
            if iszero(staticcall(gas(), 2, buffer, 41, 0, 32)) { revert(0, 0) }
            root := mload(0)
        }
    }

    /// @notice Root over a power of two of hashes.
    function fold(bytes32[] calldata hashes) internal view returns (bytes32 root) {
        assembly ("memory-safe") {
            let base := add(mload(0x40), 32)
            calldatacopy(base, hashes.offset, shl(5, hashes.length))
            // The parent of pair i lands on place i, which is behind the pair: the byte before a pair is free for the prefix.
            for { let width := hashes.length } gt(width, 1) { width := shr(1, width) } {
                for { let i := 0 } lt(i, shr(1, width)) { i := add(i, 1) } {
                    let pair := add(base, shl(6, i))
                    mstore8(sub(pair, 1), 1)
                    if iszero(staticcall(gas(), 2, sub(pair, 1), 65, add(base, shl(5, i)), 32)) {
                        revert(0, 0)
                    }
                }
            }
            root := mload(base)
        }
    }

    /// @notice Root that a path leads to from a leaf; the path must be as long as the tree is deep.
    function foldPath(bytes32 hash, uint256 position, bytes32[] calldata path, uint256 treeDepth)
        internal
        view
        returns (bytes32 root)
    {
        require(path.length == treeDepth, WrongPathLength(path.length, treeDepth));
        require(position >> treeDepth == 0, PositionOutOfRange(position, treeDepth));
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore8(buffer, 1)
            let left := add(buffer, 1)
            let right := add(buffer, 33)
            let sibling := path.offset
            root := hash
            for { let end := add(sibling, shl(5, path.length)) } lt(sibling, end) {
                sibling := add(sibling, 32)
            } {
                switch and(position, 1)
                case 0 {
                    mstore(left, root)
                    mstore(right, calldataload(sibling))
                }
                default {
                    mstore(left, calldataload(sibling))
                    mstore(right, root)
                }
                if iszero(staticcall(gas(), 2, buffer, 65, 0, 32)) { revert(0, 0) }
                root := mload(0)
                position := shr(1, position)
            }
        }
    }

    /// @notice Tensor root of bytes: what the chain computes for inputs, outputs and witnesses.
    function tensorRoot(bytes calldata data) internal view returns (bytes32) {
        bytes32 merkleRoot;
        assembly ("memory-safe") {
            let chunk := mload(0x40)
            mstore8(chunk, 0)
            let base := add(chunk, 1120)
            let width := 0
            for { let at := 0 } or(iszero(width), lt(at, data.length)) { at := add(at, 1024) } {
                let size := sub(data.length, at)
                if gt(size, 1024) { size := 1024 }
                if lt(size, 1024) { calldatacopy(add(chunk, 1), calldatasize(), 1024) }
                calldatacopy(add(chunk, 1), add(data.offset, at), size)
                if iszero(staticcall(gas(), 2, chunk, 1025, add(base, shl(5, width)), 32)) {
                    revert(0, 0)
                }
                width := add(width, 1)
            }
            let missing := ZERO_LEAF
            for {} gt(width, 1) { width := shr(1, width) } {
                if and(width, 1) {
                    mstore(add(base, shl(5, width)), missing)
                    width := add(width, 1)
                }
                for { let i := 0 } lt(i, shr(1, width)) { i := add(i, 1) } {
                    let pair := add(base, shl(6, i))
                    mstore8(sub(pair, 1), 1)
                    if iszero(staticcall(gas(), 2, sub(pair, 1), 65, add(base, shl(5, i)), 32)) {
                        revert(0, 0)
                    }
                }
                mstore8(chunk, 1)
                mstore(add(chunk, 1), missing)
                mstore(add(chunk, 33), missing)
                if iszero(staticcall(gas(), 2, chunk, 65, 0, 32)) { revert(0, 0) }
                missing := mload(0)
            }
            merkleRoot := mload(base)
        }
        return bindLength(uint64(data.length), merkleRoot);
    }

    /// @notice Room for the leaves of a multiproof; filled with `setLeaf`.
    function leavesOf(uint256 count) internal pure returns (uint256[2][] memory leaves) {
        // Flat (position, hash) pairs: no pointer for each pair, as Solidity's own arrays of arrays have.
        assembly ("memory-safe") {
            leaves := mload(0x40)
            mstore(leaves, count)
            mstore(0x40, add(leaves, add(32, shl(6, count))))
        }
    }

    /// @notice Puts leaf number `index` of a multiproof; positions must ascend strictly.
    function setLeaf(uint256[2][] memory leaves, uint256 index, uint256 position, bytes32 hash)
        internal
        pure
    {
        assembly ("memory-safe") {
            let at := add(leaves, add(32, shl(6, index)))
            mstore(at, position)
            mstore(add(at, 32), hash)
        }
    }

    function _position(uint256[2][] memory leaves, uint256 index) private pure returns (uint256 position) {
        assembly ("memory-safe") {
            position := mload(add(leaves, add(32, shl(6, index))))
        }
    }

    /// @notice Root that leaves and siblings lead to, level by level, left to right; every sibling is used. Spends `leaves`,
    /// at least one, and ascending strictly.
    function foldMultiproof(uint256[2][] memory leaves, uint256 treeDepth, bytes32[] calldata siblings)
        internal
        view
        returns (bytes32 root)
    {
        uint256 last = type(uint256).max;
        for (uint256 i = 0; i < leaves.length; ++i) {
            uint256 position = _position(leaves, i);
            require(position > last || last == type(uint256).max, PositionOutOfRange(position, treeDepth));
            last = position;
        }
        require(last >> treeDepth == 0, PositionOutOfRange(last, treeDepth));
        uint256 used;
        assembly ("memory-safe") {
            let base := add(leaves, 32)
            let end := add(base, shl(6, mload(leaves)))
            let buffer := mload(0x40)
            mstore8(buffer, 1)
            for { let level := 0 } lt(level, treeDepth) { level := add(level, 1) } {
                let to := base
                for { let from := base } lt(from, end) {} {
                    let position := mload(from)
                    let hash := mload(add(from, 32))
                    from := add(from, 64)
                    switch and(position, 1)
                    case 0 {
                        mstore(add(buffer, 1), hash)
                        // The right neighbour is known if it is the next node.
                        switch and(lt(from, end), eq(mload(from), add(position, 1)))
                        case 1 {
                            mstore(add(buffer, 33), mload(add(from, 32)))
                            from := add(from, 64)
                        }
                        default {
                            if iszero(lt(used, siblings.length)) { revert(0, 0) }
                            mstore(add(buffer, 33), calldataload(add(siblings.offset, shl(5, used))))
                            used := add(used, 1)
                        }
                    }
                    default {
                        if iszero(lt(used, siblings.length)) { revert(0, 0) }
                        mstore(add(buffer, 1), calldataload(add(siblings.offset, shl(5, used))))
                        mstore(add(buffer, 33), hash)
                        used := add(used, 1)
                    }
                    mstore(to, shr(1, position))
                    if iszero(staticcall(gas(), 2, buffer, 65, add(to, 32), 32)) { revert(0, 0) }
                    to := add(to, 64)
                }
                end := to
            }
            root := mload(add(base, 32))
        }
        require(used == siblings.length, WrongPathLength(siblings.length, used));
    }
}
