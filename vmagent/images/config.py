"""Image configs: OCI image-spec, config.md, and docker's fields beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from vmagent.images import jsontext
from vmagent.images.faults import ImageFault
from vmagent.images.reference import is_digest

Config = dict[str, Any]

MAX_LAYERS = 499  # an overlay has at most 500 lower folders, and one is the engine's own
MAX_CONFIG_BYTES = 8 << 20  # twice docker's own limit for a config in a registry


def timestamp(at: datetime | None = None) -> str:
    """RFC 3339 with nanoseconds as docker writes it."""
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def unix_seconds(text: str | None) -> int:
    """RFC 3339 to Unix seconds; 0 where there is no time or it cannot be parsed, as docker shows it."""
    if not text:
        return 0
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)", text)
    if match is None:
        return 0
    zone = "+00:00" if match[2] in "Zz" else match[2]
    return int(datetime.fromisoformat(match[1].replace("t", "T") + zone).timestamp())


def _is_text_list(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _is_sound(config: Config) -> bool:
    """Whether the fields that the engine reads have the types that the schema gives them (others are echoed)."""
    history = config.get("history") or []
    inner = config.get("config") or {}
    if not isinstance(history, list) or not isinstance(inner, dict):
        return False
    texts = [config.get(key) for key in ("created", "architecture", "os", "variant", "author", "docker_version")]
    for entry in history:
        if not isinstance(entry, dict):
            return False
        texts += [entry.get(key) for key in ("created", "created_by", "comment", "author")]
    texts += [inner.get(key) for key in ("User", "WorkingDir", "StopSignal")]
    labels = inner.get("Labels") or {}
    if not isinstance(labels, dict):
        return False
    texts += labels.values()
    return (
        all(text is None or isinstance(text, str) for text in texts)
        and all(_is_text_list(inner.get(key)) for key in ("Env", "Cmd", "Entrypoint", "Shell", "OnBuild"))
        and all(isinstance(inner.get(key) or {}, dict) for key in ("Volumes", "ExposedPorts", "Healthcheck"))
    )


def parse(data: bytes) -> Config:
    """Read an image's config, with a rootfs of digests. Raises ImageFault."""
    try:
        config = jsontext.loads(data)
        digests = config["rootfs"]["diff_ids"] or []
        is_rooted = isinstance(digests, list) and all(isinstance(one, str) and is_digest(one) for one in digests)
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise ImageFault(f"invalid image config: {type(e).__name__} {e}", "invalid") from e
    if not is_rooted or not _is_sound(config):
        raise ImageFault("invalid image config: a field of another type than the schema's", "invalid")
    found: Config = config
    return found


def diff_ids(config: Mapping[str, Any]) -> list[str]:
    """The layers' digests, bottom first. Raises ImageFault for more than can be mounted."""
    found = list(config["rootfs"].get("diff_ids") or [])
    if len(found) > MAX_LAYERS:
        raise ImageFault(f"max depth exceeded: {len(found)} layers, {MAX_LAYERS} can be mounted", "invalid")
    return found


def dump(config: Config) -> bytes:
    """The bytes whose digest is the image's id."""
    return json.dumps(config, separators=(",", ":"), sort_keys=True).encode()


def set_env(env: Iterable[str], key: str, value: str) -> list[str]:
    """`env` with `key` set, in its old place if it has one."""
    listed = list(env)
    for i, item in enumerate(listed):
        if item.partition("=")[0] == key:
            listed[i] = f"{key}={value}"
            return listed
    return [*listed, f"{key}={value}"]
