// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {OracleConsumer} from "../OracleConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @title Reads handwritten digits
/// @notice The smallest consumer: an image in, the model's output kept per request.
contract DigitReader is OracleConsumer {
    uint32 private constant CALLBACK_GAS = 100_000;

    bytes32 public immutable listingId;
    mapping(bytes32 requestId => bytes) public outputs;

    event Read(bytes32 indexed requestId, bytes output);

    constructor(IInferenceOracle oracle_, bytes32 listingId_) OracleConsumer(oracle_) {
        listingId = listingId_;
    }

    /// @notice Asks about an image; the value must cover `oracle.quote(listingId, 100000)`.
    function read(bytes calldata image) external payable returns (bytes32 requestId) {
        return _ask(listingId, image, CALLBACK_GAS, "");
    }

    function _onAnswer(bytes32 requestId, bytes calldata output, bytes calldata) internal override {
        outputs[requestId] = output;
        emit Read(requestId, output);
    }
}
