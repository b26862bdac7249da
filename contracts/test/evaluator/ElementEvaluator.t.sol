// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {ElementEvaluator} from "../../src/evaluator/ElementEvaluator.sol";
import {IElementEvaluator} from "../../src/interfaces/IElementEvaluator.sol";
import {Test} from "../Test.sol";

/// @notice The evaluator on the elements that the reference executor computed (scripts/evaluator_vectors.py).
contract ElementEvaluatorTest is Test {
    string private constant FILE = "test/vectors/evaluator.json";

    struct Vector {
        string name;
        bytes instruction;
        uint64[8] symbols;
        uint64[] elements;
        IElementEvaluator.Opening[] openings;
        uint64[] bits;
    }

    ElementEvaluator private evaluator = new ElementEvaluator();
    Vector[] private vectors;

    function setUp() public {
        string memory json = vm.readFile(FILE);
        uint256 count = vm.parseJsonUint(json, ".count");
        for (uint256 i; i < count; ++i) {
            string memory path = string.concat(".cases[", vm.toString(i), "]");
            bytes memory fields = vm.parseJsonBytes(json, string.concat(path, ".abi"));
            Vector memory v;
            v.name = vm.parseJsonString(json, string.concat(path, ".name"));
            (v.instruction, v.symbols, v.elements, v.openings, v.bits) =
                abi.decode(fields, (bytes, uint64[8], uint64[], IElementEvaluator.Opening[], uint64[]));
            vectors.push(v);
        }
    }

    function test_evaluate__every_vector__equals_the_reference() external view {
        for (uint256 i; i < vectors.length; ++i) {
            Vector memory v = vectors[i];
            for (uint256 j; j < v.elements.length; ++j) {
                (, uint64 bits) = evaluator.evaluate(v.instruction, v.symbols, v.elements[j], v.openings);
                assertEq(bits, v.bits[j], v.name);
            }
        }
    }

    function test_evaluateMany__every_vector__equals_the_reference() external view {
        for (uint256 i; i < vectors.length; ++i) {
            Vector memory v = vectors[i];
            uint64[] memory bits = evaluator.evaluateMany(v.instruction, v.symbols, v.elements, v.openings);
            assertEq(abi.encode(bits), abi.encode(v.bits), v.name);
        }
    }

    function test_evaluate__an_operand_not_opened__reverts_with_its_name() external {
        uint256 refused;
        for (uint256 i; i < vectors.length; ++i) {
            Vector memory v = vectors[i];
            uint64 element = v.elements[0];
            v.openings[0].positions = new uint32[](0);
            (bool success, bytes memory output) = address(evaluator)
                .call(abi.encodeCall(evaluator.evaluate, (v.instruction, v.symbols, element, v.openings)));
            if (success) continue; // an element of CONCAT reads only one of its operands
            assertEq(bytes32(bytes4(output)), bytes32(IElementEvaluator.ChunkNotOpened.selector), v.name);
            ++refused;
        }
        assertGe(refused, vectors.length - 1, "refused");
    }

    function test_evaluate__a_byte_cut_or_added__is_malformed() external {
        for (uint256 i; i < vectors.length; ++i) {
            Vector memory v = vectors[i];
            bytes memory shorter = v.instruction;
            bytes memory longer = abi.encodePacked(v.instruction, uint8(0));
            uint256 length = shorter.length - 1;
            assembly ("memory-safe") {
                mstore(shorter, length)
            }
            requireMalformed(v, shorter);
            requireMalformed(v, longer);
        }
    }

    function testFuzz_evaluate__one_byte_changed__gives_a_value_or_a_named_error(
        uint256 vector,
        uint256 position,
        uint8 value
    ) external {
        Vector memory v = vectors[vector % vectors.length];
        v.instruction[position % v.instruction.length] = bytes1(value);
        (bool success, bytes memory output) = address(evaluator).call{gas: 1 << 24}(
            abi.encodeCall(evaluator.evaluate, (v.instruction, v.symbols, v.elements[0], v.openings))
        );
        if (success) return;
        bytes4 selector = bytes4(output);
        assertTrue(
            selector == IElementEvaluator.MalformedInstruction.selector
                || selector == IElementEvaluator.ChunkNotOpened.selector,
            v.name
        );
    }

    function requireMalformed(Vector memory v, bytes memory instruction) private {
        (bool success, bytes memory output) =
            address(evaluator).call(abi.encodeCall(evaluator.inspect, (instruction, v.symbols)));
        assertFalse(success, v.name);
        assertEq(bytes32(bytes4(output)), bytes32(IElementEvaluator.MalformedInstruction.selector), v.name);
    }
}
