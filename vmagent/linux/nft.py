"""nftables through libnftables(3), loaded into this process; loading takes about a millisecond."""

from __future__ import annotations

import ctypes
import errno
import functools
import threading

_LIBRARY = "libnftables.so.1"


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
            code = errno.ENOENT if "No such file" in first else errno.EINVAL
            raise NftError(code, f"nftables: {first}")
        return printed

    def close(self) -> None:
        with self._lock:
            if self._context:
                self._library.nft_ctx_free(self._context)
                self._context = None
