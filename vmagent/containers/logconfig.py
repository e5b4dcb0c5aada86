"""HostConfig.LogConfig: the checks at create and at start, and the limits of the log.

As with dockerd, create checks the names of the options and start checks their values. So a container with `max-size=x`
can be created, but fails to start. The messages are those of dockerd 20.10 for the drivers `json-file` and `local`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from vmagent.containers import defaults
from vmagent.containers.jsonobject import JsonObject
from vmagent.errors import BadRequest, EngineError

DRIVERS = ("json-file", "local", "none")
DEFAULT: JsonObject = defaults.HOST_CONFIG["LogConfig"]
_OPTIONS = {
    "json-file": {"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"},
    "local": {"max-size", "max-file", "compress"},
}
# Options of every driver. The cache options are for drivers that can't read their logs, so they have no effect here.
_COMMON = {"mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"}
_LOCAL_SIZE, _LOCAL_FILES = 20 << 20, 5
_UNREADABLE = (1 << 20, 1)  # driver `none`: only attached clients read it, and keep what they need
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_LARGEST = (1 << 63) - 1


def checked(given: JsonObject, default: JsonObject) -> JsonObject:
    """`given` completed from the engine's `default`; the default's options apply if the driver is the same.

    Raises BadRequest for an unknown driver or option.
    """
    driver = given.get("Type") or default["Type"]
    options = given.get("Config") or {}
    if driver == default["Type"]:
        options = {**default["Config"], **options}
    if driver not in DRIVERS:
        raise BadRequest(f"logger: no log driver named '{driver}' is registered")
    if driver != "none":
        _check_names(driver, options)
    merged = {"Type": driver, "Config": options}
    return default if merged == default else merged  # containers without own settings share one object


def _check_names(driver: str, options: Mapping[str, str]) -> None:
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise BadRequest(f"logger: logging mode not supported: {mode}")
    if (buffer := options.get("max-buffer-size")) is not None:
        if mode != "non-blocking":
            raise BadRequest("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        try:
            _size(buffer)
        except ValueError as e:
            raise BadRequest(f"error parsing option max-buffer-size: {e}") from None
    for name in options:
        if name not in _OPTIONS[driver] and name not in _COMMON:
            where = "log driver local" if driver == "local" else f"{driver} log driver"
            raise BadRequest(f"unknown log opt '{name}' for {where}")


def engine_default(driver: str, options: Sequence[str]) -> JsonObject:
    """The LogConfig that the engine's --log-driver and --log-opt mean. Raises EngineError with a one-line message."""
    config = {}
    for option in options:
        name, _, value = option.partition("=")
        config[name] = value
    try:
        return checked({"Type": driver, "Config": config}, DEFAULT)
    except BadRequest as e:
        raise EngineError(f"failed to set log opts: {e}") from e


def limits(log: JsonObject) -> tuple[int, int] | None:
    """(bytes per file, number of files), None without limits. Raises EngineError with dockerd's message."""
    options = log["Config"]
    try:
        match log["Type"]:
            case "none":
                return _UNREADABLE
            case "local":
                return _local_limits(options)
            case _:
                return _json_file_limits(options)
    except ValueError as e:
        raise EngineError(f"failed to initialize logging driver: {e}") from None


def _json_file_limits(options: Mapping[str, str]) -> tuple[int, int] | None:
    size, count = None, 1
    if "max-size" in options:
        size = _size(options["max-size"])
        if not 0 < size <= _LARGEST:
            raise ValueError("max-size must be a positive number")
    if "max-file" in options:
        count = _integer(options["max-file"])
        if count < 1:
            raise ValueError("max-file cannot be less than 1")
    if "compress" in options and _boolean(options["compress"]) and (count == 1 or size is None):
        raise ValueError("compress cannot be true when max-file is less than 2 or max-size is not set")
    return None if size is None else (size, count)


def _local_limits(options: Mapping[str, str]) -> tuple[int, int]:
    size, count, compresses = _LOCAL_SIZE, _LOCAL_FILES, True
    for name, parse in (("max-size", _size), ("max-file", _integer)):
        if name in options:
            try:
                value = parse(options[name])
            except ValueError as e:
                raise ValueError(f"invalid value for {name}: {options[name]}: {e}") from None
            size, count = (value, count) if name == "max-size" else (size, value)
    if "compress" in options:
        try:
            compresses = _boolean(options["compress"])
        except ValueError as e:
            raise ValueError(f"error reading compress log option: {e}") from None
    if size > _LARGEST:
        raise ValueError("max size should be a positive number")
    if count < 0:
        raise ValueError("max file count cannot be less than 0")
    if compresses and count <= 1:
        raise ValueError("compression cannot be enabled when max file count is 1")
    return size, max(count, 1)


def _size(text: str) -> int:
    """A size like `10k` or `1.5 MiB` in bytes; k is 1000 in every spelling, as in docker's logs. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid size: '{text}'")
    return int(float(match[1]) * 1000.0 ** " kmgtp".index(match[2].lower() or " "))


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    if abs(int(text)) > _LARGEST:
        raise ValueError(f'strconv.Atoi: parsing "{text}": value out of range')
    return int(text)


def _boolean(text: str) -> bool:
    if text not in _TRUE and text not in _FALSE:
        raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


def attributes(options: Mapping[str, str], labels: Mapping[str, str], env: Sequence[str]) -> dict[str, str]:
    """What the options `labels`, `labels-regex`, `env` and `env-regex` choose, for `logs --details`.

    `env`: entries "NAME=VALUE". An invalid regular expression chooses nothing.
    """
    variables = dict(entry.partition("=")[::2] for entry in env)
    found: dict[str, str] = {}
    for key, values in (("labels", labels), ("env", variables)):
        names = {name.strip() for name in options.get(key, "").split(",")}
        try:
            pattern = re.compile(options[f"{key}-regex"]) if options.get(f"{key}-regex") else None
        except re.error:
            pattern = None
        found |= {name: value for name, value in values.items() if name in names or (pattern and pattern.search(name))}
    return found
