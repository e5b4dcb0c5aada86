"""Image configs: OCI image-spec, config.md, docker's fields beside them, and the Dockerfile words that change them."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from vmagent.errors import BadRequest
from vmagent.images.faults import ImageFault
from vmagent.images.reference import is_digest

Config = dict[str, Any]

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
        config = json.loads(data)
        digests = config["rootfs"]["diff_ids"] or []
        is_rooted = isinstance(digests, list) and all(isinstance(one, str) and is_digest(one) for one in digests)
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise ImageFault(f"invalid image config: {type(e).__name__} {e}", "invalid") from e
    if not is_rooted or not _is_sound(config):
        raise ImageFault("invalid image config: a field of another type than the schema's", "invalid")
    found: Config = config
    return found


def diff_ids(config: Mapping[str, Any]) -> list[str]:
    """The layers' digests, bottom first."""
    return list(config["rootfs"].get("diff_ids") or [])


def dump(config: Config) -> bytes:
    """The bytes whose digest is the image's id."""
    return json.dumps(config, separators=(",", ":"), sort_keys=True).encode()


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as e:
        raise BadRequest(f"invalid change {text!r}: {e}") from e


def _json_list(text: str) -> list[str] | None:
    if text.startswith("["):
        try:
            items = json.loads(text)
        except ValueError:
            return None
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return items
    return None


def _command(text: str) -> list[str]:
    listed = _json_list(text)
    return listed if listed is not None else ["/bin/sh", "-c", text]


def _pairs(text: str) -> list[tuple[str, str]]:
    """`KEY=value …` or, as ENV and LABEL allow, `KEY the rest`."""
    first, _, rest = text.partition(" ")
    if "=" not in first:
        return [(first, rest.strip())]
    pairs = []
    for word in _words(text):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise BadRequest(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
        pairs.append((key, value))
    return pairs


def set_env(env: Iterable[str], key: str, value: str) -> list[str]:
    """`env` with `key` set, in its old place if it has one."""
    listed = list(env)
    for i, item in enumerate(listed):
        if item.partition("=")[0] == key:
            listed[i] = f"{key}={value}"
            return listed
    return [*listed, f"{key}={value}"]


_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)


def _ports(text: str) -> dict[str, dict[str, Any]]:
    ports: dict[str, dict[str, Any]] = {}
    for word in _words(text):
        match = _PORT.fullmatch(word)
        if match is None or int(match[2] or match[1]) > 65535:
            raise BadRequest(f"invalid containerPort: {word}")
        for port in range(int(match[1]), int(match[2] or match[1]) + 1):
            ports[f"{port}/{(match[3] or 'tcp').lower()}"] = {}
    return ports


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_UNIT_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def _duration_ns(text: str) -> int:
    if not _DURATION.sub("", text) == "" or not text:
        raise BadRequest(f"invalid duration: {text!r}")
    return int(sum(float(number) * _UNIT_NS[unit] for number, unit in _DURATION.findall(text)))


_HEALTH_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def _healthcheck(text: str) -> dict[str, Any]:
    check: dict[str, Any] = {}
    while text.startswith("--"):
        flag, _, text = text[2:].partition(" ")
        key, _, value = flag.partition("=")
        text = text.lstrip()
        if key == "retries" and value.isdigit():
            check["Retries"] = int(value)
        elif key in _HEALTH_TIMES:
            check[_HEALTH_TIMES[key]] = _duration_ns(value)
        else:
            raise BadRequest(f"Unknown flag: {key}")
    word, _, rest = text.partition(" ")
    rest = rest.strip()
    if word.upper() == "NONE":
        return {"Test": ["NONE"]}
    if word.upper() != "CMD" or not rest:
        raise BadRequest(f"Unknown type {word!r} in HEALTHCHECK (try CMD)")
    listed = _json_list(rest)
    return {"Test": ["CMD", *listed] if listed is not None else ["CMD-SHELL", rest], **check}


def apply_changes(config: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """A container config (docker's `Config`) with Dockerfile instructions applied, as `commit -c` and `import -c` do.

    Raises BadRequest for an instruction that changes no config.
    """
    made = copy.deepcopy(dict(config))
    for change in changes:
        word, _, text = change.strip().partition(" ")
        text = text.strip()
        word = word.upper()
        if not text:
            raise BadRequest(f"{word} requires at least one argument")
        if word == "CMD":
            made["Cmd"] = _command(text)
        elif word == "ENTRYPOINT":
            made["Entrypoint"] = _command(text)
        elif word == "ENV":
            for key, value in _pairs(text):
                made["Env"] = set_env(made.get("Env") or [], key, value)
        elif word == "LABEL":
            made["Labels"] = {**(made.get("Labels") or {}), **dict(_pairs(text))}
        elif word == "EXPOSE":
            made["ExposedPorts"] = {**(made.get("ExposedPorts") or {}), **_ports(text)}
        elif word == "VOLUME":
            listed = _json_list(text)
            names = listed if listed is not None else _words(text)
            made["Volumes"] = {**(made.get("Volumes") or {}), **{name: {} for name in names}}
        elif word == "USER":
            made["User"] = text
        elif word == "WORKDIR":
            made["WorkingDir"] = text if text.startswith("/") else f"{made.get('WorkingDir') or ''}/{text}"
        elif word == "STOPSIGNAL":
            made["StopSignal"] = text
        elif word == "ONBUILD":
            made["OnBuild"] = [*(made.get("OnBuild") or []), text]
        elif word == "SHELL":
            shell = _json_list(text)
            if not shell:
                raise BadRequest("SHELL requires the arguments to be in JSON form")
            made["Shell"] = shell
        elif word == "HEALTHCHECK":
            made["Healthcheck"] = _healthcheck(text)
        else:
            raise BadRequest(f"{word} is not a valid change command")
    return made
