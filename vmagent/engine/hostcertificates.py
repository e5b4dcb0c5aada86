"""The certificates of registries that the machine around the engine's VM has, as files for pulls and pushes.

They lie as docker's /etc/docker/certs.d has them, in a folder that is replaced as a whole with each change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmagent.errors import BadRequest

Certificates = Mapping[str, Mapping[str, str]]  # HOST[:PORT] → name of a file → PEM
_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*\.(?:crt|cert|key)")
_LINK = "certs.d"


def folder_in(surroundings: Path) -> Path:
    """Where `write` puts them."""
    return surroundings / _LINK


def parse(value: Any) -> Certificates:
    """Raises BadRequest: no object of objects of texts, or a name that is no host's or no file's."""
    if not isinstance(value, dict):
        raise BadRequest("the certificates must be an object of hosts")
    for host, files in value.items():
        if not _HOST.fullmatch(host):
            raise BadRequest(f"invalid host of certificates: {host}")
        if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
            raise BadRequest(f"the certificates of {host} must be an object of files")
        for name in files:
            if not _FILE.fullmatch(name):
                raise BadRequest(f"invalid file of certificates of {host}: {name}")
    return value


def write(surroundings: Path, certificates: Certificates) -> None:
    """Have these files, and no others, in the folder. A reader finds the old ones or the new ones. Raises OSError."""
    digest = hashlib.sha256(json.dumps(certificates, sort_keys=True).encode()).hexdigest()[:16]
    made = surroundings / f"{_LINK}-{digest}"
    link, following = folder_in(surroundings), surroundings / f".{_LINK}"
    if not made.exists():
        work = surroundings / f".{_LINK}-{digest}"
        shutil.rmtree(work, ignore_errors=True)  # of an engine that was killed meanwhile
        for host, files in certificates.items():
            (work / host).mkdir(mode=0o700, parents=True)
            for name, text in files.items():
                fd = os.open(work / host / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with open(fd, "w", encoding="utf-8") as file:
                    file.write(text)
        work.mkdir(mode=0o700, exist_ok=True)
        work.rename(made)
    following.unlink(missing_ok=True)
    following.symlink_to(made.name)
    following.rename(link)
    for older in surroundings.glob(f"{_LINK}-*"):
        if older != made:
            shutil.rmtree(older)
