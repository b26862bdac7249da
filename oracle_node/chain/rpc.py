"""Connections to a node's JSON-RPC, and its failures in our terms: revert, refusal or trouble on the line."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

import aiohttp
from eth_abi.exceptions import DecodingError
from pydantic import TypeAdapter
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_delay,
    wait_exponential_jitter,
)
from web3 import AsyncWeb3
from web3.exceptions import ContractLogicError, TimeExhausted, Web3Exception, Web3RPCError
from web3.providers import AsyncHTTPProvider
from web3.providers.async_base import AsyncBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from oracle_node.chain.endpoints import Endpoints, failure_text, retry_after_s
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.socket import SocketProvider
from oracle_node.errors import ConfigError, TransientError

Web3 = AsyncWeb3[AsyncBaseProvider]
T = TypeVar("T")
_TIMEOUT_S = 30.0
_MOST_BYTES = 1 << 28
"""Of one answer: what many blocks of large requests come to; the reader asks for fewer blocks then."""
_OBJECTS = TypeAdapter(dict[str, Any])
_REPEATABLE = "eth_"
"""Methods that may be sent twice; those of development chains may not."""
_POOR = ("insufficient funds", "cannot afford")


class RefusedError(TransientError):
    """The RPC answered with an error that is not a revert: a nonce, a fee, a range, an overload."""


class MalformedError(TransientError):
    """What the RPC answered makes no sense: a proxy's error page, a cut answer, a broken or hostile server."""


class _TooLargeError(Exception):
    """An answer without an end."""


class BoundedProvider(AsyncHTTPProvider):
    """HTTP, with limits on what one answer may take in memory and stack.

    It has a session of its own: web3's are behind one lock of the whole process, which a request that is cancelled
    while it waits there may never give back; every request after it would wait for ever.
    """

    _session: aiohttp.ClientSession | None = None

    async def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        try:
            return await self._post(request_data)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError):
            # most likely a kept connection that the server had closed meanwhile; a raw transaction is itself idempotent
            if not method.startswith(_REPEATABLE):
                raise
            return await self._post(request_data)

    async def _post(self, request_data: bytes) -> bytes:
        assert self.endpoint_uri is not None
        if self._session is None:
            self._session = aiohttp.ClientSession()
        async with self._session.post(
            self.endpoint_uri, data=request_data, **self.get_request_kwargs()
        ) as response:
            response.raise_for_status()
            body = bytearray()
            async for part in response.content.iter_chunked(1 << 20):
                body += part
                if len(body) > _MOST_BYTES:
                    raise _TooLargeError
            return bytes(body)

    async def disconnect(self) -> None:
        """Close the session; a later request would open another."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    @staticmethod
    def decode_rpc_response(raw_response: bytes) -> RPCResponse:
        """What the answer says; ValueError where it is no JSON object, or nested deeper than any answer.

        The standard library's parser overflows the stack on deep nesting once a package has raised Python's own limit.
        """
        return cast(RPCResponse, _OBJECTS.validate_json(raw_response))


@asynccontextmanager
async def connect(*urls: str, timeout_s: float = _TIMEOUT_S) -> AsyncIterator[Web3]:
    """A client of the JSON-RPC at the URL, closed at the end; nothing is sent yet.

    Of several URLs, in order of preference, the next takes over where one fails (see `Endpoints`).
    """
    providers = [_provider(url, timeout_s) for url in urls]
    provider = providers[0] if len(providers) == 1 else Endpoints(providers)
    try:
        yield web3_over(provider)
    finally:
        await provider.disconnect()


def web3_over(provider: AsyncBaseProvider) -> Web3:
    """Without web3's middleware: it asks for the chain id before every call, which doubles the calls, refuses the
    blocks of proof-of-authority chains, and resolves names that we do not take. The chain id is checked once, and
    signed into every transaction.
    """
    provider.global_ccip_read_enabled = (
        False  # a contract's revert must not make this process fetch what it names
    )
    return AsyncWeb3(provider, middleware=())


def _provider(url: str, timeout_s: float) -> AsyncBaseProvider:
    if url.startswith(("ws://", "wss://")):
        return SocketProvider(url, timeout_s, _MOST_BYTES)
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"rpc url {url!r} is not http://, https://, ws:// or wss://")
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    return BoundedProvider(url, request_kwargs={"timeout": timeout}, exception_retry_configuration=None)


@asynccontextmanager
async def translated(decoder: RevertDecoder, action: str) -> AsyncIterator[None]:
    """Turn what web3 raises inside into RevertError or a TransientError, each naming the action."""
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
        detail = failure_text(error)
        raise TransientError(f"{action}: no answer from the RPC ({detail}); is the chain running?") from error
    except _TooLargeError as error:
        raise RefusedError(f"{action}: the RPC's answer has more than {_MOST_BYTES} bytes") from error
    except _SENSELESS as error:
        raise _malformed(action, error) from error


@contextmanager
def sensible(action: str) -> Iterator[None]:
    """Taking an answer apart: MalformedError where it is not what was asked for."""
    try:
        yield
    except _SENSELESS as error:
        raise _malformed(action, error) from error


def _malformed(action: str, error: Exception) -> MalformedError:
    detail = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return MalformedError(f"{action}: the RPC's answer makes no sense ({detail})")


_SENSELESS = (
    Web3Exception, DecodingError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip
"""What web3, its formatters and decoders raise over answers that are no answers."""


def _reason(error: Web3RPCError) -> str:
    response = error.rpc_response
    if response and isinstance(response.get("error"), dict):
        return str(response["error"].get("message", error))
    return str(error)


async def patiently(
    call: Callable[[], Awaitable[T]], *, within_s: float, unless: tuple[type[TransientError], ...] = ()
) -> T:
    """The call's result, tried again with growing pauses while it fails for now; the last failure after `within_s`.

    Failures of the kinds `unless` are raised at once.
    """
    async for attempt in AsyncRetrying(
        retry=retry_if_exception(lambda e: isinstance(e, TransientError) and not isinstance(e, unless)),
        wait=_pause_s,
        stop=stop_after_delay(within_s),
        reraise=True,
    ):
        with attempt:
            return await call()
    raise AssertionError("unreachable: tenacity returns or raises")


_growing = wait_exponential_jitter(multiplier=0.2, max=10, jitter=0.2)


def _pause_s(state: RetryCallState) -> float:
    """Growing, and no shorter than a busy server has asked for."""
    error = state.outcome.exception() if state.outcome is not None else None
    return max(_growing(state), retry_after_s(error.__cause__ if error is not None else None))
