"""JSON from strangers, read as Go reads it."""

from __future__ import annotations

import json
from typing import Any


def loads(data: bytes) -> Any:
    """The value. Half of a surrogate pair, which no UTF-8 can carry on to a client, becomes U+FFFD, as in Go's
    encoding/json. Raises ValueError, also for bytes that are no UTF-8; RecursionError for what is nested too deeply.
    """
    text = data.decode("utf-8-sig")
    value = json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        joined = json.dumps(value, ensure_ascii=False)
        value = json.loads(joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
    return value
