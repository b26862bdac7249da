// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IInferenceOracle} from "./interfaces/IInferenceOracle.sol";
import {Delivery, DeliveryKind, IOracleConsumer} from "./interfaces/IOracleConsumer.sol";
import {RequestOptions} from "./interfaces/Types.sol";

/// @title A contract that asks models: inherit it, call `_ask`, override `_onAnswer`
/// @notice Only the oracle can deliver. Answers arrive once, final; override `_onProvisional` and `_onRetracted` too
/// where requests ask for early answers.
abstract contract OracleConsumer is IOracleConsumer {
    IInferenceOracle public immutable ORACLE;

    /// @notice Somebody else than the oracle tried to deliver.
    error NotTheOracle(address sender, address oracle);

    constructor(address oracle_) {
        ORACLE = IInferenceOracle(oracle_);
    }

    /// @inheritdoc IOracleConsumer
    function onDelivery(Delivery calldata delivery, bytes calldata output, bytes calldata callbackData) external {
        // INVARIANT: an answer that did not come through the oracle's window and games is none.
        require(msg.sender == address(ORACLE), NotTheOracle(msg.sender, address(ORACLE)));
        if (delivery.kind == DeliveryKind.FINAL) _onAnswer(delivery.requestId, output, callbackData);
        else if (delivery.kind == DeliveryKind.PROVISIONAL) _onProvisional(delivery, output, callbackData);
        else _onRetracted(delivery, callbackData);
    }

    /// @dev Asks for a final answer, paid with the call's value; what is too much stays in this contract's balance
    /// in the oracle.
    /// @param nonce Tells apart requests for the same input.
    /// @param callbackGas Gas that `_onAnswer` gets.
    function _ask(bytes32 listingId, bytes calldata input, uint256 nonce, uint32 callbackGas)
        internal
        returns (bytes32 requestId)
    {
        RequestOptions memory options;
        options.callback = address(this);
        options.gasLimit = callbackGas;
        options.nonce = nonce;
        return ORACLE.request{value: msg.value}(listingId, input, options);
    }

    /// @dev The final answer to a request, delivered once.
    function _onAnswer(bytes32 requestId, bytes calldata output, bytes calldata callbackData) internal virtual;

    /// @dev An answer that may still fall.
    function _onProvisional(Delivery calldata delivery, bytes calldata output, bytes calldata callbackData)
        internal
        virtual
    {}

    /// @dev The provisional answer with this sequence number does not hold: undo what was done on it.
    function _onRetracted(Delivery calldata delivery, bytes calldata callbackData) internal virtual {}
}
