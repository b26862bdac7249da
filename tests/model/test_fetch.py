"""Models by URI: fetched from a real server, taken up again, and refused unless they are the model asked for."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from oracle_node.config import parse_config
from oracle_node.errors import ConfigError, ModelError, TransientError
from oracle_node.model.directory import load_model, save_model
from oracle_node.model.fetch import FetchTerms, fetch_model
from oracle_node.model.location import RemoteModel, parse_location
from oracle_node.node.fetching import with_models_here
from tests.e2e.arena import toy

MODEL_ID = toy().model.model_id
TERMS = FetchTerms("http://127.0.0.1:1", 1 << 20, timeout_s=0.3, retry_s=0.0)


@dataclass
class Server:
    """Serves a model's files; `cut` breaks a file's first answers off after so many bytes, `instead` replaces one."""

    files: dict[str, bytes]
    url: str = ""
    instead: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rsplit("/", 1)[1]
        self.asked.append((request.path, request.headers.get("Range", "")))
        if name in self.status:
            return web.Response(status=self.status[name])
        data = self.instead.get(name, self.files.get(name))
        if data is None:
            return web.Response(status=404)
        start = int(request.headers["Range"].split("=")[1].rstrip("-")) if "Range" in request.headers else 0
        if start and start >= len(data):
            return web.Response(status=416)
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(data) - start
        await response.prepare(request)
        cuts = self.cut.get(name, [])
        stop = cuts.pop(0) if cuts else len(data)
        await response.write(data[start:stop])
        if stop < len(data):
            assert request.transport is not None
            request.transport.close()
        return response

    @property
    def remote(self) -> RemoteModel:
        return RemoteModel(f"{self.url}/toy/", MODEL_ID)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """The toy's files on a port of this machine."""
    save_model(toy().model, tmp_path / "source")
    serving = Server({path.name: path.read_bytes() for path in (tmp_path / "source").iterdir()})
    app = web.Application()
    app.router.add_get("/{path:.*}", serving.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    serving.url = f"http://{host}:{port}"
    yield serving
    await runner.cleanup()


async def test_fetch__model_on_a_server__is_the_model(server: Server, tmp_path: Path) -> None:
    await fetch_model(server.remote, tmp_path / "here", TERMS)
    assert load_model(tmp_path / "here").model_id == MODEL_ID
    count = len(server.asked)
    await fetch_model(server.remote, tmp_path / "here", TERMS)
    assert len(server.asked) == count == 3
    assert {path.name for path in tmp_path.iterdir()} == {"source", "here"}


async def test_fetch__ipfs__through_the_gateway(server: Server, tmp_path: Path) -> None:
    terms = FetchTerms(server.url + "/", 1 << 20, 0.3)
    await fetch_model(RemoteModel("ipfs://bafyCID/toy", MODEL_ID), tmp_path / "here", terms)
    assert server.asked[0][0] == "/ipfs/bafyCID/toy/model.json"
    assert load_model(tmp_path / "here").model_id == MODEL_ID


async def test_fetch__connection_breaks__goes_on_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cut["weights.bin"] = [1000, 2000]
    seen: list[tuple[str, int]] = []
    await fetch_model(server.remote, tmp_path / "here", TERMS, lambda name, count: seen.append((name, count)))
    ranges = [asked for path, asked in server.asked if path.endswith("weights.bin")]
    assert ranges == ["", "bytes=1000-", "bytes=2000-"]
    assert seen[-1] == ("weights.bin", len(server.files["weights.bin"]))
    assert load_model(tmp_path / "here").model_id == MODEL_ID


async def test_fetch__server_gives_up__next_fetch_goes_on(server: Server, tmp_path: Path) -> None:
    server.cut["weights.bin"] = [500, 900, 1300, 1700]
    with pytest.raises(TransientError, match=r"/toy/: weights.bin: "):
        await fetch_model(server.remote, tmp_path / "here", TERMS)
    assert not (tmp_path / "here").exists()
    await fetch_model(server.remote, tmp_path / "here", TERMS)
    assert server.asked[-1] == ("/toy/weights.bin", "bytes=1700-")
    assert [path for path, _ in server.asked].count("/toy/model.json") == 1
    assert load_model(tmp_path / "here").model_id == MODEL_ID


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("weights.bin", lambda d: flipped(d, 7), "weights.bin: weight 0 is corrupt"),
        ("weights.bin", lambda d: d[:-1], "weights.bin: .* do not hold the weights"),
        ("weights.bin", lambda d: d + b"\0", "weights.bin has more than"),
        ("tape.bin", lambda d: flipped(d, len(d) - 1), "."),
        ("tape.bin", lambda d: d[:-3], "tape.bin: instruction"),
        ("tape.bin", lambda d: bytes(1 << 26) + d, "tape.bin has more than"),
        ("model.json", lambda d: d[:-10], "model.json: the file: "),
        (
            "model.json",
            lambda d: d.replace(MODEL_ID.hex().encode(), b"ab" * 32),
            f"there lies model 0x{'ab' * 32}, not 0x{MODEL_ID.hex()}",
        ),
    ],
)
async def test_fetch__other_bytes__refused_in_one_line_and_nothing_kept(
    server: Server, tmp_path: Path, name: str, change: object, message: str
) -> None:
    server.instead[name] = change(server.files[name])  # type: ignore[operator]
    with pytest.raises(ModelError, match=message) as caught:
        await fetch_model(server.remote, tmp_path / "here", TERMS)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(server.url)
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


async def test_fetch__other_model_that_names_itself_so__refused(server: Server, tmp_path: Path) -> None:
    wanted = RemoteModel(server.remote.uri, b"\x11" * 32)
    server.instead["model.json"] = server.files["model.json"].replace(MODEL_ID.hex().encode(), b"11" * 32)
    with pytest.raises(ModelError, match=f"the files make up model 0x{MODEL_ID.hex()}, not 0x11"):
        await fetch_model(wanted, tmp_path / "here", TERMS)


@pytest.mark.parametrize(("status", "kind"), [(404, ModelError), (503, TransientError)])
async def test_fetch__server_refuses__said_with_its_status(
    server: Server, tmp_path: Path, status: int, kind: type[Exception]
) -> None:
    server.status["tape.bin"] = status
    with pytest.raises(kind, match=f"tape.bin: HTTP {status}"):
        await fetch_model(server.remote, tmp_path / "here", TERMS)


async def test_fetch__weights_over_the_limit__not_begun(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="at most 100 are fetched"):
        await fetch_model(server.remote, tmp_path / "here", FetchTerms("", 100, 1.0))
    assert [path for path, _ in server.asked] == ["/toy/model.json"]


async def test_fetch__nobody_listens__transient(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"http://127.0.0.1:1/toy: model.json: "):
        await fetch_model(RemoteModel("http://127.0.0.1:1/toy", MODEL_ID), tmp_path / "here", TERMS)


async def test_node__models_by_uri__are_here_before_it_starts(server: Server, tmp_path: Path) -> None:
    uri = f"{server.url}/toy#0x{MODEL_ID.hex()}"
    config = parse_config(
        {
            "chain": {"rpc": "http://localhost", "chain_id": 1, "oracle": "0x"},
            "key": {"keystore": "unused"},
            "models": [f"file://{tmp_path}/source", uri],
            "llama": {"models": {uri: "draft.gguf"}},
            "fetch": {"cache": str(tmp_path / "cache")},
        }
    )
    here = await with_models_here(config)
    cached = tmp_path / "cache" / MODEL_ID.hex()
    assert here.directories == (tmp_path / "source", cached)
    assert here.llama.models == {cached: Path("draft.gguf")}
    assert load_model(cached).model_id == MODEL_ID


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://host/toy", "end it with #0x"),
        ("https://host/toy#0x12", "end it with #0x"),
        ("ftp://host/toy#0x" + "11" * 32, "file, http, https or ipfs URI"),
        ("file://host/toy", "a file of another machine"),
        ("ipfs:///toy#0x" + "11" * 32, "names no content"),
    ],
)
def test_location__not_a_models__config_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(
            {
                "chain": {"rpc": "http://localhost", "chain_id": 1, "oracle": "0x"},
                "key": {"keystore": "unused"},
                "models": [text],
            }
        )


def test_location__id_given_twice__has_to_be_the_same() -> None:
    assert parse_location("https://h/m", "0x" + "aB" * 32) == RemoteModel("https://h/m", b"\xab" * 32)
    assert parse_location("models/toy") == Path("models/toy")
    assert parse_location("file:///a%20b") == Path("/a b")
    with pytest.raises(ValueError, match="names another model"):
        parse_location("https://h/m#0x" + "11" * 32, "0x" + "22" * 32)
