"""`docker commit --change` and `docker import --change`: Dockerfile instructions that change a config."""

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
        _apply(made, found)
        if isinstance(found, tree.Entrypoint) and not sets_command:
            made.pop("Cmd", None)
        sets_command |= isinstance(found, tree.Cmd)
    return made


def _apply(made: dict[str, Any], found: tree.Instruction) -> None:
    match found:
        case tree.Cmd():
            made["Cmd"] = _command(made, found.command)
        case tree.Entrypoint():
            made["Entrypoint"] = _command(made, found.command)
        case tree.Env():
            for pair in found.pairs:
                made["Env"] = set_env(made.get("Env") or [], pair.key, pair.value)
        case tree.Label():
            made["Labels"] = {**(made.get("Labels") or {}), **{pair.key: pair.value for pair in found.pairs}}
        case tree.Expose():
            made["ExposedPorts"] = {**(made.get("ExposedPorts") or {}), **_keys(exposed_ports(found.ports))}
        case tree.Volume():
            made["Volumes"] = {**(made.get("Volumes") or {}), **_keys(found.paths)}
        case tree.User():
            made["User"] = found.user
        case tree.Workdir():
            made["WorkingDir"] = posixpath.normpath(posixpath.join("/", made.get("WorkingDir") or "", found.path))
        case tree.StopSignal():
            made["StopSignal"] = found.signal
        case tree.Onbuild():
            made["OnBuild"] = [*(made.get("OnBuild") or []), found.trigger]
        case tree.Healthcheck():
            made["Healthcheck"] = _health(found.health)


def _command(made: Mapping[str, Any], command: tree.CommandLine) -> list[str]:
    shell = made.get("Shell") or ["/bin/sh", "-c"]
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
