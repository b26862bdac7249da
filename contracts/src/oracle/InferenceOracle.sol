// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Limits} from "../interfaces/Types.sol";
import {Game} from "./Game.sol";
import {Models} from "./Models.sol";

/// @title The optimistic inference oracle: models, requests, claims, the dispute game and the money between them
contract InferenceOracle is Game {
    constructor(address evaluator_, Limits memory limits_) Models(evaluator_, limits_) Game(evaluator_) {}
}
