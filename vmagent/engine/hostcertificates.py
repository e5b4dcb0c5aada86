"""The certificates of registries that the machine around the engine's VM has, as files for pulls and pushes.

They lie as docker's /etc/docker/certs.d has them, in a folder that is replaced as a whole with each change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from vmagent.errors import BadRequest

_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*\.(?:crt|cert|key)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_NAME = 255  # NAME_MAX: a host's name is a folder's
_LINK = "certs.d"


@dataclass(frozen=True, slots=True)
class Certificate:
    """One file of one registry, HOST[:PORT]. `text` is PEM."""

    host: str
    name: str
    text: str


def folder_in(surroundings: Path) -> Path:
    """Where `write` puts them."""
    return surroundings / _LINK


def parse(value: Any) -> tuple[Certificate, ...]:
    """Raises BadRequest: no list of such files, or a name that is no host's or no file's."""
    try:
        found = tuple(Certificate(**one) for one in value) if isinstance(value, list) else None
    except TypeError:
        found = None
    if found is None:
        raise BadRequest("the certificates must be a list of objects with host, name and text")
    for one in found:
        if not _fits(one.host, _HOST):
            raise BadRequest(f"invalid host of certificates: {one.host}")
        if not _fits(one.name, _FILE) or not _is_utf8(one.text):
            raise BadRequest(f"invalid file of certificates of {one.host}: {one.name}")
    if len({(one.host, one.name) for one in found}) < len(found):
        raise BadRequest("a file of certificates is given twice")
    return found


def _fits(name: Any, form: re.Pattern[str]) -> bool:
    return isinstance(name, str) and len(name) <= _MAX_NAME and form.fullmatch(name) is not None


def _is_utf8(text: Any) -> bool:
    """JSON may have halves of surrogate pairs, which no file in UTF-8 has."""
    return isinstance(text, str) and not _SURROGATE.search(text)


def write(surroundings: Path, certificates: Sequence[Certificate]) -> None:
    """Have these files, and no others, in the folder. A reader finds the old ones or the new ones. Raises OSError."""
    digest = hashlib.sha256(json.dumps([astuple(one) for one in certificates]).encode()).hexdigest()[:16]
    made = surroundings / f"{_LINK}-{digest}"
    link, following = folder_in(surroundings), surroundings / f".{_LINK}"
    if not made.exists():
        work = surroundings / f".{_LINK}-{digest}"
        shutil.rmtree(work, ignore_errors=True)  # of an engine that was killed meanwhile
        work.mkdir(mode=0o700)
        for one in certificates:
            (work / one.host).mkdir(mode=0o700, exist_ok=True)
            fd = os.open(work / one.host / one.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                file.write(one.text)
        work.rename(made)
    following.unlink(missing_ok=True)
    following.symlink_to(made.name)
    following.rename(link)
    for older in surroundings.glob(f"{_LINK}-*"):
        if older != made:
            shutil.rmtree(older)
