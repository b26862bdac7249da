// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {OracleConsumer} from "../OracleConsumer.sol";

/// @title Reads handwritten digits: asks a classifier of ten classes, and keeps the digit of the last answer
contract DigitReader is OracleConsumer {
    uint32 private constant CALLBACK_GAS = 200_000;

    bytes32 public immutable LISTING;

    /// @notice The digit that was read last.
    uint8 public digit;
    /// @notice Answers received.
    uint256 public answers;

    uint256 private _asked;

    event DigitRead(bytes32 indexed requestId, uint8 digit);

    constructor(address oracle_, bytes32 listing) OracleConsumer(oracle_) {
        LISTING = listing;
    }

    /// @notice Asks which digit an image shows, for `ORACLE.quote(LISTING, 200_000)` wei.
    /// @param image The model's input: little-endian float32 pixels.
    function read(bytes calldata image) external payable returns (bytes32 requestId) {
        return _ask(LISTING, image, _asked++, CALLBACK_GAS);
    }

    /// @dev The answer is one little-endian float32 a class; the digit is the first of the largest.
    function _onAnswer(bytes32 requestId, bytes calldata output, bytes calldata) internal override {
        uint256 best;
        for (uint256 i = 1; i < output.length / 4; ++i) {
            if (_order(output, i) > _order(output, best)) best = i;
        }
        digit = uint8(best);
        ++answers;
        emit DigitRead(requestId, digit);
    }

    /// @dev An integer that orders the i-th float32 as its value does: magnitudes, negated under a sign bit.
    function _order(bytes calldata output, uint256 i) private pure returns (int256 order) {
        uint256 bits;
        for (uint256 j; j < 4; ++j) {
            bits |= uint256(uint8(output[4 * i + j])) << (8 * j);
        }
        order = int256(bits & 0x7fffffff);
        if (bits >> 31 == 1) order = -order;
    }
}
