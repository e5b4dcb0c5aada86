"""Values that compose files write as text: durations, sizes, ports, volumes, devices, commands.

Every function raises ValueError with a sentence for text that it cannot read.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
import shlex
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_DURATION_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?|\.\d+) ?([kmgtpKMGTP])?[iI]?[bB]?")
_PROTOCOLS = ("tcp", "udp", "sctp")
PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")


def go_text(value: object) -> str:
    """A scalar as Go prints it with `%v`: what a number or boolean becomes where a string is wanted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return "" if value is None else str(value)


def shortest_float32(value: float) -> int | float:
    """The number with the fewest digits that is the same 32-bit float, as Go prints such fields."""
    if value.is_integer():
        return int(value)
    (single,) = struct.unpack("f", struct.pack("f", value))
    for digits in range(1, 10):
        text = f"{single:.{digits}g}"
        if struct.unpack("f", struct.pack("f", float(text)))[0] == single:
            return float(text)
    return float(single)


def parse_duration(text: str) -> int:
    """Nanoseconds of `1m30s`, `1.5h`, `0`."""
    bare = text.lstrip("+-")
    if bare == "0":
        return 0
    parts = _DURATION_PART.findall(bare)
    if not parts or "".join(number + unit for number, unit in parts) != bare:
        raise ValueError(f"{text!r} is no duration; one is written like 1m30s, 500ms or 2h")
    total = round(sum(float(number) * _DURATION_NS[unit] for number, unit in parts))
    return -total if text.startswith("-") else total


def duration_text(ns: int) -> str:
    """A duration as Go prints it: `1m30s`, `500ms`, `0s`."""
    sign, ns = ("-" if ns < 0 else ""), abs(ns)
    if ns < 10**9:
        for unit, size in (("ms", 10**6), ("µs", 10**3), ("ns", 1)):
            if ns >= size:
                return f"{sign}{_trim(ns, size)}{unit}"
        return "0s"
    minutes, rest = divmod(ns, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_trim(rest, 10**9)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _trim(ns: int, size: int) -> str:
    whole, rest = divmod(ns, size)
    return f"{whole}.{rest:0{len(str(size)) - 1}d}".rstrip("0").rstrip(".") if rest else str(whole)


def parse_size(text: str) -> int:
    """Bytes of `512`, `64m`, `1.5gb` (powers of 1024); -1 stays."""
    if text == "-1":
        return -1
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size; one is written like 512, 64m or 1.5gb")
    return int(float(found[1]) * 1024 ** ("kmgtp".index(found[2].lower()) + 1 if found[2] else 0))


def parse_bool(text: str) -> bool:
    """YAML 1.1's words count as well."""
    lower = text.lower()
    if lower in ("true", "y", "yes", "on", "1", "t"):
        return True
    if lower in ("false", "n", "no", "off", "0", "f"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def split_command(text: str) -> tuple[str, ...]:
    """The words of a command line, as a shell splits them."""
    try:
        return tuple(shlex.split(text))
    except ValueError as e:
        raise ValueError(f"this command line cannot be split into words: {e}") from None


@dataclass(frozen=True, slots=True)
class PortText:
    """One published or exposed port of the short syntax; `published` may be empty or a range."""

    target: int
    published: str
    host_ip: str
    protocol: str


def parse_ports(text: str) -> tuple[PortText, ...]:
    """The ports of `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, whose ports may be ranges (`3000-3005`)."""
    body, _, protocol = text.partition("/")
    protocol = protocol or "tcp"
    if protocol.lower() not in _PROTOCOLS:
        raise ValueError(f"invalid protocol in {text!r}: {protocol}")
    address, published, target = _split_port(body)
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError(f"invalid IP address in {text!r}: {address}") from None
    if not target:
        raise ValueError(f"no port specified: {text!r}")
    first, last = _range(target, text)
    if not published:
        hosts = [""] * (last - first + 1)
    else:
        low, high = _range(published, text)
        if high - low != last - first:
            if first != last:
                raise ValueError(f"the ranges of {text!r} differ in length")
            hosts = [f"{low}-{high}"]
        else:
            hosts = [str(port) for port in range(low, high + 1)]
    found = [
        PortText(port, host, address, protocol.lower())
        for port, host in zip(range(first, last + 1), hosts, strict=True)
    ]
    return tuple(sorted(found, key=lambda port: f"{port.target}/{port.protocol}"))


def _split_port(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    if len(parts) == 1:
        return "", "", parts[0]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    address = ":".join(parts[:-2])
    return (address[1:-1] if address.startswith("[") and address.endswith("]") else address), parts[-2], parts[-1]


def _range(text: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    try:
        low = int(first)
        high = int(last) if dash else low
    except ValueError:
        raise ValueError(f"invalid port in {whole!r}: {text}") from None
    if not 0 <= low <= high <= 65535:
        raise ValueError(f"invalid port in {whole!r}: {text}")
    return low, high


@dataclass(frozen=True, slots=True)
class VolumeText:
    """A mount of the short syntax."""

    kind: str
    source: str
    target: str
    read_only: bool
    nocopy: bool
    propagation: str
    selinux: str


def parse_volume(text: str) -> VolumeText:
    """The mount of `[SOURCE:]TARGET[:OPTIONS]`. A source that begins like a path is a bind mount."""
    if not text:
        raise ValueError("a volume is empty")
    parts = list(_volume_parts(text)) if len(text) > 2 else [text]
    if "" in parts:
        raise ValueError(f"invalid volume {text!r}: empty section between colons")
    if len(parts) > 3:
        raise ValueError(f"invalid volume {text!r}: too many colons")
    source, target = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    options = parts[2].split(",") if len(parts) == 3 else []
    return VolumeText(
        kind="bind" if _is_path(source) else "volume",
        source=source,
        target=posixpath.normpath(target),
        read_only=[option for option in options if option in ("ro", "rw")][-1:] == ["ro"],
        nocopy="nocopy" in options,
        propagation=next((option for option in reversed(options) if option in PROPAGATIONS), ""),
        selinux=next((option for option in reversed(options) if option in ("z", "Z")), ""),
    )


def _volume_parts(text: str) -> Iterator[str]:
    """The parts between colons; a colon after a single letter is that of a Windows drive."""
    part = ""
    for char in text:
        if char == ":" and not (len(part) == 1 and part.isalpha()):
            yield part
            part = ""
        else:
            part += char
    yield part


def _is_path(source: str) -> bool:
    if not source:
        return False
    return source[0] in "./~" or source.startswith("\\\\") or (source[0].isalpha() and source[1:2] == ":")


def parse_device(text: str) -> tuple[str, str, str]:
    """Source, target and permissions of `SOURCE[:TARGET[:PERMISSIONS]]`."""
    parts = text.split(":")
    if len(parts) > 3:
        raise ValueError(f"the device {text!r} has too many colons; use the long syntax")
    return parts[0], (parts[1] if len(parts) > 1 else "") or parts[0], parts[2] if len(parts) > 2 else "rwm"
