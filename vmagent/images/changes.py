"""What Dockerfile instructions change in a container config (docker's `Config`): for builds, and for the changes of
`docker commit --change` and `docker import --change`."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vmagent.dockerfile import tree
from vmagent.dockerfile.expand import BuildArguments, Scope, step
from vmagent.dockerfile.parser import parse_changes
from vmagent.dockerfile.ports import exposed_ports
from vmagent.images.config import set_env

DEFAULT_SHELL = ("/bin/sh", "-c")
_ALLOWED = frozenset(
    {"cmd", "entrypoint", "env", "expose", "healthcheck", "label", "onbuild", "stopsignal", "user", "volume", "workdir"}
)


def apply_changes(config: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A container config (docker's `Config`) with the changes applied; variables are those of its environment.

    Raises DockerfileError. ENTRYPOINT drops a command that stood before the changes, as in a Dockerfile.
    """
    made = copy.deepcopy(dict(config))
    instructions = parse_changes(changes, _ALLOWED) if changes else ()
    sets_command = False
    for written in instructions:
        env = dict(entry.partition("=")[::2] for entry in made.get("Env") or ())
        found = step(written, Scope(env), BuildArguments()).instruction
        made |= changed_fields(made, found)
        if isinstance(found, tree.Entrypoint) and not sets_command:
            made.pop("Cmd", None)
        sets_command |= isinstance(found, tree.Cmd)
    return made


def changed_fields(config: Mapping[str, Any], found: tree.Instruction) -> dict[str, Any]:
    """The fields of a container config that an expanded instruction sets, with their new values.

    An instruction that sets none gives an empty dict. `config` stays as it is. Raises DockerfileError.
    """
    match found:
        case tree.Cmd():
            return {"Cmd": _command(config, found.command)}
        case tree.Entrypoint():
            return {"Entrypoint": _command(config, found.command)}
        case tree.Shell():
            return {"Shell": [*found.words]}
        case tree.Env():
            env = [*(config.get("Env") or ())]
            for pair in found.pairs:
                env = set_env(env, pair.key, pair.value)
            return {"Env": env}
        case tree.Label():
            return {"Labels": {**(config.get("Labels") or {}), **{pair.key: pair.value for pair in found.pairs}}}
        case tree.Expose():
            return {"ExposedPorts": {**(config.get("ExposedPorts") or {}), **_keys(exposed_ports(found.ports))}}
        case tree.Volume():
            return {"Volumes": {**(config.get("Volumes") or {}), **_keys(found.paths)}}
        case tree.User():
            return {"User": found.user}
        case tree.Workdir():
            return {"WorkingDir": absolute(config, found.path)}
        case tree.StopSignal():
            return {"StopSignal": found.signal}
        case tree.Onbuild():
            return {"OnBuild": [*(config.get("OnBuild") or ()), found.trigger]}
        case tree.Healthcheck():
            return {"Healthcheck": _health(found.health)}
    return {}


def absolute(config: Mapping[str, Any], path: str) -> str:
    """`path` of an instruction, relative to WORKDIR, cleaned and without a slash at the end."""
    joined = posixpath.normpath(posixpath.join("/", config.get("WorkingDir") or "", path))
    return "/" + joined.lstrip("/")  # normpath keeps two leading slashes


def _command(config: Mapping[str, Any], command: tree.CommandLine) -> list[str]:
    shell = config.get("Shell") or DEFAULT_SHELL
    return [*shell, *command.words] if command.shell else [*command.words]


def _keys(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    return {name: {} for name in names}


def _health(health: tree.Health) -> dict[str, Any]:
    times = {
        "Interval": health.interval_ns,
        "Timeout": health.timeout_ns,
        "StartPeriod": health.start_period_ns,
        "StartInterval": health.start_interval_ns,
        "Retries": health.retries,
    }
    return {"Test": [*health.test], **{key: value for key, value in times.items() if value}}
