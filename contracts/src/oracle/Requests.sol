// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IAIOracle} from "../interfaces/IAIOracle.sol";
import {IRequests} from "../interfaces/IRequests.sol";
import {RequestOptions, RequestStatus, RequestView} from "../interfaces/Types.sol";
import {Trees} from "../lib/Trees.sol";
import {Models} from "./Models.sol";

/// @notice Requests, from asking to expiry; answering them is for claims, delivering for `Delivery`.
abstract contract Requests is Models {
    /// @dev Nonces of `requestCallback`, kept apart from those that requesters choose.
    uint256 private constant AUTOMATIC_NONCE = 1 << 255;

    /// @dev Well under the 2^24 gas of one transaction (EIP-7825), so that every answer can be delivered.
    uint256 private constant MAX_CALLBACK_GAS = 10_000_000;

    struct Request {
        // Word 0
        address requester;
        RequestStatus status;
        uint24 listing;
        uint40 deadline;
        uint24 claims;
        // Word 1
        uint96 fee;
        uint32 inputElements;
        uint32 gasLimit;
        uint24 standing;
        uint24 bestOrder;
        bool provisional;
        bool oraStyle;
        bool delivered;
        bool callbackPaid;
        // Word 2
        bytes32 inputRoot;
        // Word 3
        address callback;
        uint32 sequence;
        // Words 4 to 7, written where they are needed
        bytes32 callbackHash;
        bytes32 answer;
        bytes32 bestClaim;
        bytes32 outstanding;
    }

    mapping(bytes32 requestId => Request) internal _requests;
    mapping(address requester => uint256) private _automaticNonces;

    /// @inheritdoc IRequests
    function request(bytes32 listingId, bytes calldata input, RequestOptions calldata options)
        external
        payable
        returns (bytes32)
    {
        return _request(listingId, input, options, false);
    }

    /// @inheritdoc IAIOracle
    function requestCallback(
        uint256 modelId,
        bytes calldata input,
        address callbackContract,
        uint64 gasLimit,
        bytes calldata callbackData
    ) external payable returns (uint256) {
        RequestOptions memory options;
        options.callback = callbackContract;
        options.gasLimit = gasLimit > type(uint32).max ? type(uint32).max : uint32(gasLimit);
        options.nonce = AUTOMATIC_NONCE | _automaticNonces[msg.sender]++;
        options.callbackData = callbackData;
        return uint256(_request(bytes32(modelId), input, options, true));
    }

    /// @inheritdoc IRequests
    function quote(bytes32 listingId, uint256 gasLimit) public view returns (uint256) {
        return _listings[_numberOf(listingId)].minFee + gasLimit * CALLBACK_GAS_PRICE;
    }

    /// @inheritdoc IAIOracle
    function estimateFee(uint256 modelId, uint256 gasLimit) external view returns (uint256) {
        return quote(bytes32(modelId), gasLimit);
    }

    /// @inheritdoc IAIOracle
    function isFinalized(uint256 requestId) external view returns (bool) {
        return _requests[bytes32(requestId)].status == RequestStatus.ANSWERED;
    }

    /// @inheritdoc IRequests
    function expire(bytes32 requestId) external {
        Request storage r = _requests[requestId];
        _requireRequestIn(requestId, r.status, RequestStatus.OPEN);
        require(block.timestamp > r.deadline, DeadlineAhead(block.timestamp, r.deadline));
        // INVARIANT: no request expires while a claim stands.
        require(r.standing == 0, ClaimsStanding(r.standing));
        r.status = RequestStatus.EXPIRED;
        uint256 refund = r.fee + r.gasLimit * CALLBACK_GAS_PRICE;
        r.fee = 0;
        _credit(r.requester, refund);
        emit RequestExpired(requestId, refund);
    }

    /// @inheritdoc IRequests
    function getRequest(bytes32 requestId) external view returns (RequestView memory) {
        Request storage r = _requests[requestId];
        return RequestView({
            listingId: _listings[r.listing].listingId,
            requester: r.requester,
            status: r.status,
            provisional: r.provisional,
            delivered: r.delivered,
            feePaid: r.status > RequestStatus.OPEN && r.fee == 0,
            deadline: r.deadline,
            claims: r.claims,
            standing: r.standing,
            fee: r.fee,
            inputElements: r.inputElements,
            gasLimit: r.gasLimit,
            callback: r.callback,
            inputRoot: r.inputRoot,
            callbackHash: r.callbackHash,
            answer: r.answer
        });
    }

    function _request(bytes32 listingId, bytes calldata input, RequestOptions memory options, bool oraStyle)
        private
        returns (bytes32 requestId)
    {
        uint24 listing = _numberOf(listingId);
        bytes32 inputRoot = Trees.tensorRoot(input);
        // INVARIANT: an id binds chain, contract, listing, requester and input, so that a reorg cannot redirect a bond.
        requestId = keccak256(
            abi.encode(block.chainid, address(this), listingId, msg.sender, options.nonce, inputRoot)
        );
        Request storage r = _requests[requestId];
        require(r.status == RequestStatus.NONE, RequestExists(requestId));
        _fillOptions(options, listing);
        _creditAndLock(options.fee + options.gasLimit * CALLBACK_GAS_PRICE);

        r.requester = msg.sender;
        r.status = RequestStatus.OPEN;
        r.listing = listing;
        r.deadline = options.deadline;
        r.fee = options.fee;
        r.inputElements = _elements(listing, 0, input.length);
        r.gasLimit = options.gasLimit;
        r.provisional = options.provisional;
        r.oraStyle = oraStyle;
        r.inputRoot = inputRoot;
        if (options.callback != address(0)) {
            r.callback = options.callback;
            r.callbackHash = keccak256(options.callbackData);
        }
        emit Requested(requestId, listingId, msg.sender, inputRoot, options, input);
    }

    /// @dev Puts the defaults in, and checks fee and deadline.
    function _fillOptions(RequestOptions memory options, uint24 listing) private view {
        uint96 minFee = _listings[listing].minFee;
        if (options.fee == 0) options.fee = minFee;
        require(options.fee >= minFee, FeeTooLow(options.fee, minFee));
        if (options.deadline == 0) options.deadline = uint40(block.timestamp + REQUEST_LIFETIME);
        require(options.deadline >= block.timestamp, DeadlinePassed(block.timestamp, options.deadline));
        if (options.callback == address(0)) options.gasLimit = 0;
        require(options.gasLimit <= MAX_CALLBACK_GAS, CallbackGasTooHigh(options.gasLimit, MAX_CALLBACK_GAS));
    }

    function _requireRequestIn(bytes32 requestId, RequestStatus status, RequestStatus required)
        internal
        pure
    {
        require(status == required, RequestNotIn(requestId, status, required));
    }
}
