// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Money inside the oracle
/// @notice Every wei that the contract holds is a balance, locked (fees, bonds, pots) or burned. Payable entry points
/// credit the value first and lock from the balance, so that excess value is never lost. Payouts are pulled.
interface IBalances {
    event Deposited(address indexed account, uint256 amount);
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    event Burned(uint256 amount);

    /// @notice The balance does not cover what has to be locked or withdrawn.
    error InsufficientBalance(uint256 balance, uint256 required);
    /// @notice The receiver of a withdrawal reverted.
    error TransferFailed(address to, uint256 amount);

    /// @notice Credits the value to an account.
    function deposit(address account) external payable;

    /// @notice Pays out from the caller's balance.
    function withdraw(address payable to, uint256 amount) external;

    /// @notice An account's free balance.
    function balanceOf(address account) external view returns (uint256);

    /// @notice Wei taken out of circulation; it stays in the contract for ever.
    function burned() external view returns (uint256);
}
