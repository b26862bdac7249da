// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @notice What a delivery means: an early answer, the word that the early answer does not hold, or the answer.
enum DeliveryKind {
    PROVISIONAL,
    RETRACTED,
    FINAL
}

/// @notice Names one delivery.
/// @param requestId The request it belongs to.
/// @param claimId The claim it speaks of.
/// @param sequence 1 for the request's first delivery; a retraction repeats the number of what it retracts.
/// @param kind What it means.
struct Delivery {
    bytes32 requestId;
    bytes32 claimId;
    uint32 sequence;
    DeliveryKind kind;
}

/// @title Receives answers
interface IOracleConsumer {
    /// @notice Called by the oracle with the gas that the request set aside.
    /// @param output The answer; empty for a retraction.
    /// @param callbackData As given with the request.
    function onDelivery(Delivery calldata delivery, bytes calldata output, bytes calldata callbackData)
        external;
}
