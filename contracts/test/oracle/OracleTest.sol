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
    InstructionProof,
    Limits,
    Model,
    NO_INDEX,
    NO_LENGTH,
    Policy,
    Proof,
    RequestOptions,
    RequestStatus,
    RequestView,
    Step,
    Turn
} from "../../src/interfaces/Types.sol";
import {Test} from "../Test.sol";
import {Merkle} from "./Merkle.sol";
import {Tensor, ToyModel, Trace} from "./ToyModel.sol";

/// @notice More of forge's cheatcodes.
interface VmMore {
    function expectPartialRevert(bytes4 selector) external;
    function getCode(string calldata artifact) external view returns (bytes memory);
    function snapshotValue(string calldata group, string calldata name, uint256 value) external;
    function txGasPrice(uint256 price) external;
}

/// @notice An oracle with the toy model listed, and players who know the rules of the game.
abstract contract OracleTest is Test {
    uint256 internal constant CLAIM_BOND = 1 ether;
    uint256 internal constant CHALLENGE_BOND = 0.2 ether;
    uint256 internal constant MIN_FEE = 0.01 ether;
    uint256 internal constant CALLBACK_GAS_PRICE = 2 gwei;
    uint32 internal constant WINDOW = 1 hours;
    uint32 internal constant CLOCK = 30 minutes;
    uint32 internal constant REVEAL_TIMEOUT = 10 minutes;
    uint32 internal constant MARGIN = 10 minutes;
    /// @dev ceil(40,000,000 / 20,000,000)
    uint256 internal constant TRACE_SECONDS = 2;

    address internal alice = makeAddr("alice, who asks");
    address internal honest = makeAddr("honest claimant");
    address internal liar = makeAddr("lying claimant");
    address internal watcher = makeAddr("watcher");
    address internal other = makeAddr("anyone else");

    IInferenceOracle internal oracle;
    IElementEvaluator internal evaluator;
    uint256 internal instructionCount = 7;
    bytes32 internal direct;
    bytes32 internal committed;
    bytes internal input;

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        evaluator = IElementEvaluator(deploy("ElementEvaluator", ""));
        oracle = IInferenceOracle(deploy("InferenceOracle", abi.encode(address(evaluator), limits())));
        Model memory m = ToyModel.model(instructionCount);
        direct = oracle.list(m, policy(false));
        committed = oracle.list(m, policy(true));
        input = inputOf(600);
        address[5] memory actors = [alice, honest, liar, watcher, other];
        for (uint256 i = 0; i < actors.length; ++i) {
            vm.deal(actors[i], 1000 ether);
        }
    }

    /// @dev From the artifact: exactly what ships, and nothing is compiled again for a test.
    function deploy(string memory name, bytes memory arguments) internal returns (address deployed) {
        bytes memory code = bytes.concat(VmMore(address(vm)).getCode(name), arguments);
        assembly ("memory-safe") {
            deployed := create(0, add(code, 32), mload(code))
        }
        assertTrue(deployed != address(0), name);
    }

    function limits() internal pure returns (Limits memory) {
        return Limits({
            minWindow: 30 minutes,
            minClock: 10 minutes,
            minRevealTimeout: 5 minutes,
            settleMargin: MARGIN,
            requestLifetime: 1 days,
            maxInputBytes: 65_536,
            maxClaimBytes: 65_536,
            maxStepBytes: 12_288,
            minClaimBond: 0.1 ether,
            minChallengeBond: 0.05 ether,
            callbackGasPrice: uint96(CALLBACK_GAS_PRICE),
            traceSecondPrice: 1e9
        });
    }

    function policy(bool commitReveal) internal pure returns (Policy memory) {
        return Policy({
            window: WINDOW,
            challengerClock: CLOCK,
            defenderClock: CLOCK,
            revealTimeout: REVEAL_TIMEOUT,
            claimBond: uint96(CLAIM_BOND),
            challengeBond: uint96(CHALLENGE_BOND),
            minFee: uint96(MIN_FEE),
            commitReveal: commitReveal
        });
    }

    function inputOf(uint256 size) internal pure returns (bytes memory data) {
        data = new bytes(size);
        for (uint256 i = 0; i < size; ++i) {
            data[i] = bytes1(uint8(i * 7 + 3));
        }
    }

    /// @dev The next call reverts with that error, whatever its values.
    function expectRevertOf(bytes4 selector) internal {
        VmMore(address(vm)).expectPartialRevert(selector);
    }

    function gasPrice(uint256 baseFee, uint256 price) internal {
        vm.fee(baseFee);
        VmMore(address(vm)).txGasPrice(price);
    }

    // What people do

    function ask() internal returns (bytes32) {
        return ask(direct, 1);
    }

    function ask(bytes32 listing, uint256 nonce) internal returns (bytes32) {
        RequestOptions memory options;
        options.nonce = nonce;
        vm.prank(alice);
        return oracle.request{value: MIN_FEE}(listing, input, options);
    }

    function claim(bytes32 requestId, address claimant, Trace memory t) internal returns (bytes32) {
        return claim(requestId, claimant, t, 0);
    }

    function claim(bytes32 requestId, address claimant, Trace memory t, uint256 nonce)
        internal
        returns (bytes32)
    {
        bytes memory output = t.tensors[ToyModel.OUTPUT].raw;
        vm.prank(claimant);
        return oracle.proposeClaim{value: CLAIM_BOND}(requestId, nonce, output, "");
    }

    function challenge(bytes32 claimId, address challenger, uint256 nonce)
        internal
        returns (ChallengeKey memory key)
    {
        vm.prank(challenger);
        oracle.open{value: CHALLENGE_BOND}(claimId, nonce);
        return ChallengeKey(claimId, challenger, nonce);
    }

    function postTrace(bytes32 claimId, Trace memory t) internal {
        (bytes32[] memory output, bytes32[] memory witness, bytes32[] memory ok) = tracePaths(t);
        vm.prank(oracle.getClaim(claimId).claimant);
        oracle.postTrace(claimId, t.root, output, witness, ok);
    }

    function tracePaths(Trace memory t)
        internal
        pure
        returns (bytes32[] memory output, bytes32[] memory witness, bytes32[] memory ok)
    {
        return (Merkle.path(t.levels, ToyModel.OUTPUT), new bytes32[](0), Merkle.path(t.levels, 4));
    }

    // Traces

    function truth() internal view returns (Trace memory) {
        return ToyModel.trace(ToyModel.run(input, instructionCount));
    }

    /// @dev A trace wrong first in that tensor at that byte, and consistent from there on as far as it can be.
    function lie(uint256 index, uint256 byteAt) internal view returns (Trace memory) {
        bytes[] memory t = ToyModel.run(input, instructionCount);
        t[index][byteAt] ^= 0x01;
        if (index == 0) {
            ToyModel.putI32(t[1], byteAt, 3 * int256(uint256(uint8(t[0][byteAt]))) + 1);
            ToyModel.finish(t);
        }
        if (index == 1) ToyModel.finish(t);
        if (index == 2 || index == ToyModel.SUM) ToyModel.answer(t);
        if (index == ToyModel.OUTPUT) t[6] = t[index];
        return ToyModel.trace(t);
    }

    // The game

    function none() internal pure returns (InstructionProof memory) {
        return InstructionProof("", new bytes32[](0));
    }

    function naming(uint256 index) internal view returns (InstructionProof memory) {
        return
            InstructionProof(
                ToyModel.instruction(index), Merkle.path(ToyModel.program(instructionCount), index)
            );
    }

    /// @dev The tree that a challenge descends now.
    function treeOf(ChallengeView memory v, Trace memory t) internal pure returns (bytes32[][] memory) {
        return v.instruction == NO_INDEX ? t.levels : t.tensors[v.instruction].levels;
    }

    function lengthTagOf(ChallengeView memory v, Trace memory t) internal pure returns (uint64) {
        if (v.instruction == NO_INDEX) return NO_LENGTH;
        return v.height + 1 == t.tensors[v.instruction].levels.length ? uint64(v.byteLength) : NO_LENGTH;
    }

    /// @dev docs/protocol.md §3, written apart from the contract.
    function levelsOpened(uint256 height) internal pure returns (uint256) {
        return height <= 5 ? height : height % 4 == 1 ? 5 : height % 4 == 0 ? 4 : height % 4;
    }

    function childrenOf(ChallengeView memory v, Trace memory t) internal pure returns (bytes32[] memory) {
        return Merkle.children(treeOf(v, t), v.height, v.position, levelsOpened(v.height));
    }

    /// @dev The defender's next move, if one is due.
    function answer(ChallengeKey memory key, Trace memory t) internal virtual {
        ChallengeView memory v = oracle.getChallenge(key);
        if (v.turn != Turn.DEFENDER) return;
        if (v.node == 0) {
            postTrace(key.claimId, t);
            v = oracle.getChallenge(key);
        }
        if (v.turn != Turn.DEFENDER) return;
        if (v.height == 0) {
            bytes memory chunk = ToyModel.chunk(t.tensors[v.instruction].raw, v.position);
            oracle.postChunk(key.claimId, v.node, lengthTagOf(v, t), chunk);
        } else {
            oracle.reveal(key.claimId, v.node, lengthTagOf(v, t), childrenOf(v, t));
        }
    }

    /// @dev The challenger's next pick: the first child in which the traces differ.
    function pickFirst(ChallengeKey memory key, Trace memory theirs, Trace memory mine) internal virtual {
        ChallengeView memory v = oracle.getChallenge(key);
        (Step[] memory steps, uint256 index) = firstStep(v, theirs, mine);
        bool leaf = v.instruction == NO_INDEX && v.height <= 5;
        InstructionProof memory named = leaf ? naming(v.position * steps[0].children.length + index) : none();
        vm.prank(key.challenger);
        oracle.pick(key, v.node, steps, named);
    }

    function firstStep(ChallengeView memory v, Trace memory theirs, Trace memory mine)
        internal
        pure
        returns (Step[] memory steps, uint256 index)
    {
        bytes32[] memory their = childrenOf(v, theirs);
        bytes32[] memory my = childrenOf(v, mine);
        while (their[index] == my[index]) ++index;
        steps = new Step[](1);
        steps[0] = Step(their, index);
    }

    /// @dev Both sides play until the disputed chunk lies open.
    function descend(ChallengeKey memory key, Trace memory theirs, Trace memory mine) internal {
        while (true) {
            answer(key, theirs);
            ChallengeView memory v = oracle.getChallenge(key);
            if (v.instruction != NO_INDEX && v.height == 0) return;
            pickFirst(key, theirs, mine);
        }
    }

    /// @dev A proof about one slot of the disputed chunk, operands opened from the challenger's own trace, and what lies beside them as the claim revealed it.
    function proofOf(ChallengeView memory v, Trace memory theirs, Trace memory mine, uint256 slot)
        internal
        view
        returns (Proof memory p)
    {
        p.instruction = naming(v.instruction);
        p.chunk = ToyModel.chunk(theirs.tensors[v.instruction].raw, v.position);
        p.slot = slot;
        uint64[8] memory symbols;
        (symbols[0], symbols[1]) = (uint64(input.length), 1);
        IElementEvaluator.Shape memory shape = evaluator.inspect(p.instruction.instruction, symbols);
        uint256 width = shape.byteLength / shape.elementCount;
        uint256 element = v.position * (1024 / width) + slot;
        p.openings = new IElementEvaluator.Opening[](shape.refs.length);
        p.siblings = new bytes32[][](shape.refs.length);
        for (uint256 i = 0; i < shape.refs.length; ++i) {
            Tensor memory t = operand(shape, i, theirs, mine);
            (p.openings[i], p.siblings[i]) = openingOf(t, shape.refs[i], v.instruction, element);
        }
        if (shape.opcode > 2) p.rootSiblings = Merkle.multiproof(theirs.levels, shape.refs);
    }

    function operand(IElementEvaluator.Shape memory shape, uint256 i, Trace memory theirs, Trace memory mine)
        internal
        view
        returns (Tensor memory)
    {
        if (shape.opcode == 2) return ToyModel.weight();
        if (shape.opcode > 2) return mine.tensors[shape.refs[i]];
        bytes memory source = shape.refs[i] == 0 ? input : theirs.tensors[ToyModel.OUTPUT].raw;
        return ToyModel.tensor(source, uint64(source.length));
    }

    function openingOf(Tensor memory t, uint32 ref, uint256 instruction, uint256 element)
        internal
        pure
        returns (IElementEvaluator.Opening memory o, bytes32[] memory siblings)
    {
        uint256 chunks = (t.byteLength + 1023) / 1024;
        bool whole = instruction == ToyModel.SUM;
        o.ref = ref;
        o.positions = new uint32[](whole ? chunks : 1);
        for (uint256 i = 0; i < o.positions.length; ++i) {
            // Tensors 0 and 1 read one byte an element; all others fit one chunk.
            o.positions[i] = uint32(whole ? i : chunks == 1 ? 0 : element / 1024);
            o.chunks = bytes.concat(o.chunks, ToyModel.chunk(t.raw, o.positions[i]));
        }
        siblings = Merkle.multiproof(t.levels, o.positions);
    }

    function prove(ChallengeKey memory key, Trace memory theirs, Trace memory mine, uint256 slot)
        internal
        virtual
    {
        ChallengeView memory v = oracle.getChallenge(key);
        Proof memory p = proofOf(v, theirs, mine, slot);
        vm.prank(key.challenger);
        oracle.prove(key, v.node, p);
    }

    /// @dev A whole dispute, up to conviction.
    function refute(ChallengeKey memory key, Trace memory theirs, Trace memory mine) internal {
        descend(key, theirs, mine);
        ChallengeView memory v = oracle.getChallenge(key);
        bytes memory a = ToyModel.chunk(theirs.tensors[v.instruction].raw, v.position);
        bytes memory b = ToyModel.chunk(mine.tensors[v.instruction].raw, v.position);
        uint256 byteAt;
        while (a[byteAt] == b[byteAt]) ++byteAt;
        prove(key, theirs, mine, byteAt / elementWidth(v.instruction));
    }

    function elementWidth(uint256 instruction) internal pure returns (uint256) {
        return instruction == 0 || instruction == 4 || instruction > 6 ? 1 : 4;
    }

    function status(ChallengeKey memory key) internal view returns (ChallengeStatus) {
        return oracle.getChallenge(key).status;
    }

    function assertStatus(bytes32 claimId, ClaimStatus expected) internal view {
        assertEq(uint256(oracle.getClaim(claimId).status), uint256(expected), "claim status");
    }

    function assertStatus(ChallengeKey memory key, ChallengeStatus expected) internal view {
        assertEq(uint256(status(key)), uint256(expected), "challenge status");
    }
}
