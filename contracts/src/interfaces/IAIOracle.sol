// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title The entry points that consumers written for ORA's oracle use
/// @notice `modelId` is a listing id and `requestId` a request id, as numbers. Such consumers get exactly one successful
/// call of `aiOracleCallback`, after finality.
interface IAIOracle {
    /// @notice Asks a model, at the listing's least fee and the default lifetime.
    function requestCallback(
        uint256 modelId,
        bytes calldata input,
        address callbackContract,
        uint64 gasLimit,
        bytes calldata callbackData
    ) external payable returns (uint256 requestId);

    /// @notice What `requestCallback` costs, in wei.
    function estimateFee(uint256 modelId, uint256 gasLimit) external view returns (uint256);

    /// @notice Whether a request has its final answer.
    function isFinalized(uint256 requestId) external view returns (bool);
}

/// @title What such consumers implement
interface IAIOracleCallback {
    function aiOracleCallback(uint256 requestId, bytes calldata output, bytes calldata callbackData) external;
}
