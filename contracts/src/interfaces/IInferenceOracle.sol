// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IAIOracle} from "./IAIOracle.sol";
import {IBalances} from "./IBalances.sol";
import {IClaims} from "./IClaims.sol";
import {IGame} from "./IGame.sol";
import {IModels} from "./IModels.sol";
import {IRequests} from "./IRequests.sol";

/// @title The optimistic inference oracle
/// @notice A request, a claim with a bond, a window in which anyone may challenge, and a game in which the chain
/// recomputes one element of one tensor. No owner, no upgrade, no committee.
interface IInferenceOracle is IBalances, IModels, IRequests, IClaims, IGame, IAIOracle {}
