// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {TensorView} from "../evaluator/TensorView.sol";
import {IModels} from "../interfaces/IModels.sol";
import {ITerms} from "../interfaces/ITerms.sol";
import {Inequality, Limits, Model, Policy} from "../interfaces/Types.sol";
import {Balances} from "./Balances.sol";
import {Terms} from "./Terms.sol";

/// @notice Listings, packed so that each move reads one or two words of them.
abstract contract Models is Balances {
    /// @dev Words of `abi.encode(model, policy)`.
    uint256 private constant LISTED_WORDS = 53;

    /// @dev `Terms` packs these words. They are kept for each listing, not shared between those of one model: one
    /// indirection less in every dispute.
    struct Listing {
        bytes32 listingId;
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
        // The model.
        bytes32 programRoot;
        bytes32 weightsRoot;
        uint32 instructionCount;
        uint32 weightCount;
        uint32 output;
        uint32 witness;
        uint32 ok;
        uint8 inequalityCount;
        uint24 dtypes;
        // Minimum and maximum elements of the sources, 32 bits each, source 0 lowest.
        uint256 lengths;
        // Source (8 bits) and divisor (32 bits) of the derived symbols, symbol 3 lowest.
        uint256 derived;
        Inequality[4] inequalities;
    }

    /// @inheritdoc IModels
    address public immutable evaluator;

    ITerms private immutable _TERMS;
    uint256 private immutable _MIN_CLOCK;
    uint256 internal immutable SETTLE_MARGIN;
    uint256 internal immutable REQUEST_LIFETIME;
    uint256 internal immutable CALLBACK_GAS_PRICE;
    uint256 internal immutable TRACE_SECOND_PRICE;

    uint24 private _listingCount;
    mapping(bytes32 listingId => uint24) private _numbers;
    /// @dev By a number that only this contract sees; callers name listings by id.
    mapping(uint256 number => Listing) internal _listings;

    constructor(address evaluator_, Limits memory limits_) {
        evaluator = evaluator_;
        _TERMS = new Terms(limits_);
        _MIN_CLOCK = limits_.minClock;
        SETTLE_MARGIN = limits_.settleMargin;
        REQUEST_LIFETIME = limits_.requestLifetime;
        CALLBACK_GAS_PRICE = limits_.callbackGasPrice;
        TRACE_SECOND_PRICE = limits_.traceSecondPrice;
    }

    /// @inheritdoc IModels
    function list(Model calldata, Policy calldata) external returns (bytes32 listingId) {
        // Both arguments are static: their encoding lies in the calldata as it stands, and `check` sees that it is clean.
        bytes calldata encoded = msg.data[4:4 + LISTED_WORDS * 32];
        bytes memory answer = _ask(address(_TERMS), bytes.concat(ITerms.check.selector, encoded));
        bytes32 modelId;
        bytes32[13] memory words;
        (listingId, modelId, words) = abi.decode(answer, (bytes32, bytes32, bytes32[13]));
        require(_numbers[listingId] == 0, AlreadyListed(listingId));
        uint24 number = ++_listingCount;
        _numbers[listingId] = number;
        Listing storage listing = _listings[number];
        for (uint256 i = 0; i < words.length; ++i) {
            bytes32 word = words[i];
            assembly ("memory-safe") {
                if word { sstore(add(listing.slot, i), word) }
            }
        }
        bytes32 topic = Listed.selector;
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, encoded.offset, encoded.length)
            log3(data, encoded.length, topic, listingId, modelId)
        }
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
        bytes memory answer = _ask(address(_TERMS), msg.data[:4]);
        assembly ("memory-safe") {
            return(add(answer, 32), mload(answer))
        }
    }

    function _numberOf(bytes32 listingId) internal view returns (uint24 number) {
        number = _numbers[listingId];
        require(number != 0, UnknownListing(listingId));
    }

    /// @dev Time that a node needs to trace and answer: what a clock, and a reopened request, have at least.
    function _graceSeconds(uint256 traceSeconds) internal view returns (uint256) {
        return _MIN_CLOCK + 4 * traceSeconds;
    }

    /// @dev Elements that a source's bytes hold. INVARIANT: within the model's limits, a whole number of elements.
    function _elements(uint256 number, uint256 source, uint256 byteLength) internal view returns (uint32) {
        Listing storage l = _listings[number];
        uint256 width = TensorView.widthOf(uint8(l.dtypes >> (source * 8)));
        uint256 elements = byteLength / width;
        uint256 bounds = l.lengths >> (source * 64);
        bool admitted = elements >= uint32(bounds) && elements <= uint32(bounds >> 32);
        require(elements * width == byteLength && admitted, BadLength(source, byteLength));
        return uint32(elements);
    }

    /// @dev INVARIANT: the lengths of a claim lie in the region that admission proved the tape for.
    function _requireLengths(uint256 number, uint32 n0, uint32 n1, uint32 n2) internal view {
        Listing storage l = _listings[number];
        uint256 count = l.inequalityCount;
        for (uint256 i = 0; i < count; ++i) {
            Inequality memory rule = l.inequalities[i];
            int256 sum = int256(rule.c0) * int256(uint256(n0)) + int256(rule.c1) * int256(uint256(n1))
                + int256(rule.c2) * int256(uint256(n2));
            require(sum <= rule.bound, BadLengths(i));
        }
    }

    /// @dev The answer of one of the oracle's stateless parts; its errors are handed on.
    function _ask(address part, bytes memory question) internal view returns (bytes memory answer) {
        bool success;
        (success, answer) = part.staticcall(question);
        if (success) return answer;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }
}
