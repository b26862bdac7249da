"""Development chains: `anvil` where it is installed, else py-evm in this process; both speak JSON-RPC on localhost.

Time can be moved and states restored, so that windows and clocks of days pass in milliseconds.
"""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiohttp import web
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3.types import RPCEndpoint

from oracle_node.chain.pyevm import GAS_LIMIT, PyEvmChain, RpcError
from oracle_node.chain.rpc import Web3, connect
from oracle_node.errors import ConfigError, TransientError

Engine = Literal["auto", "anvil", "pyevm"]
CHAIN_ID = 31337
BALANCE_WEI = 10_000 * 10**18
_START_TIMEOUT_S = 20.0
_MAX_BODY_BYTES = 16 << 20


@dataclass(frozen=True)
class DevChain:
    """A running development chain; `accounts` are funded and their keys are public knowledge."""

    engine: str
    url: str
    accounts: tuple[LocalAccount, ...]
    web3: Web3

    async def advance(self, seconds: int) -> None:
        """Let the chain's clock run on and mine a block at the new time."""
        await self._request("evm_increaseTime", hex(seconds))
        await self._request("evm_mine")

    async def mine(self, blocks: int = 1) -> None:
        """Mine empty blocks."""
        for _ in range(blocks):
            await self._request("evm_mine")

    async def snapshot(self) -> str:
        """A name for the present state, good for one `revert`."""
        return str(await self._request("evm_snapshot"))

    async def revert(self, snapshot: str) -> None:
        """Go back to a snapshot: what happened since then never did, as in a reorg."""
        if not await self._request("evm_revert", snapshot):
            raise ConfigError(f"the development chain has no snapshot {snapshot}")

    async def _request(self, method: str, *params: Any) -> Any:
        response = await self.web3.provider.make_request(RPCEndpoint(method), list(params))
        if response.get("error"):
            raise TransientError(f"{method} failed on the development chain: {response['error']}")
        return response["result"]


def find_anvil(explicit: Path | None = None) -> Path | None:
    """The anvil to use: the one given, else on PATH, else installed from npm in a source checkout."""
    if explicit is not None:
        return explicit
    on_path = shutil.which("anvil")
    if on_path:
        return Path(on_path)
    modules = Path(__file__).resolve().parents[2] / "contracts" / "node_modules" / "@foundry-rs"
    return next(
        (path for path in sorted(modules.glob("anvil-*/bin/anvil")) if os.access(path, os.X_OK)), None
    )


def dev_accounts(count: int = 10) -> tuple[LocalAccount, ...]:
    """The funded accounts of every development chain: private keys 1, 2, …, worthless anywhere else."""
    return tuple(Account.from_key(number.to_bytes(32, "big")) for number in range(1, count + 1))


@asynccontextmanager
async def open_dev_chain(
    engine: Engine = "auto", *, port: int = 0, anvil: Path | None = None, accounts: int = 10
) -> AsyncIterator[DevChain]:
    """Start a development chain on localhost and stop it at the end.

    `port` 0 takes a free one; `anvil` names a program to use instead of the one found. ConfigError where anvil is
    asked for and not installed.
    """
    keys = dev_accounts(accounts)
    program = None if engine == "pyevm" else find_anvil(anvil)
    if engine == "anvil" and program is None:
        raise ConfigError("anvil is not installed: put it on PATH, or choose the pyevm engine")
    runner = _run_anvil(program, port, keys) if program else _serve_pyevm(port, keys)
    async with runner as url, connect(url) as web3:
        yield DevChain("anvil" if program else "pyevm", url, keys, web3)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _run_anvil(program: Path, port: int, keys: Sequence[LocalAccount]) -> AsyncIterator[str]:
    port = port or _free_port()
    options = ["--silent", "--accounts", "0", "--chain-id", str(CHAIN_ID), "--gas-limit", str(GAS_LIMIT)]
    process = await asyncio.create_subprocess_exec(
        str(program),
        *options,
        *["--host", "127.0.0.1", "--port", str(port), "--no-request-size-limit"],
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with connect(url) as web3:
            await _await_start(process, web3, url)
            await _fund(web3, keys)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _await_start(process: asyncio.subprocess.Process, web3: Web3, url: str) -> None:
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while not await web3.is_connected():
                if process.returncode is not None:
                    raise ConfigError(
                        f"anvil ended at once with status {process.returncode}: is {url} taken?"
                    )
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise ConfigError(f"anvil did not answer on {url} within {_START_TIMEOUT_S:.0f} s") from error


async def _fund(web3: Web3, keys: Sequence[LocalAccount]) -> None:
    for key in keys:
        await web3.provider.make_request(RPCEndpoint("anvil_setBalance"), [key.address, hex(BALANCE_WEI)])


@asynccontextmanager
async def _serve_pyevm(port: int, keys: Sequence[LocalAccount]) -> AsyncIterator[str]:
    ledger = PyEvmChain(CHAIN_ID, [key.address for key in keys], BALANCE_WEI)
    lock = asyncio.Lock()  # the ledger is plain single-threaded code; the loop stays free while it executes

    async def answer(call: dict[str, Any]) -> dict[str, Any]:
        head = {"jsonrpc": "2.0", "id": call.get("id")}
        try:
            async with lock:
                return head | {
                    "result": await asyncio.to_thread(ledger.request, call["method"], call["params"])
                }
        except RpcError as error:
            data = {} if error.data is None else {"data": "0x" + error.data.hex()}
            return head | {"error": {"code": error.code, "message": error.message} | data}

    async def handle(request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response(
            [await answer(c) for c in body] if isinstance(body, list) else await answer(body)
        )

    application = web.Application(client_max_size=_MAX_BODY_BYTES)
    application.router.add_post("/", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
