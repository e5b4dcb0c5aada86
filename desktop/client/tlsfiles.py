"""The files that a client by TLS uses. Apart from the socket, whose library takes long to load."""

from __future__ import annotations

import os
from typing import NamedTuple


class TlsFiles(NamedTuple):
    """PEM files as docker's DOCKER_CERT_PATH holds them; without `ca` the system's certificate authorities are used."""

    ca: str | None
    certificate: str | None
    key: str | None
    verify: bool = True

    @classmethod
    def in_folder(cls, folder: str, *, verify: bool) -> TlsFiles:
        def present(name: str) -> str | None:
            path = os.path.join(folder, name)
            return path if os.path.exists(path) else None

        return cls(present("ca.pem"), present("cert.pem"), present("key.pem"), verify)
