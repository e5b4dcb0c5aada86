"""The user's terminal: whether there is one, its size, raw mode, and the keys that detach from a container.

POSIX terminals by termios(3); on Windows the console's modes (SetConsoleMode, "High-Level Console Modes").
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"


def is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def size_of(fd: int) -> tuple[int, int] | None:
    """Rows and columns of the terminal `fd`; None if `fd` is not a terminal or has no size."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


@contextmanager
def raw(fd: int) -> Iterator[None]:
    """Raw mode: each key is passed on unchanged and not echoed. The former mode is restored at the end."""
    if sys.platform == "win32":
        with _raw_console():
            yield
    else:
        import termios
        import tty

        before = termios.tcgetattr(fd)
        try:
            tty.setraw(fd, termios.TCSANOW)  # not TCSAFLUSH, which would discard input that the user has typed already
            yield
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


if sys.platform == "win32":
    import ctypes

    _STD_INPUT, _STD_OUTPUT = -10, -11
    _RAW_INPUT = 0x0200  # ENABLE_VIRTUAL_TERMINAL_INPUT and nothing else: no line input, echo, Ctrl-C
    _RAW_OUTPUT = 0x0001 | 0x0004 | 0x0008  # PROCESSED, VIRTUAL_TERMINAL_PROCESSING, DISABLE_NEWLINE_AUTO_RETURN

    @contextmanager
    def _raw_console() -> Iterator[None]:
        kernel32 = ctypes.windll.kernel32
        before: list[tuple[int, int]] = []
        for which, mode in ((_STD_INPUT, _RAW_INPUT), (_STD_OUTPUT, _RAW_OUTPUT)):
            handle, old = kernel32.GetStdHandle(which), ctypes.c_uint32()
            if kernel32.GetConsoleMode(handle, ctypes.byref(old)) and kernel32.SetConsoleMode(handle, mode):
                before.append((handle, old.value))
        try:
            yield
        finally:
            for handle, mode in before:
                kernel32.SetConsoleMode(handle, mode)


def parse_detach_keys(text: str) -> bytes:
    """docker's `--detach-keys`: letters and ctrl-<x>, with commas between. Raises ValueError."""
    keys = bytearray()
    for part in text.split(","):
        if len(part) == 1 and part.isascii():
            keys.append(ord(part))
            continue
        letter = part.removeprefix("ctrl-")
        if part == letter or len(letter) != 1 or letter not in "abcdefghijklmnopqrstuvwxyz@[\\]^_":
            raise ValueError(f"Unknown character: '{part}'")
        keys.append(ord(letter.upper()) & 0x1F)
    return bytes(keys)


class DetachKeys:
    """Searches the input for the keys that detach. Input that only began like them is passed on."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._seen = 0

    def pass_on(self, typed: bytes) -> tuple[bytes, bool]:
        """What to send of `typed`, and whether the keys are complete (the rest is dropped then)."""
        if not self._keys:
            return typed, False
        out = bytearray()
        for value in typed:
            if value == self._keys[self._seen]:
                self._seen += 1
                if self._seen == len(self._keys):
                    return bytes(out), True
                continue
            if self._seen:
                out += self._keys[: self._seen]
                self._seen = 0
                if value == self._keys[0]:
                    self._seen = 1
                    if len(self._keys) > 1:
                        continue
            out.append(value)
        return bytes(out), False


@contextmanager
def watching_size(fd: int, on_change: Callable[[int, int], None]) -> Iterator[None]:
    """`on_change(rows, columns)` for every change of the window's size, in a thread of its own (SIGWINCH)."""
    if sys.platform == "win32" or not is_terminal(fd):
        yield
        return
    import queue
    import signal
    import threading

    changes: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def follow() -> None:
        while changes.get():
            if (size := size_of(fd)) is not None:
                on_change(*size)

    before = signal.signal(signal.SIGWINCH, lambda *_: changes.put(True))
    follower = threading.Thread(target=follow, name="window size", daemon=True)
    follower.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before if before is not None else signal.SIG_DFL)
        changes.put(False)
