// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IAIOracleCallback} from "../interfaces/IAIOracle.sol";
import {Delivery as DeliveryId, DeliveryKind, IOracleConsumer} from "../interfaces/IOracleConsumer.sol";
import {IRequests} from "../interfaces/IRequests.sol";
import {ClaimStatus, RequestStatus} from "../interfaces/Types.sol";
import {Trees} from "../lib/Trees.sol";
import {Claims} from "./Claims.sol";

/// @notice Callbacks: apart from finality, capped, isolated and repeatable. The bytes are supplied again by the caller and
/// checked against what is committed.
abstract contract Delivery is Claims {
    /// @dev Kept back for what follows a callback.
    uint256 private constant GAS_RESERVE = 40_000;

    /// @inheritdoc IRequests
    function deliver(bytes32 requestId, bytes calldata output, bytes calldata callbackData) external {
        Request storage r = _requests[requestId];
        _requireRequestIn(requestId, r.status, RequestStatus.ANSWERED);
        _requireCallback(requestId, r, callbackData);
        require(!r.delivered, AlreadyDelivered(requestId));
        bytes32 claimId = r.answer;
        bytes32 outputRoot = _requireOutput(claimId, output);

        // Set before the call, so that the callback cannot deliver again.
        r.delivered = true;
        if (!r.callbackPaid) {
            r.callbackPaid = true;
            _credit(msg.sender, r.gasLimit * CALLBACK_GAS_PRICE);
        }
        bytes32 outstanding = r.outstanding;
        // INVARIANT: a final answer that differs from the early one is preceded by its retraction.
        if (outstanding != 0 && _claims[outstanding].outputRoot != outputRoot) {
            _retract(requestId, r, outstanding, callbackData);
        }
        bool success;
        uint32 sequence;
        if (r.oraStyle) {
            success = _call(
                r,
                abi.encodeCall(IAIOracleCallback.aiOracleCallback, (uint256(requestId), output, callbackData))
            );
        } else {
            sequence = ++r.sequence;
            success = _notify(
                r, DeliveryId(requestId, claimId, sequence, DeliveryKind.FINAL), output, callbackData
            );
        }
        if (!success) r.delivered = false;
        emit Delivered(requestId, claimId, DeliveryKind.FINAL, sequence, success);
    }

    /// @inheritdoc IRequests
    function deliverProvisional(bytes32 claimId, bytes calldata output, bytes calldata callbackData)
        external
    {
        Claim storage c = _claims[claimId];
        _requireClaimIn(claimId, c.status, ClaimStatus.PROPOSED);
        bytes32 requestId = c.requestId;
        Request storage r = _requests[requestId];
        _requireRequestIn(requestId, r.status, RequestStatus.OPEN);
        _requireCallback(requestId, r, callbackData);
        // INVARIANT: at most one provisional answer is outstanding.
        require(r.provisional && r.outstanding == 0, NotProvisional(requestId));
        _requireOutput(claimId, output);
        r.outstanding = claimId;
        uint32 sequence = ++r.sequence;
        bool success = _notify(
            r, DeliveryId(requestId, claimId, sequence, DeliveryKind.PROVISIONAL), output, callbackData
        );
        emit Delivered(requestId, claimId, DeliveryKind.PROVISIONAL, sequence, success);
    }

    /// @inheritdoc IRequests
    function retract(bytes32 requestId, bytes calldata callbackData) external {
        Request storage r = _requests[requestId];
        _requireCallback(requestId, r, callbackData);
        bytes32 claimId = r.outstanding;
        Claim storage c = _claims[claimId];
        bool fell = c.status == ClaimStatus.REFUTED || c.status == ClaimStatus.VOID
            || (r.status == RequestStatus.ANSWERED && c.outputRoot != _claims[r.answer].outputRoot);
        require(claimId != 0 && fell, NotProvisional(requestId));
        _retract(requestId, r, claimId, callbackData);
    }

    function _retract(bytes32 requestId, Request storage r, bytes32 claimId, bytes calldata callbackData)
        private
    {
        r.outstanding = 0;
        uint32 sequence = r.sequence;
        DeliveryId memory id = DeliveryId(requestId, claimId, sequence, DeliveryKind.RETRACTED);
        bool success = _notify(r, id, callbackData[:0], callbackData);
        emit Delivered(requestId, claimId, DeliveryKind.RETRACTED, sequence, success);
    }

    function _notify(
        Request storage r,
        DeliveryId memory id,
        bytes calldata output,
        bytes calldata callbackData
    ) private returns (bool) {
        return _call(r, abi.encodeCall(IOracleConsumer.onDelivery, (id, output, callbackData)));
    }

    /// @dev Calls the callback with exactly its gas limit, and copies nothing of what it returns.
    function _call(Request storage r, bytes memory data) private returns (bool success) {
        (address target, uint256 gasLimit) = (r.callback, r.gasLimit);
        // INVARIANT: the callback gets its whole limit, or the delivery reverts: a call passes on at most 63/64.
        uint256 required = gasLimit + gasLimit / 63 + GAS_RESERVE;
        require(gasleft() >= required, GasTooLow(gasleft(), required));
        assembly ("memory-safe") {
            success := call(gasLimit, target, 0, add(data, 32), mload(data), 0, 0)
        }
    }

    function _requireCallback(bytes32 requestId, Request storage r, bytes calldata callbackData)
        private
        view
    {
        require(r.callback != address(0), NoCallback(requestId));
        bytes32 given = keccak256(callbackData);
        require(given == r.callbackHash, WrongBytes(given, r.callbackHash));
    }

    function _requireOutput(bytes32 claimId, bytes calldata output) private view returns (bytes32 given) {
        given = Trees.tensorRoot(output);
        require(given == _claims[claimId].outputRoot, WrongBytes(given, _claims[claimId].outputRoot));
    }
}
