// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {DeliveryKind} from "./IOracleConsumer.sol";
import {RequestOptions, RequestStatus, RequestView} from "./Types.sol";

/// @title Asking, and being answered
interface IRequests {
    /// @param requestId `keccak256(abi.encode(chain id, oracle, listingId, requester, nonce, inputRoot))`.
    /// @param options As given; `deadline` and `fee` with their defaults filled in.
    event Requested(
        bytes32 indexed requestId,
        bytes32 indexed listingId,
        address indexed requester,
        bytes32 inputRoot,
        RequestOptions options,
        bytes input
    );
    event RequestExpired(bytes32 indexed requestId, uint256 refund);
    /// @notice A claim fell after the deadline: claims are accepted again until the new one.
    event RequestReopened(bytes32 indexed requestId, uint256 deadline);
    event FeePaid(
        bytes32 indexed requestId, bytes32 indexed claimId, address indexed claimant, uint256 amount
    );
    /// @notice A callback was called.
    /// @param success False where it reverted; a final delivery can then be repeated.
    event Delivered(
        bytes32 indexed requestId, bytes32 indexed claimId, DeliveryKind kind, uint256 sequence, bool success
    );

    error RequestExists(bytes32 requestId);
    error RequestNotIn(bytes32 requestId, RequestStatus status, RequestStatus required);
    /// @notice A length is outside the model's limits, or not a whole number of elements.
    error BadLength(uint256 source, uint256 bytesGiven);
    /// @notice The lengths together break the model's inequality of that number.
    error BadLengths(uint256 inequality);
    error FeeTooLow(uint256 fee, uint256 minFee);
    error DeadlinePassed(uint256 time, uint256 deadline);
    /// @notice The request may still be claimed.
    error DeadlineAhead(uint256 time, uint256 deadline);
    /// @notice Claims are still standing.
    error ClaimsStanding(uint256 standing);
    error NoCallback(bytes32 requestId);
    error AlreadyDelivered(bytes32 requestId);
    /// @notice The bytes do not hash to what is committed.
    error WrongBytes(bytes32 given, bytes32 required);
    /// @notice The transaction carries too little gas for the callback's limit.
    error GasTooLow(uint256 gasLeft, uint256 required);
    /// @notice No transaction could ever carry the gas that the callback asks for.
    error CallbackGasTooHigh(uint256 gasLimit, uint256 cap);
    /// @notice No provisional answer may be delivered, or none is there to retract.
    error NotProvisional(bytes32 requestId);

    /// @notice Asks a model. The value is credited first; fee and callback gas are locked from the balance.
    function request(bytes32 listingId, bytes calldata input, RequestOptions calldata options)
        external
        payable
        returns (bytes32 requestId);

    /// @notice What a request with a callback of that gas limit costs at least, in wei.
    function quote(bytes32 listingId, uint256 gasLimit) external view returns (uint256);

    /// @notice Ends a request that nobody answered, and credits its fee to the requester.
    function expire(bytes32 requestId) external;

    /// @notice Calls the callback with the final answer. Anyone may; the first caller earns the callback's gas money.
    /// @param output The answering claim's output.
    /// @param callbackData As given with the request.
    function deliver(bytes32 requestId, bytes calldata output, bytes calldata callbackData) external;

    /// @notice Calls the callback with a claim's output before finality, where the request allows it.
    function deliverProvisional(bytes32 claimId, bytes calldata output, bytes calldata callbackData) external;

    /// @notice Tells the callback that the provisionally delivered claim fell, or is not the answer.
    function retract(bytes32 requestId, bytes calldata callbackData) external;

    function getRequest(bytes32 requestId) external view returns (RequestView memory);
}
