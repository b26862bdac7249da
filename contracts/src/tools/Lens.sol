// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Many reads in one `eth_call`
/// @notice Never deployed: an `eth_call` without a receiver runs the constructor, and is answered with what that returns
/// in place of code. So no answer may have more bytes than code may (EIP-170), and all answers are of one block.
contract Lens {
    struct Answer {
        bool success;
        bytes data;
    }

    constructor(address target, bytes[] memory calls) {
        Answer[] memory answers = new Answer[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (answers[i].success, answers[i].data) = target.staticcall(calls[i]);
        }
        bytes memory encoded = abi.encode(answers);
        assembly ("memory-safe") {
            return(add(encoded, 32), mload(encoded))
        }
    }
}
