// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {OracleConsumer} from "../OracleConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {Delivery} from "../interfaces/IOracleConsumer.sol";
import {RequestOptions} from "../interfaces/Types.sol";

/// @title Shows answers before they are final, and takes them back where they fall
contract EarlyBird is OracleConsumer {
    uint32 private constant CALLBACK_GAS = 150_000;

    enum State {
        NONE,
        EARLY,
        RETRACTED,
        FINAL
    }

    struct Answer {
        State state;
        bytes output;
    }

    mapping(bytes32 requestId => Answer) private _answers;

    constructor(IInferenceOracle oracle_) OracleConsumer(oracle_) {}

    function ask(bytes32 listingId, bytes calldata input, uint256 nonce) external payable returns (bytes32) {
        RequestOptions memory options;
        options.callback = address(this);
        options.gasLimit = CALLBACK_GAS;
        options.provisional = true;
        options.nonce = nonce;
        return oracle.request{value: msg.value}(listingId, input, options);
    }

    function answerOf(bytes32 requestId) external view returns (State, bytes memory) {
        Answer storage a = _answers[requestId];
        return (a.state, a.output);
    }

    function _onAnswer(bytes32 requestId, bytes calldata output, bytes calldata) internal override {
        _answers[requestId] = Answer(State.FINAL, output);
    }

    function _onProvisional(Delivery calldata delivery, bytes calldata output, bytes calldata)
        internal
        override
    {
        _answers[delivery.requestId] = Answer(State.EARLY, output);
    }

    function _onRetracted(Delivery calldata delivery, bytes calldata) internal override {
        _answers[delivery.requestId] = Answer(State.RETRACTED, "");
    }
}
