"""What docker encodes into query parameters and headers: filters, times, registry credentials, terminal sizes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection
from datetime import datetime
from typing import Any

from vmagent.api import gojson
from vmagent.api.messages import Query, Request
from vmagent.errors import BadRequest
from vmagent.images.platforms import Platform

_PLATFORM_FIELDS = ("os", "architecture", "variant", "os.version")
_SECONDS = re.compile(r"(-?\d{1,12})(?:\.(\d{1,9})\d*)?")


def filters(query: Query, known: Collection[str]) -> dict[str, list[str]]:
    """`filters` in either JSON form: {"label":{"a=b":true}} (Go) or {"label":["a=b"]} (docker-py, JS, Java).

    Raises BadRequest, also for a key that is not `known`.
    """
    text = query.get("filters")
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise BadRequest(f"invalid filter: {gojson.fault(text) or e}") from e
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest("invalid filter: json: cannot unmarshal into Go value of type map[string]map[string]bool")
    parsed: dict[str, list[str]] = {}
    for key, values in value.items():
        if key not in known:
            raise BadRequest(f"invalid filter '{key}'")
        if isinstance(values, str | int):  # callers of docker-py sometimes pass a bare value
            values = [values]
        if not isinstance(values, dict | list):
            raise BadRequest(f"invalid filter '{key}'")
        parsed[key] = [str(item).lower() if isinstance(item, bool) else str(item) for item in values]
    return parsed


def time_ns(query: Query, key: str) -> int | None:
    """Unix seconds with optional fraction, or RFC 3339, as Unix nanoseconds; None if absent or empty."""
    text = query.get(key)
    if not text:
        return None
    if seconds := _SECONDS.fullmatch(text):
        return int(seconds[1]) * 1_000_000_000 + int((seconds[2] or "").ljust(9, "0"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise BadRequest(f'invalid value for "{key}": failed to parse value "{text}" as time') from e
    return int(moment.timestamp() * 1_000_000) * 1000


def registry_auth(request: Request) -> dict[str, Any] | None:
    """X-Registry-Auth: base64 JSON in either alphabet, padded or not. A header that cannot be decoded counts as
    absent, as in moby: a broken login must not stop the pull of a public image."""
    text = request.headers.get("x-registry-auth", "").rstrip("=")
    if not text:
        return None
    text = text.replace("+", "-").replace("/", "_")
    try:
        value = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return value if isinstance(value, dict) and value else None


def platform(text: str) -> Platform | None:
    """An OCI platform as JSON (image-spec, image-index.md, "platform"); None for "". Raises BadRequest."""
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise BadRequest(f"failed to parse platform: {gojson.fault(text) or e}") from e
    if not isinstance(value, dict) or not all(isinstance(value.get(key) or "", str) for key in _PLATFORM_FIELDS):
        raise BadRequest("failed to parse platform: json: cannot unmarshal into Go value of type v1.Platform")
    if not value.get("os") and not value.get("architecture") and (value.get("variant") or value.get("os.version")):
        raise BadRequest("optional platform fields provided, but OS and Architecture are missing")
    if not value.get("os") or not value.get("architecture"):
        raise BadRequest("both OS and Architecture must be provided")
    return Platform.from_json(value)


def terminal_size(query: Query) -> tuple[int, int]:
    """(height, width); both are required. Raises BadRequest."""
    height, width = query.integer("h"), query.integer("w")
    if height is None or width is None or not (0 <= height < 1 << 16 and 0 <= width < 1 << 16):
        raise BadRequest('invalid resize height/width: strconv.Atoi: parsing "": invalid syntax')
    return height, width


def console_size(body: dict[str, Any]) -> tuple[int, int] | None:
    """`ConsoleSize` [height, width] of an exec; None if absent or zero."""
    match body.get("ConsoleSize"):
        case [int(height), int(width)] if 0 < height < 1 << 16 and 0 < width < 1 << 16:
            return height, width
    return None


def is_anonymous_only(everything: Collection[str]) -> bool:
    """Whether a prune of volumes spares the named ones: unless its filter `all` is true. Raises BadRequest."""
    for value in everything:
        if value.lower() in ("1", "t", "true"):
            return False
        if value.lower() not in ("0", "f", "false"):
            raise BadRequest(f"invalid filter 'all=[{value}]'")
    return True
