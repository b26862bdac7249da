// SPDX-License-Identifier: MIT
pragma solidity ^0.8.26;

import {IElementEvaluator} from "../interfaces/IElementEvaluator.sol";
import {IModels} from "../interfaces/IModels.sol";
import {Derived, Inequality, Limits, Model, NO_INDEX, Policy, Source} from "../interfaces/Types.sol";
import {Shapes} from "../lib/Shapes.sol";
import {Balances} from "./Balances.sol";

/// @notice Listings, packed so that each move reads one or two words of them.
abstract contract Models is Balances {
    /// @dev Elementary operations that the clocks grant a second for.
    uint256 private constant WORK_PER_SECOND = 20_000_000;
    /// @dev Challenges keep their clocks in 24 bits.
    uint256 private constant MAX_SECONDS = type(uint24).max;

    struct Listing {
        bytes32 modelId;
        // What requests and claims need.
        uint96 minFee;
        uint32 window;
        uint32 revealTimeout;
        uint32 traceSeconds;
        bool commitReveal;
        // What challenges need.
        uint96 claimBond;
        uint96 challengeBond;
        uint32 challengerClock;
        uint32 defenderClock;
    }

    /// @dev Kept for each listing, not shared between those of one model: one indirection less in every dispute.
    struct Program {
        bytes32 programRoot;
        bytes32 weightsRoot;
        uint32 instructionCount;
        uint32 weightCount;
        uint32 output;
        uint32 witness;
        uint32 ok;
        uint8 inequalityCount;
        uint8[3] dtypes;
        // Minimum and maximum elements of the sources, 32 bits each, source 0 lowest.
        uint256 lengths;
        // Source (8 bits) and divisor (32 bits) of the derived symbols, symbol 3 lowest.
        uint256 derived;
        Inequality[4] inequalities;
    }

    /// @inheritdoc IModels
    address public immutable evaluator;

    uint256 private immutable MIN_WINDOW;
    uint256 private immutable MIN_CLOCK;
    uint256 private immutable MIN_REVEAL_TIMEOUT;
    uint256 internal immutable SETTLE_MARGIN;
    uint256 internal immutable REQUEST_LIFETIME;
    uint256 private immutable MAX_INPUT_BYTES;
    uint256 private immutable MAX_CLAIM_BYTES;
    uint256 private immutable MAX_STEP_BYTES;
    uint256 private immutable MIN_CLAIM_BOND;
    uint256 private immutable MIN_CHALLENGE_BOND;
    uint256 internal immutable CALLBACK_GAS_PRICE;
    uint256 internal immutable TRACE_SECOND_PRICE;

    mapping(bytes32 listingId => uint24) private _numbers;
    uint24 private _listingCount;
    /// @dev By listing number, which only this contract sees; callers name listings by id.
    mapping(uint256 number => bytes32) internal _listingIds;
    mapping(uint256 number => Listing) internal _listings;
    mapping(uint256 number => Program) internal _programs;

    constructor(address evaluator_, Limits memory l) {
        evaluator = evaluator_;
        MIN_WINDOW = l.minWindow;
        MIN_CLOCK = l.minClock;
        MIN_REVEAL_TIMEOUT = l.minRevealTimeout;
        SETTLE_MARGIN = l.settleMargin;
        REQUEST_LIFETIME = l.requestLifetime;
        MAX_INPUT_BYTES = l.maxInputBytes;
        MAX_CLAIM_BYTES = l.maxClaimBytes;
        MAX_STEP_BYTES = l.maxStepBytes;
        MIN_CLAIM_BOND = l.minClaimBond;
        MIN_CHALLENGE_BOND = l.minChallengeBond;
        CALLBACK_GAS_PRICE = l.callbackGasPrice;
        TRACE_SECOND_PRICE = l.traceSecondPrice;
    }

    /// @inheritdoc IModels
    function list(Model calldata model, Policy calldata policy) external returns (bytes32 listingId) {
        bytes32 modelId = sha256(abi.encode(model));
        listingId = keccak256(abi.encode(modelId, policy));
        require(_numbers[listingId] == 0, AlreadyListed(listingId));
        uint256 traceSeconds = (uint256(model.traceWork) + WORK_PER_SECOND - 1) / WORK_PER_SECOND;
        _requireModel(model);
        _requirePolicy(policy, traceSeconds);

        uint24 number = ++_listingCount;
        _numbers[listingId] = number;
        _listingIds[number] = listingId;
        _listings[number] = Listing({
            modelId: modelId,
            minFee: policy.minFee,
            window: policy.window,
            revealTimeout: policy.revealTimeout,
            traceSeconds: uint32(traceSeconds),
            commitReveal: policy.commitReveal,
            claimBond: policy.claimBond,
            challengeBond: policy.challengeBond,
            challengerClock: policy.challengerClock,
            defenderClock: policy.defenderClock
        });
        _storeProgram(_programs[number], model);
        emit Listed(listingId, modelId, model, policy);
    }

    /// @inheritdoc IModels
    function getListing(bytes32 listingId) external view returns (bytes32, Policy memory, uint256) {
        Listing storage l = _listings[_numberOf(listingId)];
        Policy memory policy = Policy({
            window: l.window,
            challengerClock: l.challengerClock,
            defenderClock: l.defenderClock,
            revealTimeout: l.revealTimeout,
            claimBond: l.claimBond,
            challengeBond: l.challengeBond,
            minFee: l.minFee,
            commitReveal: l.commitReveal
        });
        return (l.modelId, policy, l.traceSeconds);
    }

    /// @inheritdoc IModels
    function limits() external view returns (Limits memory) {
        return Limits({
            minWindow: uint32(MIN_WINDOW),
            minClock: uint32(MIN_CLOCK),
            minRevealTimeout: uint32(MIN_REVEAL_TIMEOUT),
            settleMargin: uint32(SETTLE_MARGIN),
            requestLifetime: uint32(REQUEST_LIFETIME),
            maxInputBytes: uint32(MAX_INPUT_BYTES),
            maxClaimBytes: uint32(MAX_CLAIM_BYTES),
            maxStepBytes: uint32(MAX_STEP_BYTES),
            minClaimBond: uint96(MIN_CLAIM_BOND),
            minChallengeBond: uint96(MIN_CHALLENGE_BOND),
            callbackGasPrice: uint96(CALLBACK_GAS_PRICE),
            traceSecondPrice: uint96(TRACE_SECOND_PRICE)
        });
    }

    function _numberOf(bytes32 listingId) internal view returns (uint24 number) {
        number = _numbers[listingId];
        require(number != 0, UnknownListing(listingId));
    }

    /// @dev Time that a node needs to trace and answer: what a clock, and a reopened request, have at least.
    function _graceSeconds(uint256 traceSeconds) internal view returns (uint256) {
        return MIN_CLOCK + 4 * traceSeconds;
    }

    /// @dev Elements that a source's bytes hold. INVARIANT: within the model's limits, a whole number of elements.
    function _elements(uint256 number, uint256 source, uint256 byteLength) internal view returns (uint32) {
        Program storage program = _programs[number];
        uint256 width = Shapes.width(program.dtypes[source]);
        uint256 elements = byteLength / width;
        uint256 bounds = program.lengths >> (source * 64);
        require(
            elements * width == byteLength && elements >= uint32(bounds) && elements <= uint32(bounds >> 32),
            BadLength(source, byteLength)
        );
        return uint32(elements);
    }

    /// @dev INVARIANT: the lengths of a claim lie in the region that admission proved the tape for.
    function _requireLengths(uint256 number, uint32 n0, uint32 n1, uint32 n2) internal view {
        Program storage program = _programs[number];
        uint256 count = program.inequalityCount;
        for (uint256 i = 0; i < count; ++i) {
            Inequality memory rule = program.inequalities[i];
            int256 sum = int256(rule.c0) * int256(uint256(n0)) + int256(rule.c1) * int256(uint256(n1))
                + int256(rule.c2) * int256(uint256(n2));
            require(sum <= rule.bound, BadLengths(i));
        }
    }

    /// @dev All symbols of a tape from the lengths of its sources.
    function _symbolsFrom(uint256 derived, uint32 n0, uint32 n1, uint32 n2)
        internal
        pure
        returns (uint64[8] memory symbols)
    {
        (symbols[0], symbols[1], symbols[2]) = (n0, n1, n2);
        for (uint256 i = 3; derived != 0; ++i) {
            uint64 divisor = uint32(derived >> 8);
            if (divisor != 0) symbols[i] = (symbols[uint8(derived)] + divisor - 1) / divisor;
            derived >>= 40;
        }
    }

    function _requireModel(Model calldata m) private view {
        require(m.version == 1, BadModel("version", m.version));
        uint256 count = m.instructionCount;
        require(count != 0 && count != NO_INDEX, BadModel("instructionCount", count));
        require(m.output < count, BadModel("output", m.output));
        require(m.witness < count || m.witness == NO_INDEX, BadModel("witness", m.witness));
        require(m.ok < count, BadModel("ok", m.ok));
        require(m.stepBound <= MAX_STEP_BYTES, BadModel("stepBound", m.stepBound));
        // A witness that nothing answers for would be anybody's to choose.
        require(m.witness != NO_INDEX || m.sources[2].maxElements == 0, BadModel("witness", m.witness));
        for (uint256 i = 0; i < 3; ++i) {
            Source calldata s = m.sources[i];
            uint256 width = Shapes.width(s.dtype);
            require(width != 0, BadModel("dtype", s.dtype));
            require(s.minElements <= s.maxElements, BadModel("minElements", s.minElements));
            uint256 cap = i == 0 ? MAX_INPUT_BYTES : MAX_CLAIM_BYTES;
            require(s.maxElements * width <= cap, BadModel("maxElements", s.maxElements));
        }
        for (uint256 i = 0; i < 5; ++i) {
            Derived calldata d = m.derived[i];
            require(d.source < 3, BadModel("source", d.source));
            require(d.divisor <= type(uint32).max, BadModel("divisor", d.divisor));
        }
    }

    function _requirePolicy(Policy calldata p, uint256 traceSeconds) private view {
        uint256 traces = 4 * traceSeconds;
        _requireAtLeast("window", p.window, MIN_WINDOW + traces);
        _requireAtLeast("challengerClock", p.challengerClock, MIN_CLOCK + traces);
        _requireAtLeast("defenderClock", p.defenderClock, MIN_CLOCK + traces);
        _requireAtLeast("revealTimeout", p.revealTimeout, MIN_REVEAL_TIMEOUT);
        _requireAtLeast("claimBond", p.claimBond, MIN_CLAIM_BOND);
        _requireAtLeast("challengeBond", p.challengeBond, MIN_CHALLENGE_BOND);
        require(p.challengerClock <= MAX_SECONDS, BadPolicy("challengerClock", p.challengerClock, MAX_SECONDS));
        require(p.defenderClock <= MAX_SECONDS, BadPolicy("defenderClock", p.defenderClock, MAX_SECONDS));
    }

    function _requireAtLeast(bytes32 field, uint256 value, uint256 floor) private pure {
        require(value >= floor, BadPolicy(field, value, floor));
    }

    function _storeProgram(Program storage program, Model calldata m) private {
        program.programRoot = m.programRoot;
        program.weightsRoot = m.weightsRoot;
        program.instructionCount = m.instructionCount;
        program.weightCount = m.weightCount;
        program.output = m.output;
        program.witness = m.witness;
        program.ok = m.ok;
        uint256 lengths;
        for (uint256 i = 0; i < 3; ++i) {
            Source calldata s = m.sources[i];
            program.dtypes[i] = s.dtype;
            lengths |= (uint256(s.minElements) | uint256(s.maxElements) << 32) << (i * 64);
        }
        program.lengths = lengths;
        uint256 derived;
        for (uint256 i = 0; i < 5; ++i) {
            derived |= (uint256(m.derived[i].source) | uint256(m.derived[i].divisor) << 8) << (i * 40);
        }
        program.derived = derived;
        for (uint256 i = 0; i < 4; ++i) {
            Inequality calldata rule = m.inequalities[i];
            if (rule.c0 | rule.c1 | rule.c2 | rule.bound == 0) continue;
            program.inequalities[i] = rule;
            program.inequalityCount = uint8(i + 1);
        }
    }
}
