// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Limits, Model, Policy} from "./Types.sol";

/// @title Checks listings against the contract's floors, and packs them
/// @notice Stateless; split from the oracle for the sake of the contract size limit. Reverts with the errors of `IModels`.
interface ITerms {
    /// @notice Checks a model and the terms for it.
    /// @return listingId `keccak256(abi.encode(modelId, policy))`.
    /// @return modelId `sha256(abi.encode(model))`.
    /// @return words The storage of the oracle's `Listing`, word by word.
    function check(Model memory model, Policy memory policy)
        external
        view
        returns (bytes32 listingId, bytes32 modelId, bytes32[13] memory words);

    /// @notice The floors and caps.
    function limits() external view returns (Limits memory);
}
