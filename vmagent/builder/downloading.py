"""ADD of a URL, in a helper process."""

from __future__ import annotations

import hashlib
import os
import re
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from vmagent.builder.trees import TreeFault

_BLOCK = 1 << 20
_LIMITS_S = (30.0, 120.0)  # connect, and each read
_FILE_NAME = re.compile(r'filename="?([^";]+)"?')


def fetch(url: str, into: Path, checksum: str) -> dict[str, Any]:
    """Download `url` to the file `into`. `checksum` (`sha256:…`) may be empty. Raises TreeFault, OSError."""
    import requests  # here: most workers never need it, and it doubles the time of their start

    try:
        with requests.get(url, stream=True, timeout=_LIMITS_S, headers={"Accept-Encoding": "identity"}) as reply:
            if reply.status_code >= 400:
                raise TreeFault(f"failed to load {url}: invalid response status {reply.status_code}")
            found = hashlib.sha256()
            with into.open("wb") as file:
                for block in reply.iter_content(_BLOCK):
                    found.update(block)
                    file.write(block)
            disposition = reply.headers.get("Content-Disposition", "")
            modified = reply.headers.get("Last-Modified", "")
    except requests.RequestException as e:
        raise TreeFault(f"failed to load {url}: {e}") from e
    digest = f"sha256:{found.hexdigest()}"
    if checksum and checksum != digest:
        raise TreeFault(f"digest mismatch {digest}: {checksum}")
    named = _FILE_NAME.search(disposition)
    name = os.path.basename(unquote(named[1] if named else urlsplit(url).path))
    return {"name": name or "download", "digest": digest, "mtime_ns": _time_ns(modified)}


def _time_ns(text: str) -> int:
    """An HTTP date in nanoseconds since 1970; 0 if there is none or it is invalid, as in BuildKit."""
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 1_000_000_000
    except (TypeError, ValueError):
        return 0
