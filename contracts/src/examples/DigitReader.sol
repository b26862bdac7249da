// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {OracleConsumer} from "../OracleConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @title Reads handwritten digits
/// @notice The smallest consumer: an image in, the likeliest digit out.
contract DigitReader is OracleConsumer {
    uint32 private constant CALLBACK_GAS = 100_000;

    bytes32 public immutable listingId;
    /// @notice The digit plus one; 0 while there is no answer.
    mapping(bytes32 requestId => uint256) public digitPlusOne;

    event Read(bytes32 indexed requestId, uint256 digit);

    constructor(IInferenceOracle oracle_, bytes32 listingId_) OracleConsumer(oracle_) {
        listingId = listingId_;
    }

    /// @notice Asks about an image; the value must cover `oracle.quote(listingId, 100000)`.
    function read(bytes calldata image) external payable returns (bytes32 requestId) {
        return _ask(listingId, image, CALLBACK_GAS, "");
    }

    /// @notice Place of the largest of little-endian float32 numbers, the first one on ties.
    function argmax(bytes calldata floats) public pure returns (uint256 place) {
        uint32 largest = 0;
        for (uint256 i = 0; i + 4 <= floats.length; i += 4) {
            uint32 bits = uint32(uint8(floats[i])) | uint32(uint8(floats[i + 1])) << 8
                | uint32(uint8(floats[i + 2])) << 16 | uint32(uint8(floats[i + 3])) << 24;
            // Floats order as unsigned integers once positive ones have the sign bit set, and negative ones are inverted.
            uint32 key = bits >> 31 == 0 ? bits | 1 << 31 : ~bits;
            if (key > largest) (largest, place) = (key, i / 4);
        }
    }

    function _onAnswer(bytes32 requestId, bytes calldata output, bytes calldata) internal override {
        uint256 digit = argmax(output);
        digitPlusOne[requestId] = digit + 1;
        emit Read(requestId, digit);
    }
}
