"""nftables through libnftables(3), loaded into this process; loading takes about a millisecond."""

from __future__ import annotations

import ctypes
import errno
import functools
import socket
import threading

from vmagent.linux.netlink import NETFILTER, attributes, messages

_LIBRARY = "libnftables.so.1"
_CODES = {"No such file": errno.ENOENT, "File exists": errno.EEXIST}  # by libnftables' words, which have the kernel's


class NftError(OSError):
    """The kernel or libnftables refused a ruleset; `str()` holds the first line of the explanation."""


@functools.cache
def load() -> ctypes.CDLL:
    """The library, loaded once in a process. Raises NftError where it is not installed."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as e:
        raise NftError(errno.ENOENT, f"{_LIBRARY} is not installed (Debian: apt-get install libnftables1)") from e
    library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
        getattr(library, name).restype = ctypes.c_char_p
    return library


class Nft:
    """One libnftables context. A call works on the calling thread's network namespace. Thread-safe."""

    def __init__(self) -> None:
        """Raises NftError where the library is not installed."""
        library = load()
        context = library.nft_ctx_new(0)
        if not context:
            raise NftError(errno.ENOMEM, "libnftables gave no context")
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        self._library, self._context = library, context
        self._lock = threading.Lock()

    def run(self, commands: str) -> str:
        """Apply `commands` as one transaction; returns their output. On NftError nothing was applied."""
        with self._lock:
            status = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
            printed = (self._library.nft_ctx_get_output_buffer(self._context) or b"").decode(errors="replace")
            words = (self._library.nft_ctx_get_error_buffer(self._context) or b"").decode(errors="replace")
        if status:
            first = next((line for line in words.splitlines() if line.strip()), "no reason given")
            codes = (code for text, code in _CODES.items() if text in first)
            raise NftError(next(codes, errno.EINVAL), f"nftables: {first}")
        return printed

    def close(self) -> None:
        with self._lock:
            if self._context:
                self._library.nft_ctx_free(self._context)
                self._context = None


_GROUP = 1 << (7 - 1)  # NFNLGRP_NFTABLES, as a mask for bind
_NFGENMSG_BYTES = 4
_DELETED_TABLE = 10 << 8 | 2  # NFNL_SUBSYS_NFTABLES, NFT_MSG_DELTABLE
_TABLE_NAME = 1  # NFTA_TABLE_NAME


class TableWatch:
    """Tells when tables of one name are deleted (<linux/netfilter/nf_tables.h>), in the namespace where it was made."""

    def __init__(self, name: str) -> None:
        """Raises OSError."""
        self._name = name.encode() + b"\0"
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETFILTER
        )
        try:
            self._socket.bind((0, _GROUP))
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def was_deleted(self) -> bool:
        """Read what has come: whether a table of the name was deleted, or that can't be known. Does not block."""
        found = False
        while True:
            try:
                data = self._socket.recv(1 << 17)
            except BlockingIOError:
                return found
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                found = True  # more came than the socket holds
                continue
            found = found or any(self._is_deletion(kind, body) for kind, _, body, _ in messages(data))

    def _is_deletion(self, kind: int, body: bytes) -> bool:
        values = dict(attributes(body[_NFGENMSG_BYTES:])) if kind == _DELETED_TABLE else {}
        return values.get(_TABLE_NAME) == self._name

    def close(self) -> None:
        self._socket.close()
