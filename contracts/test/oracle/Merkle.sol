// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @notice Whole trees in memory, for players of the game: an independent, plain statement of docs/protocol.md §2.
/// `levels[0]` holds the leaves, padded to a power of two, `levels[depth]` the root.
library Merkle {
    function leaf(bytes memory data) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(0), data));
    }

    function node(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(1), left, right));
    }

    function bindLength(uint64 byteLength, bytes32 merkleRoot) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(2), byteLength, merkleRoot));
    }

    function build(bytes32[] memory leaves) internal pure returns (bytes32[][] memory levels) {
        uint256 depth = 0;
        while (1 << depth < leaves.length) ++depth;
        levels = new bytes32[][](depth + 1);
        levels[0] = new bytes32[](1 << depth);
        bytes32 missing = leaf(new bytes(1024));
        for (uint256 i = 0; i < levels[0].length; ++i) {
            levels[0][i] = i < leaves.length ? leaves[i] : missing;
        }
        for (uint256 level = 1; level <= depth; ++level) {
            levels[level] = new bytes32[](1 << (depth - level));
            for (uint256 i = 0; i < levels[level].length; ++i) {
                levels[level][i] = node(levels[level - 1][2 * i], levels[level - 1][2 * i + 1]);
            }
        }
    }

    function root(bytes32[][] memory levels) internal pure returns (bytes32) {
        return levels[levels.length - 1][0];
    }

    function path(bytes32[][] memory levels, uint256 position)
        internal
        pure
        returns (bytes32[] memory siblings)
    {
        siblings = new bytes32[](levels.length - 1);
        for (uint256 level = 0; level < siblings.length; ++level) {
            siblings[level] = levels[level][(position >> level) ^ 1];
        }
    }

    /// @notice The nodes `down` levels under a node.
    function children(bytes32[][] memory levels, uint256 height, uint256 position, uint256 down)
        internal
        pure
        returns (bytes32[] memory nodes)
    {
        nodes = new bytes32[](1 << down);
        for (uint256 i = 0; i < nodes.length; ++i) {
            nodes[i] = levels[height - down][(position << down) + i];
        }
    }

    function multiproof(bytes32[][] memory levels, uint32[] memory positions)
        internal
        pure
        returns (bytes32[] memory siblings)
    {
        bytes32[] memory found = new bytes32[](positions.length * levels.length);
        uint256 count;
        bool[] memory known = new bool[](levels[0].length);
        for (uint256 i = 0; i < positions.length; ++i) {
            known[positions[i]] = true;
        }
        for (uint256 level = 0; level + 1 < levels.length; ++level) {
            bool[] memory above = new bool[](known.length / 2);
            for (uint256 i = 0; i < known.length; ++i) {
                if (!known[i]) continue;
                if (!known[i ^ 1]) found[count++] = levels[level][i ^ 1];
                above[i / 2] = true;
            }
            known = above;
        }
        siblings = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            siblings[i] = found[i];
        }
    }
}
