// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IClaims} from "../../src/interfaces/IClaims.sol";
import {IGame} from "../../src/interfaces/IGame.sol";
import {ChallengeKey, ChallengeStatus, ClaimStatus} from "../../src/interfaces/Types.sol";
import {OracleTest} from "./OracleTest.sol";
import {ToyModel, Trace} from "./ToyModel.sol";

/// @notice Disputes from end to end: who tells the truth wins.
contract GameTest is OracleTest {
    /// @dev Every tensor that a liar can begin to lie in, first and last chunk.
    function test_dispute__lie_in_any_tensor__convicted() external {
        Trace memory mine = truth();
        uint256[2][8] memory lies = [
            [uint256(0), 3],
            [uint256(0), 599],
            [uint256(1), 0],
            [uint256(1), 2396],
            [uint256(2), 0],
            [uint256(3), 0],
            [uint256(5), 1],
            [uint256(1), 1024]
        ];
        for (uint256 i = 0; i < lies.length; ++i) {
            Trace memory theirs = lie(lies[i][0], lies[i][1]);
            bytes32 claimId = claim(ask(direct, 100 + i), liar, theirs);
            ChallengeKey memory key = challenge(claimId, watcher, 0);
            refute(key, theirs, mine);
            assertStatus(claimId, ClaimStatus.REFUTED);
            assertStatus(key, ChallengeStatus.WON);
        }
    }
}
