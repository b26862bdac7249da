// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {OracleConsumer} from "../OracleConsumer.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @title Has a language model write, and keeps the text
/// @notice The prompt comes as tokens, which are made off chain; the answer comes as text.
contract Storyteller is OracleConsumer {
    uint32 private constant BASE_GAS = 60_000;
    /// @dev Half a word of new storage: enough for tokens of 16 bytes on average.
    uint32 private constant TOKEN_GAS = 12_000;

    bytes32 public immutable listingId;
    /// @notice What the model wrote; UTF-8, but for a character that the end of the answer may have cut.
    mapping(bytes32 requestId => string) public story;

    event Told(bytes32 indexed requestId, string story);

    constructor(IInferenceOracle oracle_, bytes32 listingId_) OracleConsumer(oracle_) {
        listingId = listingId_;
    }

    /// @notice What a story of at most so many tokens costs, in wei.
    function price(uint32 maxTokens) external view returns (uint256) {
        return oracle.quote(listingId, callbackGas(maxTokens));
    }

    /// @notice Asks for a text that goes on after a prompt; the value must cover `price(maxTokens)`.
    /// @param maxTokens The most tokens that the model may write.
    /// @param prompt Token ids of the model's own vocabulary, four little-endian bytes each.
    function tell(uint32 maxTokens, bytes calldata prompt) external payable returns (bytes32 requestId) {
        return _ask(listingId, bytes.concat(littleEndian(maxTokens), prompt), callbackGas(maxTokens), "");
    }

    /// @notice What storing that many tokens' text may cost; the oracle takes up to 10,000,000.
    function callbackGas(uint32 maxTokens) public pure returns (uint32) {
        return BASE_GAS + maxTokens * TOKEN_GAS;
    }

    /// @notice A number as models read it.
    function littleEndian(uint32 value) public pure returns (bytes4) {
        uint32 pairs = (value & 0x00ff00ff) << 8 | (value >> 8) & 0x00ff00ff;
        return bytes4(pairs << 16 | pairs >> 16);
    }

    function _onAnswer(bytes32 requestId, bytes calldata output, bytes calldata) internal override {
        story[requestId] = string(output);
        emit Told(requestId, string(output));
    }
}
