// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IElementEvaluator} from "../../src/interfaces/IElementEvaluator.sol";
import {IInferenceOracle} from "../../src/interfaces/IInferenceOracle.sol";
import {
    ChallengeKey,
    ChallengeStatus,
    ChallengeView,
    ClaimStatus,
    ClaimView,
    NO_INDEX,
    RequestOptions,
    RequestStatus,
    RequestView,
    Turn
} from "../../src/interfaces/Types.sol";
import {OracleTest} from "./OracleTest.sol";
import {ToyModel, Trace} from "./ToyModel.sol";

/// @notice Everybody at once: honest and lying claimants, honest and lying challengers, and time.
/// Honest players make the moves that are due before time passes; the others move at random, or never.
contract Players is OracleTest {
    struct Played {
        ChallengeKey key;
        bool honest;
    }

    /// @dev Of every claim's commitment.
    bytes32 private constant SALT = "salt";

    /// @dev A claim's trace: 0 is true, else the lie's number.
    mapping(bytes32 claimId => uint256) public lieOf;
    /// @dev When a claim became public.
    mapping(bytes32 claimId => uint256) private _since;
    bytes32[] public requestIds;
    bytes32[] public claimIds;
    Played[] private _played;
    uint256 private _nonce;

    constructor(IInferenceOracle oracle_, IElementEvaluator evaluator_, bytes32 direct_, bytes32 committed_) {
        (oracle, evaluator, direct, committed) = (oracle_, evaluator_, direct_, committed_);
        input = inputOf(600);
    }

    function setUp() public override {}

    function traceOf(uint256 which) private view returns (Trace memory) {
        if (which == 1) return lie(0, 3);
        if (which == 2) return lie(1, 1500);
        if (which == 3) return lie(5, 0);
        return truth();
    }

    /// @dev Moves are metered and paid for at these prices.
    modifier priced() {
        gasPrice(10 gwei, 15 gwei);
        _;
    }

    // Actions

    function request(uint256 seed) external {
        RequestOptions memory options;
        options.nonce = ++_nonce;
        options.deadline = uint40(block.timestamp + seed % 2 hours);
        if (seed % 2 == 0) {
            (options.callback, options.gasLimit, options.provisional) =
            (address(0xbeef), 30_000, seed % 4 == 0);
        }
        bytes32 listing = seed % 5 < 2 ? committed : direct;
        uint256 fee = oracle.quote(listing, options.gasLimit) * (1 + seed % 3);
        vm.prank(alice);
        requestIds.push(oracle.request{value: fee}(listing, input, options));
    }

    function makeClaim(uint256 seed) external {
        if (requestIds.length == 0) return;
        bytes32 requestId = requestIds[seed % requestIds.length];
        RequestView memory r = oracle.getRequest(requestId);
        if (r.status != RequestStatus.OPEN || block.timestamp > r.deadline) return;
        uint256 which = seed / 7 % 4;
        bytes32 claimId = r.listingId == direct
            ? claim(requestId, claimantOf(which), traceOf(which), ++_nonce)
            : commit(requestId, which);
        lieOf[claimId] = which;
        if (r.listingId == direct) _since[claimId] = block.timestamp;
        claimIds.push(claimId);
    }

    function claimantOf(uint256 which) private view returns (address) {
        return which == 0 ? honest : liar;
    }

    function outputOf(uint256 which) private view returns (bytes memory) {
        return traceOf(which).tensors[ToyModel.OUTPUT].raw;
    }

    function commit(bytes32 requestId, uint256 which) private returns (bytes32) {
        bytes memory output = outputOf(which);
        bytes32 commitment = keccak256(
            abi.encode(
                block.chainid,
                address(oracle),
                requestId,
                claimantOf(which),
                SALT,
                ToyModel.tensor(output, uint64(output.length)).root,
                ToyModel.tensor("", 0).root,
                output.length,
                uint256(0)
            )
        );
        vm.prank(claimantOf(which));
        return oracle.commitClaim{value: CLAIM_BOND}(requestId, commitment, ++_nonce);
    }

    /// @dev A commitment is opened, by anyone; the honest ones are, before it is too late.
    function reveal(uint256 seed) external {
        if (claimIds.length != 0) revealIfCommitted(claimIds[seed % claimIds.length]);
    }

    function revealIfCommitted(bytes32 claimId) private {
        ClaimView memory c = oracle.getClaim(claimId);
        if (c.status != ClaimStatus.COMMITTED || block.timestamp > c.windowEnd) return;
        oracle.revealClaim(claimId, SALT, outputOf(lieOf[claimId]), "");
        _since[claimId] = block.timestamp;
    }

    function openChallenge(uint256 seed) external priced {
        if (claimIds.length == 0) return;
        bytes32 claimId = claimIds[seed % claimIds.length];
        ClaimView memory c = oracle.getClaim(claimId);
        if (c.status != ClaimStatus.PROPOSED || block.timestamp > c.windowEnd) return;
        // The honest watcher challenges lies alone.
        bool fair = seed / 7 % 2 == 0 && lieOf[claimId] != 0;
        _played.push(Played(challenge(claimId, fair ? watcher : other, ++_nonce), fair));
    }

    /// @dev A random challenge moves on, by whoever is on turn.
    function play(uint256 seed) external priced {
        if (_played.length != 0) move(_played[seed % _played.length]);
    }

    /// @dev Time passes; the honest have moved before.
    function wait(uint256 seed) external priced {
        for (uint256 i = 0; i < _played.length; ++i) {
            bool fair = _played[i].honest;
            bytes32 claimId = _played[i].key.claimId;
            if (fair || lieOf[claimId] == 0) moveIfHonest(_played[i]);
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            if (lieOf[claimIds[i]] == 0) revealIfCommitted(claimIds[i]);
        }
        vm.warp(block.timestamp + seed % 25 minutes);
    }

    function settle(uint256 seed) external priced {
        if (_played.length != 0) {
            Played memory p = _played[seed % _played.length];
            try oracle.timeout(p.key) {} catch {}
            try oracle.close(p.key) {} catch {}
        }
        if (claimIds.length != 0) {
            bytes32 claimId = claimIds[seed / 7 % claimIds.length];
            try oracle.finalize(claimId) {} catch {}
            try oracle.forfeit(claimId) {} catch {}
        }
        if (requestIds.length == 0) return;
        bytes32 requestId = requestIds[seed % requestIds.length];
        try oracle.expire(requestId) {} catch {}
        bytes32 answer_ = oracle.getRequest(requestId).answer;
        try oracle.deliver(requestId, outputOf(lieOf[answer_]), "") {} catch {}
    }

    /// @dev Provisional deliveries, and their retraction.
    function tellEarly(uint256 seed) external {
        if (claimIds.length == 0) return;
        bytes32 claimId = claimIds[seed % claimIds.length];
        try oracle.deliverProvisional(claimId, outputOf(lieOf[claimId]), "") {} catch {}
        try oracle.retract(oracle.getClaim(claimId).requestId, "") {} catch {}
    }

    function withdraw(uint256 seed) external {
        address[4] memory actors = [alice, honest, liar, watcher];
        address actor = actors[seed % 4];
        uint256 amount = oracle.balanceOf(actor) * (seed % 100) / 100;
        vm.prank(actor);
        oracle.withdraw(payable(actor), amount);
    }

    function moveIfHonest(Played memory p) private {
        for (uint256 i = 0; i < 4; ++i) {
            ChallengeView memory v = oracle.getChallenge(p.key);
            if (v.turn == Turn.DEFENDER && lieOf[p.key.claimId] != 0) {
                if (block.timestamp > v.limit) oracle.timeout(p.key);
                return;
            }
            if (v.turn == Turn.CHALLENGER && !p.honest) return;
            if (v.turn == Turn.NOBODY) return;
            move(p);
        }
    }

    function move(Played memory p) private {
        ChallengeView memory v = oracle.getChallenge(p.key);
        if (v.turn == Turn.NOBODY || block.timestamp > v.limit) return;
        Trace memory theirs = traceOf(lieOf[p.key.claimId]);
        if (v.turn == Turn.DEFENDER) return answer(p.key, theirs);
        Trace memory mine = p.honest ? truth() : traceOf(lieOf[p.key.claimId] == 2 ? 1 : 2);
        if (v.instruction != NO_INDEX && v.height == 0) {
            uint256 slot = slotOf(v, theirs, mine);
            if (p.honest) return prove(p.key, theirs, mine, slot);
            this.tryProve(p.key, theirs, mine, slot);
            return;
        }
        if (differs(v, theirs, mine)) pickFirst(p.key, theirs, mine);
    }

    function tryProve(ChallengeKey memory key, Trace memory theirs, Trace memory mine, uint256 slot)
        external
    {
        ChallengeView memory v = oracle.getChallenge(key);
        try oracle.prove(key, v.node, proofOf(v, theirs, mine, slot)) {} catch {}
    }

    function differs(ChallengeView memory v, Trace memory theirs, Trace memory mine)
        private
        pure
        returns (bool)
    {
        return keccak256(abi.encode(childrenOf(v, theirs))) != keccak256(abi.encode(childrenOf(v, mine)));
    }

    function slotOf(ChallengeView memory v, Trace memory theirs, Trace memory mine)
        private
        pure
        returns (uint256)
    {
        bytes memory a = ToyModel.chunk(theirs.tensors[v.instruction].raw, v.position);
        bytes memory b = ToyModel.chunk(mine.tensors[v.instruction].raw, v.position);
        uint256 byteAt = 0;
        while (byteAt < 1023 && a[byteAt] == b[byteAt]) ++byteAt;
        return byteAt / elementWidth(v.instruction);
    }

    /// @dev Everybody has had all the time there is: whatever can end, ends. The compiler takes `block.timestamp` for a
    /// constant of the call, hence the cheat code.
    function windUp() external priced {
        for (uint256 round = 0; round < 12; ++round) {
            this.wait(25 minutes - 1);
            for (uint256 i = 0; i < claimIds.length; ++i) {
                // INVARIANT: an honest claim is final when its time has come, whatever anybody does.
                if (lieOf[claimIds[i]] != 0) continue;
                ClaimView memory c = oracle.getClaim(claimIds[i]);
                if (c.status == ClaimStatus.PROPOSED && vm.getBlockTimestamp() > finalBy(c, claimIds[i])) {
                    oracle.finalize(claimIds[i]);
                }
            }
        }
        vm.warp(vm.getBlockTimestamp() + 2 days);
        for (uint256 i = 0; i < _played.length; ++i) {
            ChallengeView memory v = oracle.getChallenge(_played[i].key);
            if (v.turn != Turn.NOBODY) oracle.timeout(_played[i].key);
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ClaimStatus s = oracle.getClaim(claimIds[i]).status;
            if (s == ClaimStatus.PROPOSED) oracle.finalize(claimIds[i]);
            if (s == ClaimStatus.COMMITTED) oracle.forfeit(claimIds[i]);
        }
        for (uint256 i = 0; i < _played.length; ++i) {
            if (status(_played[i].key) == ChallengeStatus.ACTIVE) oracle.close(_played[i].key);
        }
        vm.warp(vm.getBlockTimestamp() + 2 days);
        for (uint256 i = 0; i < requestIds.length; ++i) {
            RequestView memory r = oracle.getRequest(requestIds[i]);
            if (r.status == RequestStatus.OPEN) oracle.expire(requestIds[i]);
            if (r.status == RequestStatus.ANSWERED && r.callback != address(0) && !r.delivered) {
                oracle.deliver(requestIds[i], outputOf(lieOf[r.answer]), "");
            }
        }
    }

    // What must hold

    /// @dev The last moment at which an honest claim may still be waiting: its window, longer by a trace for every other
    /// claim of the request, both clocks, and the margin.
    function finalBy(ClaimView memory c, bytes32 claimId) private view returns (uint256) {
        uint256 beside = oracle.getRequest(c.requestId).claims - 1;
        return _since[claimId] + WINDOW + TRACE_SECONDS * beside + 2 * CLOCK + MARGIN;
    }

    /// @dev Honest claims whose finality is promised for later than it may be.
    function late() external view returns (uint256 count) {
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ClaimView memory c = oracle.getClaim(claimIds[i]);
            if (c.status != ClaimStatus.PROPOSED) continue;
            if (oracle.finalAt(claimIds[i]) > finalBy(c, claimIds[i]) + 1) ++count;
        }
    }

    /// @dev What somebody has, in his pocket and with the oracle.
    function wealth(address who) external view returns (uint256) {
        return who.balance + oracle.balanceOf(who);
    }

    /// @dev Everything the contract owes, from its own views.
    function owed() external view returns (uint256 sum) {
        address[5] memory actors = [alice, honest, liar, watcher, other];
        for (uint256 i = 0; i < actors.length; ++i) {
            sum += oracle.balanceOf(actors[i]);
        }
        sum += oracle.balanceOf(address(this)) + oracle.burned();
        for (uint256 i = 0; i < requestIds.length; ++i) {
            RequestView memory r = oracle.getRequest(requestIds[i]);
            sum += r.fee;
            if (!r.delivered && r.status != RequestStatus.EXPIRED) sum += r.gasLimit * CALLBACK_GAS_PRICE;
        }
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ClaimView memory c = oracle.getClaim(claimIds[i]);
            if (c.status == ClaimStatus.PROPOSED || c.status == ClaimStatus.COMMITTED) sum += CLAIM_BOND;
            sum += c.pot;
        }
        for (uint256 i = 0; i < _played.length; ++i) {
            if (oracle.getChallenge(_played[i].key).status == ChallengeStatus.ACTIVE) sum += CHALLENGE_BOND;
        }
    }

    /// @dev An honest claim falls, a lie that an honest watcher challenged is final, or an honest challenge is lost.
    function wronged() external view returns (uint256 count) {
        for (uint256 i = 0; i < claimIds.length; ++i) {
            ClaimStatus s = oracle.getClaim(claimIds[i]).status;
            if (lieOf[claimIds[i]] != 0 || s == ClaimStatus.COMMITTED) continue;
            if (s != ClaimStatus.PROPOSED && s != ClaimStatus.FINALIZED) ++count;
        }
        for (uint256 i = 0; i < _played.length; ++i) {
            if (!_played[i].honest) continue;
            if (oracle.getChallenge(_played[i].key).status == ChallengeStatus.LOST) ++count;
            if (oracle.getClaim(_played[i].key.claimId).status == ClaimStatus.FINALIZED) ++count;
        }
    }

    function openChallenges(bytes32 claimId) external view returns (uint256 count) {
        for (uint256 i = 0; i < _played.length; ++i) {
            if (_played[i].key.claimId == claimId && status(_played[i].key) == ChallengeStatus.ACTIVE) {
                ++count;
            }
        }
    }

    function claimCount() external view returns (uint256) {
        return claimIds.length;
    }
}

/// forge-config: default.invariant.fail-on-revert = true
contract InvariantTest is OracleTest {
    Players private players;

    function setUp() public override {
        super.setUp();
        players = new Players(oracle, evaluator, direct, committed);
        for (uint256 i = 1; i < 6; ++i) {
            players.request(i * 4001);
        }
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(players);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selectors) {
        selectors = new FuzzSelector[](1);
        bytes4[] memory s = new bytes4[](12);
        (s[0], s[1], s[2], s[3]) =
        (
            players.request.selector,
            players.makeClaim.selector,
            players.openChallenge.selector,
            players.play.selector
        );
        (s[4], s[5], s[6], s[7], s[8]) =
        (
            players.wait.selector,
            players.settle.selector,
            players.withdraw.selector,
            players.play.selector,
            players.makeClaim.selector
        );
        (s[9], s[10], s[11]) = (players.reveal.selector, players.tellEarly.selector, players.wait.selector);
        selectors[0] = FuzzSelector(address(players), s);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function invariant_money_is_accounted_for_and_the_honest_lose_nothing() external view {
        assertEq(address(oracle).balance, players.owed(), "every wei");
        assertEq(players.wronged(), 0, "wronged");
        assertEq(players.late(), 0, "late");
        for (uint256 i = 0; i < players.claimCount(); ++i) {
            bytes32 claimId = players.claimIds(i);
            assertEq(
                oracle.getClaim(claimId).openChallenges, players.openChallenges(claimId), "open challenges"
            );
        }
    }

    /// @dev The end of every run: all is settled, the honest have what they began with or more, and nothing is stuck.
    function afterInvariant() external {
        players.windUp();
        assertEq(players.wronged(), 0, "wronged");
        address[5] memory actors = [alice, honest, liar, watcher, other];
        uint256 owed = oracle.burned() + oracle.balanceOf(address(players)) + oracle.balanceOf(address(this));
        for (uint256 i = 0; i < actors.length; ++i) {
            owed += oracle.balanceOf(actors[i]);
        }
        assertEq(address(oracle).balance, owed, "stuck");
        assertTrue(players.wealth(honest) >= 1000 ether, "honest claimant");
        assertTrue(players.wealth(watcher) >= 1000 ether, "watcher");
    }
}
