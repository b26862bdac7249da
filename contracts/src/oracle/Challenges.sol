// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IGame} from "../interfaces/IGame.sol";
import {
    ChallengeKey,
    ChallengeStatus,
    ChallengeView,
    ClaimStatus,
    NO_INDEX,
    NO_LENGTH,
    Turn
} from "../interfaces/Types.sol";
import {Trees} from "../lib/Trees.sol";
import {Challenge, ChallengeState, StoredChallenge} from "./ChallengeState.sol";
import {Delivery} from "./Delivery.sol";

/// @notice What a challenge is, whose turn it is, and how it is settled. Clocks are lazy: reveals are recorded per claim and
/// node, and each challenge works out from those records what its players have used.
abstract contract Challenges is Delivery {
    using ChallengeState for Challenge;
    using ChallengeState for StoredChallenge;

    /// @dev Gas that moves are paid for. INVARIANT: below what one more of them costs in a batch of many, so that nobody
    /// moves for the money: a caught liar could otherwise draw its own bond's burned half through challenges of its own.
    uint256 private constant OPEN_GAS = 25_000;
    uint256 internal constant PICK_GAS = 15_000;
    uint256 private constant TRACE_GAS = 75_000;
    uint256 private constant REVEAL_GAS = 65_000;
    uint256 private constant CHUNK_GAS = 70_000;

    /// @dev Gwei of one move, far beyond any; sums of them fit the 40 bits that a challenge has.
    uint256 private constant MAX_COST = type(uint32).max;

    /// @dev Levels that one reveal opens, but for the first one in a tree.
    uint256 internal constant ARITY_LOG2 = 4;

    mapping(bytes32 challengeId => StoredChallenge) internal _challenges;
    mapping(address challenger => mapping(address delegate => bool)) internal _delegates;

    /// @dev Time (40 bits) over the low 216 bits of the keccak256 of what was revealed, by claim, node, length tag, count.
    mapping(bytes32 key => uint256) internal _records;
    uint256 internal constant RECORD_HASH = type(uint216).max;

    /// @inheritdoc IGame
    function open(bytes32 claimId, uint256 nonce) external payable returns (bytes32 id) {
        Claim storage c = _claims[claimId];
        _requireClaimIn(claimId, c.status, ClaimStatus.PROPOSED);
        require(block.timestamp <= c.windowEnd, WindowClosed(block.timestamp, c.windowEnd));
        id = _challengeId(claimId, msg.sender, nonce);
        StoredChallenge storage stored = _challenges[id];
        require(stored.word == 0, ChallengeExists(id));
        Listing storage l = _listings[c.listing];
        _creditAndLock(l.challengeBond);
        c.openChallenges += 1;
        Challenge memory ch;
        ch.status = ChallengeStatus.ACTIVE;
        ch.since = block.timestamp;
        ch.challengerLeft = l.challengerClock;
        ch.defenderLeft = l.defenderClock;
        ch.instruction = NO_INDEX;
        ch.costGwei = _costGwei(OPEN_GAS);
        stored.save(ch);
        emit ChallengeOpened(id, claimId, msg.sender, nonce);
    }

    /// @inheritdoc IGame
    function setDelegate(address delegate, bool allowed) external {
        _delegates[msg.sender][delegate] = allowed;
        emit DelegateSet(msg.sender, delegate, allowed);
    }

    /// @inheritdoc IGame
    function timeout(ChallengeKey calldata key) external {
        (bytes32 id, Challenge memory ch) = _activeChallenge(key);
        Claim storage c = _claims[key.claimId];
        _requireClaimIn(key.claimId, c.status, ClaimStatus.PROPOSED);
        _locate(ch, c);
        (Turn turn, uint256 limit,,) = _turn(ch, c, key.claimId);
        require(block.timestamp > limit, ClockRunning(block.timestamp, limit));
        if (turn == Turn.DEFENDER) _convict(key, id, c);
        else _lose(key, id, ch, c);
    }

    /// @inheritdoc IGame
    function close(ChallengeKey calldata key) external {
        (bytes32 id, Challenge memory ch) = _activeChallenge(key);
        Claim storage c = _claims[key.claimId];
        ClaimStatus status = c.status;
        require(status != ClaimStatus.PROPOSED, ClaimUndecided(key.claimId));
        if (status == ClaimStatus.FINALIZED) {
            _locate(ch, c);
            (Turn turn, uint256 limit,,) = _turn(ch, c, key.claimId);
            if (turn == Turn.CHALLENGER && block.timestamp > limit) return _lose(key, id, ch, c);
        }
        uint256 drawn = status == ClaimStatus.REFUTED ? _drawPot(c, ch.costGwei * 1 gwei) : 0;
        _settle(key, id, c, ChallengeStatus.VOID, _listings[c.listing].challengeBond + drawn, 0);
        if (c.openChallenges == 0 && c.pot != 0) {
            _burn(c.pot);
            c.pot = 0;
        }
    }

    /// @inheritdoc IGame
    function getChallenge(ChallengeKey calldata key) external view returns (ChallengeView memory v) {
        Challenge memory ch = _challenges[_challengeId(key.claimId, key.challenger, key.nonce)].load();
        Claim storage c = _claims[key.claimId];
        v.status = ch.status;
        v.since = uint40(ch.since);
        v.challengerLeft = uint32(ch.challengerLeft);
        v.defenderLeft = uint32(ch.defenderLeft);
        v.instruction = uint32(ch.instruction);
        v.position = uint64(ch.position);
        v.byteLength = uint64(ch.byteLength);
        v.challengerCost = ch.costGwei * 1 gwei;
        v.steps = uint16(ch.steps);
        _locate(ch, c);
        (v.node, v.height) = (ch.node, uint8(ch.height));
        if (v.status == ChallengeStatus.ACTIVE && c.status == ClaimStatus.PROPOSED) {
            uint256 limit;
            (v.turn, limit,,) = _turn(ch, c, key.claimId);
            v.limit = uint40(limit);
        }
    }

    /// @inheritdoc IGame
    function challengeIdOf(ChallengeKey calldata key) external view returns (bytes32) {
        return _challengeId(key.claimId, key.challenger, key.nonce);
    }

    /// @inheritdoc IGame
    function revealedAt(bytes32 claimId, bytes32 node, uint64 lengthTag, uint256 childCount)
        external
        view
        returns (uint256)
    {
        return _records[_recordKey(claimId, node, lengthTag, childCount)] >> 216;
    }

    /// @dev INVARIANT: an id binds chain, contract, claim and challenger, so that a reorg cannot redirect a bond.
    function _challengeId(bytes32 claimId, address challenger, uint256 nonce)
        internal
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), claimId, challenger, nonce));
    }

    function _activeChallenge(ChallengeKey calldata key)
        internal
        view
        returns (bytes32 id, Challenge memory ch)
    {
        id = _challengeId(key.claimId, key.challenger, key.nonce);
        ch = _challenges[id].load();
        require(ch.status == ChallengeStatus.ACTIVE, ChallengeNotActive(id, ch.status));
    }

    function _recordKey(bytes32 claimId, bytes32 node, uint64 lengthTag, uint256 count)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(claimId, node, lengthTag, count));
    }

    /// @dev Fills in node and height of a challenge that stands at the trace root.
    function _locate(Challenge memory ch, Claim storage c) internal view {
        if (!ch.atTraceRoot()) return;
        ch.node = c.traceRoot;
        ch.height = Trees.depth(_listings[c.listing].instructionCount);
    }

    /// @dev Which record answers the current node: its length tag and number of children, 0 for a chunk.
    function _question(Challenge memory ch) internal pure returns (uint64 lengthTag, uint256 count) {
        bool tensorRoot = ch.instruction != NO_INDEX && ch.height == Trees.chunkDepth(ch.byteLength);
        lengthTag = tensorRoot ? uint64(ch.byteLength) : NO_LENGTH;
        if (ch.height == 0) return (lengthTag, 0);
        count = 1 << _levelsOpened(ch.height);
    }

    /// @dev Levels that a reveal at this height opens: what does not divide by 4 goes first, a single one with the next 4.
    function _levelsOpened(uint256 height) private pure returns (uint256) {
        if (height <= ARITY_LOG2 + 1) return height;
        uint256 odd = height % ARITY_LOG2;
        return odd > 1 ? odd : odd + ARITY_LOG2;
    }

    /// @dev Time at which the current node was answered, 0 if it was not, and the record's hash.
    function _answer(Challenge memory ch, Claim storage c, bytes32 claimId)
        internal
        view
        returns (uint256 time, uint256 recorded)
    {
        uint256 traceTime = 0;
        if (ch.atTraceRoot()) {
            traceTime = c.traceTime;
            // A trace of one tensor has no tree: the challenger names the instruction at once.
            if (traceTime == 0 || ch.height == 0) return (traceTime, 0);
        }
        (uint64 lengthTag, uint256 count) = _question(ch);
        uint256 record = _records[_recordKey(claimId, ch.node, lengthTag, count)];
        time = record >> 216;
        if (time != 0 && time < traceTime) time = traceTime;
        recorded = record & RECORD_HASH;
    }

    /// @dev Whose clock runs, until when, and since when. A defender who answered too late stays on turn, with its limit in
    /// the past: nothing that happens later can mend it.
    function _turn(Challenge memory ch, Claim storage c, bytes32 claimId)
        internal
        view
        returns (Turn turn, uint256 limit, uint256 answered, uint256 recorded)
    {
        (answered, recorded) = _answer(ch, c, claimId);
        uint256 since = ch.since;
        limit = since + ch.defenderLeft;
        if (answered == 0 || answered > limit) return (Turn.DEFENDER, limit, answered, recorded);
        if (answered < since) answered = since;
        return (Turn.CHALLENGER, answered + ch.challengerLeft, answered, recorded);
    }

    /// @dev The challenge wins: half of the bond is the challenger's; the rest pays the void challengers' gas, or burns.
    function _convict(ChallengeKey calldata key, bytes32 id, Claim storage c) internal {
        Listing storage l = _listings[c.listing];
        (uint256 bond, bytes32 requestId) = (l.claimBond, c.requestId);
        c.status = ClaimStatus.REFUTED;
        _settle(key, id, c, ChallengeStatus.WON, l.challengeBond + bond / 2, 0);
        // INVARIANT: challenging oneself never pays: the other half leaves only for metered gas of the past.
        if (c.openChallenges == 0) _burn(bond - bond / 2);
        else c.pot = uint128(bond - bond / 2);
        emit ClaimRefuted(key.claimId, requestId, id);
        _reopen(requestId, l.traceSeconds);
        _decided(requestId);
    }

    /// @dev The model's own program is malformed: nobody is at fault, all bonds go back.
    function _void(ChallengeKey calldata key, bytes32 id, Claim storage c) internal {
        Listing storage l = _listings[c.listing];
        c.status = ClaimStatus.VOID;
        _credit(c.claimant, l.claimBond);
        _settle(key, id, c, ChallengeStatus.VOID, l.challengeBond, 0);
        emit ClaimVoided(key.claimId, c.requestId);
        _decided(c.requestId);
    }

    /// @dev The challenger ran out of time: its bond pays the defender's gas, half as much again, and the trace.
    function _lose(ChallengeKey calldata key, bytes32 id, Challenge memory ch, Claim storage c) private {
        Listing storage l = _listings[c.listing];
        uint256 gasUsed = TRACE_GAS + REVEAL_GAS * ch.steps;
        gasUsed += ch.instruction != NO_INDEX && ch.height == 0 ? CHUNK_GAS : REVEAL_GAS;
        uint256 bond = l.challengeBond;
        uint256 pay = gasUsed * _gasPrice() * 3 / 2 + l.traceSeconds * TRACE_SECOND_PRICE;
        if (pay > bond) pay = bond;
        _settle(key, id, c, ChallengeStatus.LOST, 0, pay);
        _burn(bond - pay);
    }

    function _settle(
        ChallengeKey calldata key,
        bytes32 id,
        Claim storage c,
        ChallengeStatus status,
        uint256 toChallenger,
        uint256 toClaimant
    ) private {
        _challenges[id].setStatus(status);
        c.openChallenges -= 1;
        _credit(key.challenger, toChallenger);
        _credit(c.claimant, toClaimant);
        emit ChallengeSettled(id, key.claimId, status, toChallenger, toClaimant);
    }

    function _drawPot(Claim storage c, uint256 cost) private returns (uint256 drawn) {
        uint256 pot = c.pot;
        drawn = cost < pot ? cost : pot;
        c.pot = uint128(pot - drawn);
    }

    /// @dev INVARIANT: refunds are capped at twice the base fee, whatever the sender chose to pay.
    function _gasPrice() private view returns (uint256) {
        uint256 cap = 2 * block.basefee;
        return tx.gasprice < cap ? tx.gasprice : cap;
    }

    /// @dev Metered when the move is made, since who could choose the time could wait for dear gas; at the base fee, which
    /// nobody can pay to himself.
    function _costGwei(uint256 gasUsed) internal view returns (uint256 cost) {
        cost = gasUsed * block.basefee / 1 gwei;
        if (cost > MAX_COST) cost = MAX_COST;
    }
}
