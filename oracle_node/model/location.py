"""Where a model is: a directory, or a URI with the id that what lies there must have."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import BeforeValidator

_REMOTE = ("http", "https", "ipfs")
_ID = re.compile("0x[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class RemoteModel:
    """A model directory on a server or in IPFS. The id is part of the reference: what is fetched is held to it."""

    uri: str
    model_id: bytes

    def __str__(self) -> str:
        return self.uri

    def file_url(self, name: str, ipfs_gateway: str) -> str:
        """Where one of its files is fetched from; `ipfs://CID/path` becomes a path of the gateway."""
        parts = urlsplit(self.uri)
        if parts.scheme == "ipfs":
            path = f"{ipfs_gateway.rstrip('/')}/ipfs/{parts.netloc}{parts.path.rstrip('/')}"
            return f"{path}/{name}"
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


Location = Path | RemoteModel


def parse_location(text: str, model_id: str | None = None) -> Location:
    """A path, `file:///path`, or `https://…`, `http://…`, `ipfs://CID` with `#0x…`, the model's id.

    ValueError for other schemes and where no id is given, neither in the URI nor as `model_id`.
    """
    parts = urlsplit(text)
    if len(parts.scheme) < 2:
        return Path(text)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ValueError(f"{text}: a file of another machine; write file:///path")
        return Path(unquote(parts.path))
    if parts.scheme not in _REMOTE:
        raise ValueError(f"{text}: a model is at a path, or at a file, http, https or ipfs URI")
    if not parts.netloc:
        raise ValueError(f"{text}: names no {'content' if parts.scheme == 'ipfs' else 'host'}")
    wanted = model_id or parts.fragment
    if not _ID.fullmatch(wanted):
        raise ValueError(f"{text}: end it with #0x… and the 64 digits of the model's id")
    if parts.fragment and parts.fragment.lower() != wanted.lower():
        raise ValueError(f"{text}: names another model than 0x{wanted[2:].lower()}")
    return RemoteModel(urlunsplit(parts._replace(fragment="")), bytes.fromhex(wanted[2:]))


def _parsed(value: Any) -> Any:
    return parse_location(value) if isinstance(value, str) else value


ModelLocation = Annotated[Location, BeforeValidator(_parsed)]
"""A `Location` in a configuration."""
