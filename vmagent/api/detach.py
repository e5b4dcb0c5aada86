"""Detach keys: a sequence typed at a terminal that leaves the container running (default Ctrl-P Ctrl-Q)."""

from __future__ import annotations

from vmagent.errors import BadRequest

DEFAULT_KEYS = b"\x10\x11"
CONTROLS = "abcdefghijklmnopqrstuvwxyz@[\\]^_"


def parse(text: str) -> bytes:
    """The bytes of "ctrl-a,x"; "" is the default. Raises BadRequest."""
    if not text:
        return DEFAULT_KEYS
    keys = bytearray()
    for key in text.split(","):
        if len(key) == 6 and key.startswith("ctrl-") and key[5] in CONTROLS:
            keys.append(ord(key[5].upper()) & 0x1F)
        elif key == "DEL":
            keys.append(0x7F)
        elif len(key) == 1 and key.isascii():
            keys.append(ord(key))
        else:
            raise BadRequest(f"Invalid detach keys ({text}) provided")
    return bytes(keys)


class DetachScanner:
    """Finds the detach keys in typed input, also when they arrive one by one.

    Input that may be the beginning of the sequence is held back. If it turns out to be something else, it is passed on
    in order.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._seen = 0  # how many keys of the sequence the input so far ends with

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(input for the process, whether the sequence is complete). After True the scanner must not be used again."""
        keys = self._keys
        if not self._seen and keys[0] not in data:
            return data, False
        out = bytearray()
        for byte in data:
            while self._seen and byte != keys[self._seen]:
                # Fall back to the longest shorter prefix that the input still ends with (Knuth-Morris-Pratt).
                held = keys[: self._seen]
                keep = next(n for n in range(self._seen - 1, -1, -1) if held.endswith(keys[:n]))
                out += held[: self._seen - keep]
                self._seen = keep
            if byte == keys[self._seen]:
                self._seen += 1
                if self._seen == len(keys):
                    return bytes(out), True
            else:
                out.append(byte)
        return bytes(out), False

    def rest(self) -> bytes:
        """The input that is still held back, once no more will come."""
        held = self._keys[: self._seen]
        self._seen = 0
        return held
