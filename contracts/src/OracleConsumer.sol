// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {Delivery, DeliveryKind, IOracleConsumer} from "./interfaces/IOracleConsumer.sol";
import {RequestOptions} from "./interfaces/Types.sol";

/// @title Base of contracts that ask the oracle
/// @notice Override `_onAnswer`, and call `_ask`. Early answers are for those who also override `_onProvisional` and
/// `_onRetracted`, and set `provisional` in the options of their request.
abstract contract OracleConsumer is IOracleConsumer {
    IInferenceOracle public immutable oracle;
    uint256 private _nonce;

    error OnlyOracle(address sender);

    constructor(IInferenceOracle oracle_) {
        oracle = oracle_;
    }

    /// @inheritdoc IOracleConsumer
    function onDelivery(Delivery calldata delivery, bytes calldata output, bytes calldata callbackData)
        external
    {
        require(msg.sender == address(oracle), OnlyOracle(msg.sender));
        if (delivery.kind == DeliveryKind.FINAL) _onAnswer(delivery.requestId, output, callbackData);
        else if (delivery.kind == DeliveryKind.PROVISIONAL) _onProvisional(delivery, output, callbackData);
        else _onRetracted(delivery, callbackData);
    }

    /// @notice Asks at the least fee, paid from this contract's ether.
    /// @param gasLimit What `_onAnswer` may spend.
    /// @param callbackData Handed back to `_onAnswer`.
    function _ask(bytes32 listingId, bytes memory input, uint32 gasLimit, bytes memory callbackData)
        internal
        returns (bytes32 requestId)
    {
        RequestOptions memory options;
        options.callback = address(this);
        options.gasLimit = gasLimit;
        options.nonce = _nonce++;
        options.callbackData = callbackData;
        return oracle.request{value: oracle.quote(listingId, gasLimit)}(listingId, input, options);
    }

    /// @notice The final answer, once per request.
    function _onAnswer(bytes32 requestId, bytes calldata output, bytes calldata callbackData) internal virtual;

    /// @notice An answer that may still be refuted.
    function _onProvisional(Delivery calldata delivery, bytes calldata output, bytes calldata callbackData)
        internal
        virtual {}

    /// @notice The early answer with that sequence number does not hold; a final one follows.
    function _onRetracted(Delivery calldata delivery, bytes calldata callbackData) internal virtual {}
}
