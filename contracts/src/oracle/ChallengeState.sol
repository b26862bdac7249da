// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {ChallengeStatus, NO_INDEX} from "../interfaces/Types.sol";

/// @notice A challenge in memory: see `ChallengeView` for the fields.
/// @param costGwei What the challenger's moves cost so far, metered.
/// @param node The current node; unset at the trace root, which the claim knows.
struct Challenge {
    ChallengeStatus status;
    uint256 since;
    uint256 challengerLeft;
    uint256 defenderLeft;
    uint256 instruction;
    uint256 position;
    uint256 height;
    uint256 byteLength;
    uint256 steps;
    uint256 costGwei;
    bytes32 node;
}

/// @notice A challenge in storage: two words, the second one written with the first step.
///
/// | bits | |
/// |---|---|
/// | 0 | status |
/// | 8 | since |
/// | 48 | challengerLeft |
/// | 72 | defenderLeft |
/// | 96 | instruction |
/// | 128 | position |
/// | 160 | height |
/// | 168 | byteLength |
/// | 208 | steps |
/// | 216 | costGwei |
struct StoredChallenge {
    uint256 word;
    bytes32 node;
}

/// @title Reads and writes challenges, a word at a time
library ChallengeState {
    function load(StoredChallenge storage stored) internal view returns (Challenge memory ch) {
        uint256 word = stored.word;
        ch.status = ChallengeStatus(uint8(word));
        ch.since = uint40(word >> 8);
        ch.challengerLeft = uint24(word >> 48);
        ch.defenderLeft = uint24(word >> 72);
        ch.instruction = uint32(word >> 96);
        ch.position = uint32(word >> 128);
        ch.height = uint8(word >> 160);
        ch.byteLength = uint40(word >> 168);
        ch.steps = uint8(word >> 208);
        ch.costGwei = word >> 216;
        if (!atTraceRoot(ch)) ch.node = stored.node;
    }

    /// @dev Fields must fit their bits: clocks, heights and steps do by construction, the rest is checked where it is made.
    function save(StoredChallenge storage stored, Challenge memory ch) internal {
        stored.word = uint256(ch.status) | ch.since << 8 | ch.challengerLeft << 48 | ch.defenderLeft << 72
            | ch.instruction << 96 | ch.position << 128 | ch.height << 160 | ch.byteLength << 168 | ch.steps
            << 208 | ch.costGwei << 216;
        if (!atTraceRoot(ch)) stored.node = ch.node;
    }

    /// @notice Changes the status alone.
    function setStatus(StoredChallenge storage stored, ChallengeStatus status) internal {
        stored.word = stored.word >> 8 << 8 | uint256(status);
    }

    /// @notice Whether no step has been made yet.
    function atTraceRoot(Challenge memory ch) internal pure returns (bool) {
        return ch.steps == 0 && ch.instruction == NO_INDEX;
    }
}
