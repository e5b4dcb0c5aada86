"""Capabilities and SecurityOpt of the Engine API's HostConfig."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmagent.containers.jsonobject import JsonObject
from vmagent.errors import BadRequest
from vmagent.linux import capabilities

# Docker's default capabilities for a container's root: mask 00000000a80425fb.
DEFAULT_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
        "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityOptions:
    """SecurityOpt, parsed. `seccomp` None: docker's default; {}: unconfined; else a profile in docker's format."""

    no_new_privileges: bool = False
    seccomp: JsonObject | None = None


def parse_security(options: Iterable[str] | None) -> SecurityOptions:
    """Parse SecurityOpt. Raises BadRequest for unknown options, and for those that need AppArmor or SELinux."""
    no_new_privileges, seccomp = False, None
    for option in options or ():
        key, value = _split(option)
        match key:
            case "no-new-privileges":
                if value not in ("", "true", "false"):
                    raise BadRequest(f"invalid --security-opt 2: {option!r}")
                no_new_privileges = value != "false"
            case "seccomp":
                seccomp = _profile(value)
            case "apparmor" | "label":
                if value not in ("unconfined", "disable", ""):
                    raise BadRequest(f"{key} is not available on this engine: {option!r}")
            case "systempaths" | "writable-cgroups":
                continue  # the client also sends their effect as MaskedPaths and ReadonlyPaths
            case _:
                raise BadRequest(f"invalid --security-opt 2: {option!r}")
    return SecurityOptions(no_new_privileges=no_new_privileges, seccomp=seccomp)


def _split(option: str) -> tuple[str, str]:
    separator = "=" if "=" in option else ":"
    key, _, value = option.partition(separator)
    return key, value


def _profile(value: str) -> JsonObject | None:
    if value == "unconfined":
        return {}
    if value in ("builtin", "default"):
        return None
    try:
        profile = json.loads(value)
        if not isinstance(profile, dict) or "defaultAction" not in profile:
            raise ValueError("no defaultAction")
    except ValueError as e:
        raise BadRequest(f"Decoding seccomp profile failed: {e}") from e
    return profile


def effective_capabilities(host: Mapping[str, Any]) -> list[str]:
    """The container's capabilities (CAP_…): the default ones changed by CapAdd and CapDrop; all if privileged.

    "All" means those that the engine itself has. Raises BadRequest for unknown names.
    """
    everything = _own()
    if host["Privileged"]:
        return list(everything)
    added, dropped = _names(host["CapAdd"]), _names(host["CapDrop"])
    if "ALL" in added:
        return [name for name in everything if name not in dropped]
    base: Sequence[str] = () if "ALL" in dropped else DEFAULT_CAPABILITIES
    kept = [name for name in base if name not in dropped]
    return kept + [name for name in added if name not in kept]


@functools.cache
def _own() -> list[str]:
    _, permitted, _ = capabilities.capget()
    return [name for number, name in enumerate(capabilities.NAMES) if permitted >> number & 1]


def _names(given: Iterable[str] | None) -> list[str]:
    names = []
    for text in given or ():
        name = text.upper()
        if name != "ALL":
            name = name if name.startswith("CAP_") else f"CAP_{name}"
            if name not in capabilities.NUMBERS:
                raise BadRequest(f'invalid capability: "{text}"')
        names.append(name)
    return names
