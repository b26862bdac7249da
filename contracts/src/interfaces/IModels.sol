// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Limits, Model, Policy} from "./Types.sol";

/// @title Models, and the terms they are asked under
/// @notice Anyone lists a model under any terms above the contract's floors. A listing is named by both together, so
/// nobody can put terms on a model before somebody else.
interface IModels {
    event Listed(bytes32 indexed listingId, bytes32 indexed modelId, Model model, Policy policy);

    /// @notice Listed before, with the same model and terms.
    error AlreadyListed(bytes32 listingId);
    error UnknownListing(bytes32 listingId);
    /// @notice A model's field is outside what the contract can judge.
    /// @param field Its name in `Model`.
    error BadModel(bytes32 field, uint256 value);
    /// @notice Terms under a floor, or above what the contract can store.
    /// @param field Its name in `Policy`.
    error BadPolicy(bytes32 field, uint256 value, uint256 floor);

    /// @notice Lists a model under terms.
    /// @return listingId `keccak256(abi.encode(modelId, policy))`.
    function list(Model calldata model, Policy calldata policy) external returns (bytes32 listingId);

    /// @notice The terms of a listing, its model, and the seconds one trace of it may take.
    function getListing(bytes32 listingId)
        external
        view
        returns (bytes32 modelId, Policy memory policy, uint256 traceSeconds);

    /// @notice The floors and caps of this contract.
    function limits() external view returns (Limits memory);

    /// @notice The contract that recomputes elements.
    function evaluator() external view returns (address);
}
