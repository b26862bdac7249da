"""Models from elsewhere: fetched whole, taken up where a fetch broke off, and verified before they are used."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from oracle_node.errors import ModelError, TransientError
from oracle_node.language.prompts import PROMPT
from oracle_node.model.directory import MANIFEST, TAPE, TOKENIZER, WEIGHTS, load_model, weights_bytes
from oracle_node.model.location import RemoteModel
from oracle_node.model.manifest import Manifest, parse_manifest

_SMALL_BYTES = 1 << 26
"""Most of a manifest, a tape or a vocabulary."""
_PIECE_BYTES = 1 << 20
_ATTEMPTS = 4
Progress = Callable[[str, int], None]
"""Called with a file's name and how many of its bytes have come by now."""


@dataclass(frozen=True)
class FetchTerms:
    """`timeout_s` bounds every wait for the server, not the whole; `max_bytes` a model's weights."""

    ipfs_gateway: str
    max_bytes: int
    timeout_s: float
    retry_s: float = 1.0


async def fetch_model(
    remote: RemoteModel, directory: Path, terms: FetchTerms, progress: Progress = lambda name, count: None
) -> None:
    """Bring a model into a directory, which appears at once and whole; nothing where it is there already.

    ModelError where what lies there is another model, damaged, or too large; TransientError where the server fails.
    What exists already is not read: `load_model` is for that.
    """
    if (directory / MANIFEST).exists():
        return
    partial = directory.with_name(directory.name + ".part")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        await _fetch_files(remote, partial, terms, progress)
        await asyncio.to_thread(_require_model, remote, partial)
        partial.rename(directory)
    except ModelError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    except OSError as error:
        raise ModelError(f"{error.filename or directory}: {error.strerror or error}") from None


async def _fetch_files(remote: RemoteModel, into: Path, terms: FetchTerms, progress: Progress) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=terms.timeout_s, sock_read=terms.timeout_s)
    async with aiohttp.ClientSession(
        timeout=timeout, headers={"Accept-Encoding": "identity"}, auto_decompress=False
    ) as session:

        async def fetch(name: str, most: int) -> None:
            await _Download(session, remote, name, into / name, most, terms, progress).run()

        await fetch(MANIFEST, _SMALL_BYTES)
        manifest = _require_named(remote, into / MANIFEST)
        size = weights_bytes(manifest)
        if size > terms.max_bytes:
            raise ModelError(
                f"{remote}: its weights have {size} bytes, at most {terms.max_bytes} are fetched"
            )
        await fetch(TAPE, _SMALL_BYTES)
        await fetch(WEIGHTS, size)
        if manifest.card.input.get("kind") == PROMPT:
            await fetch(TOKENIZER, _SMALL_BYTES)


def _require_named(remote: RemoteModel, path: Path) -> Manifest:
    """The manifest, if it says that it is the model's: a hint, which `_require_model` does not rely on."""
    manifest = parse_manifest(path.read_text("utf-8", "replace"), f"{remote}: {MANIFEST}")
    if manifest.model_id != "0x" + remote.model_id.hex():
        raise ModelError(f"{remote}: there lies model {manifest.model_id}, not 0x{remote.model_id.hex()}")
    return manifest


def _require_model(remote: RemoteModel, directory: Path) -> None:
    try:
        found = load_model(directory).model_id
    except ModelError as error:
        raise ModelError(f"{remote}: {str(error).replace(f'{directory}/', '')}") from None
    if found != remote.model_id:
        raise ModelError(f"{remote}: there lies model 0x{found.hex()}, not 0x{remote.model_id.hex()}")


@dataclass(frozen=True)
class _Download:
    """One file, in a `.part` until it is whole."""

    session: aiohttp.ClientSession
    remote: RemoteModel
    name: str
    target: Path
    most: int
    terms: FetchTerms
    progress: Progress

    async def run(self) -> None:
        if self.target.exists():
            return
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((aiohttp.ClientError, TimeoutError)),
                stop=stop_after_attempt(_ATTEMPTS),
                wait=wait_exponential(self.terms.retry_s, max=30),
                reraise=True,
            ):
                with attempt:
                    await self._continue()
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise TransientError(f"{self.remote}: {self.name}: {reason}") from None

    async def _continue(self) -> None:
        part = self.target.with_name(self.name + ".part")
        have = part.stat().st_size if part.exists() else 0
        url = self.remote.file_url(self.name, self.terms.ipfs_gateway)
        headers = {"Range": f"bytes={have}-"} if have else {}
        async with self.session.get(url, headers=headers) as response:
            if response.status == 416:  # it has no more than we have, or is another file by now
                part.unlink()
                raise aiohttp.ClientPayloadError("the file has changed")
            if response.status >= 500 or response.status == 429:
                raise aiohttp.ClientPayloadError(f"HTTP {response.status}")
            if response.status not in (200, 206):
                raise ModelError(f"{self.remote}: {self.name}: HTTP {response.status}")
            if response.status == 200:
                have = 0
            await self._receive(response, part, have)
        part.rename(self.target)

    async def _receive(self, response: aiohttp.ClientResponse, part: Path, have: int) -> None:
        with part.open("r+b" if have else "wb") as file:
            file.seek(have)
            async for piece in response.content.iter_chunked(_PIECE_BYTES):
                have += len(piece)
                if have > self.most:
                    raise ModelError(f"{self.remote}: {self.name} has more than {self.most} bytes")
                file.write(piece)
                self.progress(self.name, have)
