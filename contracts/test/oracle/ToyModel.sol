// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Model, NO_INDEX} from "../../src/interfaces/Types.sol";
import {Merkle} from "./Merkle.sol";

/// @notice A tensor with its tree. `raw` may hold more than `byteLength` bytes: dirt in the padding, for liars.
struct Tensor {
    bytes raw;
    uint64 byteLength;
    bytes32[][] levels;
    bytes32 root;
}

struct Trace {
    Tensor[] tensors;
    bytes32[][] levels;
    bytes32 root;
}

/// @notice A model of seven instructions (and fillers, for the size of its trace), and its executor.
///
/// | | | result |
/// |---|---|---|
/// | 0 | INPUT source 0 | u8 [n0] |
/// | 1 | MAP 3·t0 + 1 | i32 [n0] |
/// | 2 | CONST 0 | i32 [4] = 100 … 103 |
/// | 3 | REDUCE sum t1 | i32 [1] |
/// | 4 | MAP 1 | u8 [1] = ok |
/// | 5 | MAP t3 + t2[0] | i32 [1] = output |
/// | 6 | INPUT source 1 | i32 [1] |
/// | 7… | MAP 1 | u8 [1] |
library ToyModel {
    uint256 internal constant SUM = 3;
    uint256 internal constant OUTPUT = 5;
    uint256 internal constant MAX_INPUT = 16_384;

    function instruction(uint256 index) internal pure returns (bytes memory) {
        bytes memory n0 = hex"10000101";
        bytes memory pairOfBounds = abi.encodePacked(type(int64).min, type(int64).max);
        if (index == 0) {
            // opcode, dtype, ranks, n0 | one operand: source, dtype, one factor n0, offset 0, stride 1 | lo, hi
            return
                abi.encodePacked(hex"010110", n0, hex"01000000000101", n0, hex"000101", int64(0), int64(255));
        }
        if (index == 1) {
            // … | four operations: iconst 3, imul, iconst 1, iadd
            return abi.encodePacked(
                hex"030410",
                n0,
                hex"01000000000101",
                n0,
                hex"00010104",
                hex"010000000000000003120001",
                hex"010000000000000001100203"
            );
        }
        if (index == 2) return hex"0204100104010000000004010104000101";
        if (index == SUM) {
            return abi.encodePacked(hex"0504110101", n0, hex"01000000010401", n0, hex"00000101", hex"0000");
        }
        if (index == OUTPUT) {
            return hex"03041001010200000003040101010001010000000204010104000001100001";
        }
        if (index == 6) {
            return abi.encodePacked(hex"0104100101010000000104010101000101", pairOfBounds);
        }
        return hex"03011001010001010000000000000001";
    }

    function weight() internal pure returns (Tensor memory) {
        return tensor(abi.encodePacked(i32(100), i32(101), i32(102), i32(103)), 16);
    }

    /// @notice The program tree of the first `count` instructions, at least 7.
    function program(uint256 count) internal pure returns (bytes32[][] memory) {
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = Merkle.leaf(instruction(i));
        }
        return Merkle.build(leaves);
    }

    function model(uint256 count) internal pure returns (Model memory m) {
        m.version = 1;
        m.instructionCount = uint32(count);
        m.programRoot = Merkle.root(program(count));
        m.weightCount = 1;
        m.weightsRoot = weight().root;
        m.output = uint32(OUTPUT);
        m.witness = NO_INDEX;
        m.ok = 4;
        (m.sources[0].dtype, m.sources[0].minElements, m.sources[0].maxElements) = (1, 1, uint64(MAX_INPUT));
        (m.sources[1].dtype, m.sources[1].minElements, m.sources[1].maxElements) = (4, 1, 1);
        m.sources[2].dtype = 1;
        m.stepBound = 12_288;
        m.traceWork = 40_000_000;
    }

    /// @notice The honest tensors.
    function run(bytes memory input, uint256 count) internal pure returns (bytes[] memory t) {
        t = new bytes[](count);
        t[0] = input;
        t[1] = new bytes(input.length * 4);
        for (uint256 i = 0; i < input.length; ++i) {
            putI32(t[1], i, 3 * int256(uint256(uint8(input[i]))) + 1);
        }
        t[2] = weight().raw;
        for (uint256 i = 3; i < count; ++i) {
            t[i] = hex"01";
        }
        finish(t);
    }

    /// @notice The tensors after 1, from what is there.
    function finish(bytes[] memory t) internal pure {
        int256 sum;
        for (uint256 i = 0; i < t[1].length / 4; ++i) {
            sum += getI32(t[1], i);
        }
        t[SUM] = abi.encodePacked(i32(sum));
        answer(t);
    }

    /// @notice Tensors 5 and 6, from tensors 2 and 3.
    function answer(bytes[] memory t) internal pure {
        t[OUTPUT] = abi.encodePacked(i32(getI32(t[SUM], 0) + getI32(t[2], 0)));
        t[6] = t[OUTPUT];
    }

    function trace(bytes[] memory t) internal pure returns (Trace memory built) {
        built.tensors = new Tensor[](t.length);
        for (uint256 i = 0; i < t.length; ++i) {
            built.tensors[i] = tensor(t[i], uint64(t[i].length));
        }
        seal(built);
    }

    /// @notice The trace tree over the tensors.
    function seal(Trace memory built) internal pure {
        bytes32[] memory roots = new bytes32[](built.tensors.length);
        for (uint256 i = 0; i < roots.length; ++i) {
            roots[i] = built.tensors[i].root;
        }
        built.levels = Merkle.build(roots);
        built.root = Merkle.root(built.levels);
    }

    /// @notice A tensor's tree; chunks past `raw` are zero.
    function tensor(bytes memory raw, uint64 byteLength) internal pure returns (Tensor memory t) {
        (t.raw, t.byteLength) = (raw, byteLength);
        uint256 chunks = byteLength == 0 ? 1 : (byteLength + 1023) / 1024;
        uint256 places = 1;
        while (places < chunks) places *= 2;
        bytes32[] memory leaves = new bytes32[](places);
        for (uint256 i = 0; i < places; ++i) {
            leaves[i] = Merkle.leaf(chunk(raw, i));
        }
        t.levels = Merkle.build(leaves);
        t.root = Merkle.bindLength(byteLength, Merkle.root(t.levels));
    }

    function chunk(bytes memory raw, uint256 position) internal pure returns (bytes memory data) {
        data = new bytes(1024);
        uint256 start = position * 1024;
        for (uint256 i = 0; i < 1024 && start + i < raw.length; ++i) {
            data[i] = raw[start + i];
        }
    }

    /// @notice Little-endian bytes.
    function i32(int256 value) internal pure returns (bytes4) {
        uint32 v = uint32(int32(value));
        return bytes4((v & 0xff) << 24 | (v & 0xff00) << 8 | (v >> 8) & 0xff00 | v >> 24);
    }

    function getI32(bytes memory data, uint256 index) internal pure returns (int256) {
        uint256 at_ = index * 4;
        return int256(
            int32(
                uint32(uint8(data[at_])) | uint32(uint8(data[at_ + 1])) << 8 | uint32(uint8(data[at_ + 2]))
                    << 16 | uint32(uint8(data[at_ + 3])) << 24
            )
        );
    }

    function putI32(bytes memory data, uint256 index, int256 value) internal pure {
        bytes4 word = i32(value);
        for (uint256 i = 0; i < 4; ++i) {
            data[index * 4 + i] = word[i];
        }
    }
}
