"""The commands that talk to a chain, on a development chain with a liar on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from oracle_node.chain.keystore import import_key
from oracle_node.chain.types import ClaimId
from oracle_node.cli.sources import import_digits
from oracle_node.commitments.tensor import tensor_root
from oracle_node.demo.refutation import invent_lie, keep_lying
from oracle_node.demo.stage import ROLES, Stage, open_stage
from oracle_node.executors.choice import make_executor
from oracle_node.model.directory import save_model
from oracle_node.model.model import Model
from oracle_node.model.solver import Answer, solve
from oracle_node.players.adversaries import LyingClaim
from oracle_node.shipped import shipped
from tests.cli.background import Background
from tests.cli.running import Cli

SAMPLE = shipped().sample(5)
REQUEST = SAMPLE.read_bytes()[-256:]


@dataclass(frozen=True)
class Scene:
    """An oracle with a true and a false claim to the same request."""

    background: Background
    stage: Stage
    directory: Path
    truth: Answer
    honest: ClaimId
    lying: LyingClaim
    lie: ClaimId

    @property
    def chain(self) -> tuple[str, ...]:
        return "--rpc", self.stage.chain.url, "--oracle", self.stage.client.oracle, "--json"

    def key(self, role: str) -> tuple[str, str]:
        return "--dev-account", str(ROLES.index(role))


@pytest.fixture(scope="module")
def model() -> Model:
    return import_digits(8)


@pytest.fixture(scope="module")
def scene(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("scene") / "digits"
    save_model(model, directory)
    executor = make_executor(model.tape)
    truth = solve(model, executor, REQUEST)
    tensor = len(model.tape.instructions) - 4
    _, lying = invent_lie(model, executor, REQUEST, truth, tensor)
    with Background() as background:
        stage = background.open(open_stage(model, "pyevm"))
        request_id = background.run(stage.ask(REQUEST))
        honest = background.run(stage.claim("node", request_id, truth.output))
        lie = background.run(stage.claim("liar", request_id, lying.output))
        yield Scene(background, stage, directory, truth, honest, lying, lie)


def _hex(identifier: bytes) -> str:
    return "0x" + identifier.hex()


def test_deploy__dry_run__sends_nothing(oracle: Cli, scene: Scene) -> None:
    before = scene.background.run(scene.stage.client.head()).number
    ran = oracle("chain", "deploy", *scene.chain, *scene.key("user"), "--dev-limits", "--dry-run")
    assert ran.code == 0
    assert ran.json["gas"] > 1_000_000
    assert scene.background.run(scene.stage.client.head()).number == before


def test_deploy_and_register__new_oracle__lists_the_model(oracle: Cli, scene: Scene) -> None:
    deployed = oracle("chain", "deploy", *scene.chain, *scene.key("user"), "--dev-limits").json
    chain = ("--rpc", scene.stage.chain.url, "--oracle", deployed["oracle"], "--json")
    terms = ("--window", 90, "--claim-bond", "0.5", "--min-fee", "0.001", "--open")
    listed = oracle("model", "register", scene.directory, *chain, *scene.key("user"), *terms).json
    assert listed["policy"]["window"] == 90
    assert listed["policy"]["claim_bond"] == 5 * 10**17
    assert listed["policy"]["commit_reveal"] is False
    again = oracle("model", "register", scene.directory, *chain, *scene.key("user"), *terms)
    assert again.code == 1
    assert "AlreadyListed" in again.err


def test_register__terms_under_the_floor__are_a_named_refusal(oracle: Cli, scene: Scene) -> None:
    ran = oracle("model", "register", scene.directory, *scene.chain, *scene.key("user"), "--window", 1)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "BadPolicy" in ran.err


def test_request__an_image_file__is_asked_with_the_quoted_fee(oracle: Cli, scene: Scene) -> None:
    arguments = (_hex(scene.stage.listing_id), "--input", SAMPLE, "--model", scene.directory, "--nonce", 7)
    planned = oracle("request", *arguments, *scene.chain, *scene.key("user"), "--dry-run").json
    asked = oracle("request", *arguments, *scene.chain, *scene.key("user")).json
    assert asked["request_id"] == planned["request_id"]
    assert asked["cost_wei"] == scene.stage.policy.min_fee
    assert bytes.fromhex(planned["input"][2:]) == np.load(SAMPLE).astype("<f4").tobytes()
    view = scene.background.run(scene.stage.client.request(bytes.fromhex(asked["request_id"][2:])))  # type: ignore[arg-type]
    assert view.input_elements == 64
    assert view.input_root == tensor_root(bytes.fromhex(planned["input"][2:]))


def test_request__unknown_listing__is_a_named_refusal(oracle: Cli, scene: Scene) -> None:
    ran = oracle(
        "request",
        "0x" + "22" * 32,
        "--input",
        SAMPLE,
        "--model",
        scene.directory,
        *scene.chain,
        *scene.key("user"),
    )
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "neither terms nor a model of id 0x2222" in ran.err


def test_request__the_models_own_id__finds_its_only_listing_and_refuses_to_choose(
    oracle: Cli, scene: Scene
) -> None:
    arguments = (
        _hex(scene.stage.model.model_id),
        "--input",
        SAMPLE,
        "--model",
        scene.directory,
        "--nonce",
        8,
    )
    asked = oracle("request", *arguments, *scene.chain, *scene.key("user"), "--dry-run").json
    assert asked["listing_id"] == _hex(scene.stage.listing_id)
    terms = ("--window", 91, "--claim-bond", "0.5", "--min-fee", "0.001")
    second = oracle("model", "register", scene.directory, *scene.chain, *scene.key("user"), *terms).json
    refused = oracle("request", *arguments, *scene.chain, *scene.key("user"), "--dry-run")
    assert refused.code == 1 and second["listing_id"] in refused.err


def test_request__raw_bytes_of_the_wrong_length__are_a_named_refusal(
    oracle: Cli, scene: Scene, tmp_path: Path
) -> None:
    (tmp_path / "short.bin").write_bytes(bytes(252))
    ran = oracle(
        "request",
        _hex(scene.stage.listing_id),
        "--input",
        tmp_path / "short.bin",
        *scene.chain,
        *scene.key("user"),
    )
    assert ran.code == 1
    assert "BadLength" in ran.err


def test_audit__true_and_false_claim__are_told_apart(oracle: Cli, scene: Scene) -> None:
    model = ("--model", scene.directory)
    true = oracle("dispute", "audit", _hex(scene.honest), *model, *scene.chain).json
    false = oracle("dispute", "audit", _hex(scene.lie), *model, *scene.chain).json
    assert (true["right"], true["reason"]) == (True, None)
    assert false["right"] is False
    assert "output differs" in false["reason"]


def test_open__a_true_claim__is_refused_before_any_bond(oracle: Cli, scene: Scene) -> None:
    ran = oracle(
        "dispute", "open", _hex(scene.honest), "--model", scene.directory, *scene.chain, *scene.key("watcher")
    )
    assert ran.code == 1
    assert "the claim is right" in ran.err


def test_cost__of_a_claim__bounds_what_its_dispute_took(oracle: Cli, scene: Scene) -> None:
    found = oracle("dispute", "cost", _hex(scene.lie), "--model", scene.directory, *scene.chain).json
    assert found["step_bytes"] <= 12 * 1024
    assert found["reward_wei"] == scene.stage.policy.claim_bond // 2
    assert 3 <= found["rounds"] <= 6
    assert found["challenger_gas"] + found["defender_gas"] > 500_000


def test_open_show_play__a_lie__is_refuted_from_the_command_line(oracle: Cli, scene: Scene) -> None:
    model, key = ("--model", scene.directory), scene.key("watcher")
    planned = oracle("dispute", "open", _hex(scene.lie), *model, *scene.chain, *key, "--dry-run").json
    opened = oracle("dispute", "open", _hex(scene.lie), *model, *scene.chain, *key).json
    assert opened["challenge_id"] == planned["challenge_id"]
    listed = oracle("dispute", "list", *scene.chain).json["challenges"]
    assert [row["challenge_id"] for row in listed] == [opened["challenge_id"]]
    assert listed[0]["turn"] == "DEFENDER"
    lying = scene.background.start(keep_lying(scene.stage, scene.lie, scene.lying))
    played = oracle("dispute", "play", opened["challenge_id"], *model, *scene.chain, *key).json
    lying.result(30)
    assert played["status"] == "WON"
    assert [move["move"] for move in played["moves"]][-1] == "prove"
    shown = oracle("dispute", "show", opened["challenge_id"], *model, *scene.chain).json
    assert shown["status"] == "WON"
    assert shown["proved"]["claimed"] != shown["proved"]["computed"]
    drawn = oracle("dispute", "show", opened["challenge_id"], *model, *scene.chain[:-1])
    assert "█" in drawn.out
    assert "recomputed" in drawn.out


def test_run__dry_run__checks_everything_and_starts_nothing(
    oracle: Cli, scene: Scene, tmp_path: Path
) -> None:
    import_key(tmp_path / "key.json", "0x" + "33" * 32, "secret", iterations=2)
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "node.toml").write_text(
        f"""
        models = ["{scene.directory}"]
        [chain]
        rpc = "{scene.stage.chain.url}"
        chain_id = 31337
        oracle = "{scene.stage.client.oracle}"
        [key]
        keystore = "key.json"
        password_file = "password"
        """
    )
    ran = oracle("run", "--config", tmp_path / "node.toml", "--dry-run", "--json")
    assert ran.code == 0
    assert ran.json["models"] == [_hex(scene.stage.model.model_id)]
    assert "answer" in ran.json["roles"]
    (tmp_path / "password").write_text("wrong\n")
    refused = oracle("run", "--config", tmp_path / "node.toml", "--dry-run", "--json")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "wrong password" in refused.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("dispute", "list", "--rpc", "http://127.0.0.1:9", "--oracle", "0x" + "00" * 20),
            "no answer from the RPC",
        ),
        (("dispute", "list", "--rpc", "ftp://x", "--oracle", "0x" + "00" * 20), "is not http"),
        (("dispute", "list"), "which oracle?"),
        (("dispute", "audit", "0x1234", "--oracle", "0x" + "00" * 20), "is not 32 bytes"),
    ],
    ids=["dead rpc", "bad url", "no oracle", "bad id"],
)
def test_commands__called_with_what_cannot_work__say_so_in_one_line(
    oracle: Cli, arguments: tuple[str, ...], words: str
) -> None:
    ran = oracle(*arguments)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert words in ran.err


def test_audit__claim_that_does_not_exist__is_one_line(oracle: Cli, scene: Scene) -> None:
    ran = oracle("dispute", "audit", "0x" + "44" * 32, "--model", scene.directory, *scene.chain)
    assert ran.code == 1
    assert "no revealed claim" in ran.err


def test_sending__without_a_key__says_which_options_give_one(oracle: Cli, scene: Scene) -> None:
    ran = oracle("dispute", "open", _hex(scene.lie), "--model", scene.directory, *scene.chain)
    assert ran.code == 1
    assert "--keystore" in ran.err
