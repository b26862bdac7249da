"""Connections to a node's JSON-RPC, and its failures in our terms: revert, refusal or trouble on the line."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter
from web3 import AsyncWeb3
from web3.exceptions import ContractLogicError, TimeExhausted, Web3RPCError
from web3.providers import AsyncHTTPProvider

from oracle_node.chain.revert import RevertDecoder
from oracle_node.errors import ConfigError, TransientError

Web3 = AsyncWeb3[AsyncHTTPProvider]
T = TypeVar("T")
_TIMEOUT_S = 30.0
_POOR = ("insufficient funds", "cannot afford")


class RefusedError(TransientError):
    """The RPC answered with an error that is not a revert: a nonce, a fee, a range, an overload."""


@asynccontextmanager
async def connect(url: str, *, timeout_s: float = _TIMEOUT_S) -> AsyncIterator[Web3]:
    """A client of the JSON-RPC at the URL, closed at the end; nothing is sent yet."""
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"rpc url {url!r} is not http:// or https://")
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    provider = AsyncHTTPProvider(url, request_kwargs={"timeout": timeout}, exception_retry_configuration=None)
    try:
        yield AsyncWeb3(provider)
    finally:
        await provider.disconnect()


@asynccontextmanager
async def translated(decoder: RevertDecoder, action: str) -> AsyncIterator[None]:
    """Turn what web3 raises inside into RevertError, RefusedError or TransientError, each naming the action."""
    try:
        yield
    except ContractLogicError as error:
        raise decoder.decode(error.data, action, error.message) from error
    except Web3RPCError as error:
        reason = _reason(error)
        if any(hint in reason.lower() for hint in _POOR):
            raise ConfigError(
                f"{action}: the account cannot pay for it ({reason}); send it some ether"
            ) from error
        raise RefusedError(f"{action}: the RPC refused: {reason}") from error
    except TimeExhausted as error:
        raise TransientError(f"{action}: {error}") from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        detail = str(error) or type(error).__name__
        raise TransientError(f"{action}: no answer from the RPC ({detail}); is the chain running?") from error


def _reason(error: Web3RPCError) -> str:
    response = error.rpc_response
    if response and isinstance(response.get("error"), dict):
        return str(response["error"].get("message", error))
    return str(error)


async def patiently(call: Callable[[], Awaitable[T]], *, within_s: float) -> T:
    """The call's result, tried again with growing pauses while it fails for now; the last failure after `within_s`."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(TransientError),
        wait=wait_exponential_jitter(multiplier=0.2, max=10),
        stop=stop_after_delay(within_s),
        reraise=True,
    ):
        with attempt:
            return await call()
    raise AssertionError("unreachable: tenacity returns or raises")
