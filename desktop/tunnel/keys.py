"""The two SSH key pairs of one VM: the client's and the VM's host key. Made at the VM's first start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class KeyFiles(NamedTuple):
    """Private keys in OpenSSH's format; each public half lies beside it with `.pub`."""

    client: Path
    host: Path

    @property
    def client_public(self) -> Path:
        return self.client.with_name(self.client.name + ".pub")

    @property
    def host_public(self) -> Path:
        return self.host.with_name(self.host.name + ".pub")


def ensure_keys(files: KeyFiles, known_hosts: Path) -> None:
    """Make the pairs that are missing, and `known_hosts` with the VM's key under the name `cove`. Raises OSError."""
    for private, comment in ((files.client, "cove"), (files.host, "cove-vm")):
        public = private.with_name(private.name + ".pub")
        if private.exists() and public.exists():
            continue
        secret, line = _new_pair()
        _write(private, secret)
        _write(public, line + b" " + comment.encode() + b"\n")
    _write(known_hosts, b"cove " + files.host_public.read_bytes())


def _new_pair() -> tuple[bytes, bytes]:
    """A private key, and the first two words of its public half."""
    from cryptography.hazmat.primitives import serialization  # slow to load, and needed once in a home's life
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    encoding, plain = serialization.Encoding, serialization.NoEncryption()
    secret = key.private_bytes(encoding.PEM, serialization.PrivateFormat.OpenSSH, plain)
    return secret, key.public_key().public_bytes(encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def _write(path: Path, data: bytes) -> None:
    """Replace `path` atomically; other users can read it at no time."""
    half = path.with_name(path.name + ".new")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
