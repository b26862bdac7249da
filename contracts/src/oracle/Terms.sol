// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {TensorView} from "../evaluator/TensorView.sol";
import {IModels} from "../interfaces/IModels.sol";
import {ITerms} from "../interfaces/ITerms.sol";
import {Derived, Inequality, Limits, Model, NO_INDEX, Policy, Source} from "../interfaces/Types.sol";

/// @title Checks listings against the contract's floors, and packs them
contract Terms is ITerms {
    /// @dev Elementary operations that the clocks grant a second for.
    uint256 private constant WORK_PER_SECOND = 20_000_000;
    /// @dev Challenges keep their clocks in 24 bits.
    uint256 private constant MAX_CLOCK = type(uint24).max;

    /// @dev Written once, at construction.
    Limits private _limits;

    constructor(Limits memory limits_) {
        _limits = limits_;
    }

    /// @inheritdoc ITerms
    function limits() external view returns (Limits memory) {
        return _limits;
    }

    /// @inheritdoc ITerms
    function check(Model memory model, Policy memory policy)
        external
        view
        returns (bytes32 listingId, bytes32 modelId, bytes32[13] memory words)
    {
        modelId = sha256(abi.encode(model));
        listingId = keccak256(abi.encode(modelId, policy));
        Limits memory floors = _limits;
        uint256 traceSeconds = (uint256(model.traceWork) + WORK_PER_SECOND - 1) / WORK_PER_SECOND;
        _requireModel(model, floors);
        _requirePolicy(policy, floors, traceSeconds);
        (words[0], words[1]) = (listingId, modelId);
        words[2] = _pack(policy.minFee, 96, policy.window, 32, policy.revealTimeout);
        words[2] |= bytes32(traceSeconds << 160 | uint256(policy.commitReveal ? 1 : 0) << 192);
        words[3] = _pack(policy.claimBond, 96, policy.challengeBond, 96, policy.challengerClock);
        words[3] |= bytes32(uint256(policy.defenderClock) << 224);
        (words[4], words[5]) = (model.programRoot, model.weightsRoot);
        words[6] = _pack(model.instructionCount, 32, model.weightCount, 32, model.output);
        words[6] |= bytes32(uint256(model.witness) << 96 | uint256(model.ok) << 128);
        for (uint256 i = 0; i < 3; ++i) {
            Source memory s = model.sources[i];
            words[6] |= bytes32(uint256(s.dtype) << (168 + i * 8));
            words[7] |= bytes32((s.minElements | uint256(s.maxElements) << 32) << (i * 64));
        }
        for (uint256 i = 0; i < 5; ++i) {
            Derived memory d = model.derived[i];
            words[8] |= bytes32((d.source | uint256(d.divisor) << 8) << (i * 40));
        }
        for (uint256 i = 0; i < 4; ++i) {
            Inequality memory rule = model.inequalities[i];
            if (rule.c0 | rule.c1 | rule.c2 | rule.bound == 0) continue;
            // The number of inequalities lies above the instruction indices.
            words[6] = words[6] & ~bytes32(uint256(0xff) << 160) | bytes32((i + 1) << 160);
            words[9 + i] = _pack(uint64(rule.c0), 64, uint64(rule.c1), 64, uint64(rule.c2));
            words[9 + i] |= bytes32(uint256(uint64(rule.bound)) << 192);
        }
    }

    /// @dev Three fields of a storage word, the first one lowest.
    function _pack(uint256 a, uint256 bitsA, uint256 b, uint256 bitsB, uint256 c)
        private
        pure
        returns (bytes32)
    {
        return bytes32(a | b << bitsA | c << (bitsA + bitsB));
    }

    function _requireModel(Model memory m, Limits memory caps) private pure {
        require(m.version == 1, IModels.BadModel("version", m.version));
        uint256 count = m.instructionCount;
        require(count != 0 && count != NO_INDEX, IModels.BadModel("instructionCount", count));
        require(m.output < count, IModels.BadModel("output", m.output));
        require(m.witness < count || m.witness == NO_INDEX, IModels.BadModel("witness", m.witness));
        require(m.ok < count, IModels.BadModel("ok", m.ok));
        require(m.stepBound <= caps.maxStepBytes, IModels.BadModel("stepBound", m.stepBound));
        // A witness that nothing answers for would be anybody's to choose.
        bool answered = m.witness != NO_INDEX || m.sources[2].maxElements == 0;
        require(answered, IModels.BadModel("witness", m.witness));
        for (uint256 i = 0; i < 3; ++i) {
            Source memory s = m.sources[i];
            uint256 width = TensorView.widthOf(s.dtype);
            require(width != 0, IModels.BadModel("dtype", s.dtype));
            require(s.minElements <= s.maxElements, IModels.BadModel("minElements", s.minElements));
            uint256 cap = i == 0 ? caps.maxInputBytes : caps.maxClaimBytes;
            require(s.maxElements * width <= cap, IModels.BadModel("maxElements", s.maxElements));
        }
        for (uint256 i = 0; i < 5; ++i) {
            Derived memory d = m.derived[i];
            require(d.source < 3, IModels.BadModel("source", d.source));
            require(d.divisor <= type(uint32).max, IModels.BadModel("divisor", d.divisor));
        }
    }

    /// @dev INVARIANT: whoever defends or challenges has the time to trace four times over.
    function _requirePolicy(Policy memory p, Limits memory floors, uint256 traceSeconds) private pure {
        uint256 traces = 4 * traceSeconds;
        _requireAtLeast("window", p.window, floors.minWindow + traces);
        _requireAtLeast("challengerClock", p.challengerClock, floors.minClock + traces);
        _requireAtLeast("defenderClock", p.defenderClock, floors.minClock + traces);
        _requireAtLeast("revealTimeout", p.revealTimeout, floors.minRevealTimeout);
        _requireAtLeast("claimBond", p.claimBond, floors.minClaimBond);
        _requireAtLeast("challengeBond", p.challengeBond, floors.minChallengeBond);
        require(
            p.challengerClock <= MAX_CLOCK, IModels.BadPolicy("challengerClock", p.challengerClock, MAX_CLOCK)
        );
        require(p.defenderClock <= MAX_CLOCK, IModels.BadPolicy("defenderClock", p.defenderClock, MAX_CLOCK));
    }

    function _requireAtLeast(bytes32 field, uint256 value, uint256 floor) private pure {
        require(value >= floor, IModels.BadPolicy(field, value, floor));
    }
}
