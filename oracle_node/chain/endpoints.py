"""Several RPCs of one chain behind one provider: one is used until it fails or stops, then the next that is fit."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import structlog
from web3.exceptions import Web3Exception
from web3.providers.async_base import AsyncBaseProvider, AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

log = structlog.get_logger()
_FIRST_REST_S, _LONGEST_REST_S = 2.0, 300.0
_STOPPED_AFTER_S = 60.0
_BUSY = ("rate limit", "too many requests")
_FAILURES = (OSError, TimeoutError, aiohttp.ClientError, Web3Exception, ValueError, OverflowError)


class UnfitError(OSError):
    """This RPC cannot take over: it serves another chain, or does not know the blocks that were seen already."""


@dataclass(eq=False)
class _Line:
    """One RPC, and how it has been lately."""

    name: str
    provider: AsyncBaseProvider
    failures: int = 0
    rests_until: float = 0.0


class Endpoints(AsyncJSONBaseProvider):
    """A provider over providers. Not a quorum: what the one in use says is believed, as if it were the only one.

    Another takes over where that one fails, is too busy, or shows no new block while others do; never one that is
    behind what has been seen, for its gaps would look like a reorg.
    """

    def __init__(self, providers: Sequence[AsyncBaseProvider]) -> None:
        """In order of preference; they are only numbered in logs, since their URLs may hold keys."""
        super().__init__()
        self._lines = [_Line(str(number), provider) for number, provider in enumerate(providers, 1)]
        self._current = self._lines[0]
        self._chain_id: str | None = None
        self._seen, self._progress_at = 0, time.monotonic()

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """The answer of the first RPC that gives one; the last failure where none does."""
        failure: Exception | None = None
        for line in self._by_health():
            try:
                if line is not self._current:
                    await self._require_fit(line)
                response = await line.provider.make_request(method, params)
                _require_idle(response)
            except _FAILURES as error:
                failure = error
                self._rest(line, error)
                continue
            line.failures = 0
            self._use(line, "the one in use failed")
            await self._note(method, params, response)
            return response
        assert failure is not None
        raise failure

    async def disconnect(self) -> None:
        """Close them all."""
        for line in self._lines:
            await line.provider.disconnect()

    def _by_health(self) -> list[_Line]:
        now = time.monotonic()
        return sorted(self._lines, key=lambda line: (line.rests_until > now, line is not self._current))

    def _rest(self, line: _Line, error: Exception) -> None:
        rest_s = max(
            min(_FIRST_REST_S * (1 << min(line.failures, 10)), _LONGEST_REST_S), retry_after_s(error)
        )
        line.failures += 1
        line.rests_until = time.monotonic() + rest_s
        log.warning("rpc_failed", endpoint=line.name, reason=failure_text(error), rests_s=round(rest_s, 1))

    def _use(self, line: _Line, reason: str) -> None:
        if line is not self._current:
            log.warning("rpc_switched", endpoint=line.name, instead_of=self._current.name, reason=reason)
            self._current, self._progress_at = line, time.monotonic()

    async def _require_fit(self, line: _Line) -> None:
        chain_id = await _ask(line, "eth_chainId")
        if self._chain_id is None:
            self._chain_id = chain_id
        if chain_id != self._chain_id:
            raise UnfitError(f"serves chain {int(chain_id, 16)}, the others serve {int(self._chain_id, 16)}")
        number = int(await _ask(line, "eth_blockNumber"), 16)
        if number < self._seen:
            raise UnfitError(f"is at block {number}, behind block {self._seen} that was seen already")

    async def _note(self, method: str, params: Any, response: RPCResponse) -> None:
        """Learn the chain and its head from what passes by; look around when the head has stopped."""
        result = cast(Any, response).get("result")
        if method == "eth_chainId" and self._chain_id is None and isinstance(result, str):
            self._chain_id = result
        if method != "eth_getBlockByNumber" or params[0] != "latest" or not isinstance(result, dict):
            return
        number = int(str(result.get("number") or "0x0"), 16)
        if number > self._seen:
            self._seen, self._progress_at = number, time.monotonic()
        elif time.monotonic() - self._progress_at > _STOPPED_AFTER_S:
            self._progress_at = time.monotonic()
            await self._look_around()

    async def _look_around(self) -> None:
        for line in self._lines:
            if line is self._current:
                continue
            try:
                await self._require_fit(line)
                is_ahead = int(await _ask(line, "eth_blockNumber"), 16) > self._seen
            except _FAILURES as error:
                self._rest(line, error)
                continue
            if is_ahead:
                self._use(line, f"the one in use has shown no new block for {_STOPPED_AFTER_S:g} s")
                return


async def _ask(line: _Line, method: str) -> str:
    response = cast(Any, await line.provider.make_request(RPCEndpoint(method), []))
    result = response.get("result")
    if not isinstance(result, str):
        raise UnfitError(f"has no answer to {method}")
    return result


def _require_idle(response: RPCResponse) -> None:
    """Some services say that they are too busy in an answer with status 200."""
    error = cast(Any, response).get("error")
    if isinstance(error, dict):
        text = str(error.get("message", "")).lower()
        if error.get("code") == 429 or any(hint in text for hint in _BUSY):
            raise UnfitError(f"is too busy ({text[:100]})")


def retry_after_s(error: BaseException | None) -> float:
    """What a busy server asks for: the seconds of Retry-After, at most five minutes; 0 where it says nothing."""
    if not isinstance(error, aiohttp.ClientResponseError) or error.headers is None:
        return 0.0
    given = error.headers.get("Retry-After", "")
    return min(float(given), _LONGEST_REST_S) if given.isascii() and given.isdecimal() else 0.0


def failure_text(error: BaseException) -> str:
    """What failed, without the URL: that may hold a key."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"
    return str(error) or type(error).__name__
