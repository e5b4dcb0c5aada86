"""JSON by CPython's accelerator without the `json` package, which loads `re`: too much memory for the supervisor.

For the messages between our processes the results equal json.dumps(separators=(",", ":")) and json.loads.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


class _Context:
    """The attributes that make_scanner reads from its decoder (json/decoder.py's JSONDecoder has the same)."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"not of JSON: {type(value).__name__}")


_scan: Any = make_scanner(_Context())  # type: ignore[arg-type]
_encode: Any = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False)


def dumps(value: object) -> str:
    """`value` as compact JSON, ASCII only. Raises TypeError for a type that JSON does not have."""
    return "".join(_encode(value, 0))


def loads(text: str) -> Any:
    """Parse the value at the beginning of `text`, without leading space. Raises ValueError."""
    try:
        return _scan(text, 0)[0]
    except StopIteration as e:
        raise ValueError(f"not JSON: {text[:80]!r}") from e
