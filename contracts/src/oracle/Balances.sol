// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IBalances} from "../interfaces/IBalances.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";

/// @notice Who owns which part of the contract's ether.
/// INVARIANT: address(this).balance = Σ balanceOf + fees and callback gas of unsettled requests + bonds of undecided
/// claims + bonds of active challenges + pots + burned.
abstract contract Balances is IInferenceOracle {
    /// @inheritdoc IBalances
    mapping(address account => uint256) public balanceOf;

    /// @dev Shares a word with the number of listings, so that burning never opens a new one.
    uint128 private _burned;

    /// @inheritdoc IBalances
    function burned() external view returns (uint256) {
        return _burned;
    }

    /// @inheritdoc IBalances
    function deposit(address account) external payable {
        _credit(account, msg.value);
        emit Deposited(account, msg.value);
    }

    /// @inheritdoc IBalances
    function withdraw(address payable to, uint256 amount) external {
        uint256 balance = balanceOf[msg.sender];
        require(balance >= amount, InsufficientBalance(balance, amount));
        unchecked {
            balanceOf[msg.sender] = balance - amount;
        }
        (bool success,) = to.call{value: amount}("");
        require(success, TransferFailed(to, amount));
        emit Withdrawn(msg.sender, to, amount);
    }

    /// @dev Credits the call's value to the caller, then locks an amount from the balance. Costs no storage access where
    /// the two are equal.
    function _creditAndLock(uint256 amount) internal {
        if (msg.value == amount) return;
        uint256 balance = balanceOf[msg.sender] + msg.value;
        require(balance >= amount, InsufficientBalance(balance, amount));
        unchecked {
            balanceOf[msg.sender] = balance - amount;
        }
    }

    function _credit(address account, uint256 amount) internal {
        if (amount != 0) balanceOf[account] += amount;
    }

    function _burn(uint256 amount) internal {
        if (amount == 0) return;
        _burned += uint128(amount);
        emit Burned(amount);
    }
}
