"""A build's steps in the form that provenance has them in: `buildConfig` of BuildKit (slsa-definitions.md in its docs).

The operations are those of BuildKit's solver/pb/ops.proto as its JSON shows them. This builder has no such graph of its
own; the list is made of what its steps were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmagent.builder.definition import DefinedStep, Exec, Files, Key, Source

_NETWORKS = {"host": 1, "none": 2}  # NetMode; 0 is a network of the step's own
_MOUNTS = {"bind": 0, "secret": 1, "ssh": 2, "cache": 3, "tmpfs": 4}  # MountType


def build_config(steps: Sequence[DefinedStep]) -> dict[str, Any]:
    """The steps, each after its inputs, with the names step0, step1, …"""
    names = _names(steps)
    made = []
    for step in steps:
        architecture = step.platform.split("/")
        platform = {"OS": architecture[0], "Architecture": architecture[1]}
        if len(architecture) > 2:
            platform["Variant"] = architecture[2]
        described: dict[str, Any] = {
            "id": names[step.platform, step.key],
            "op": {"Op": _operation(step), "platform": platform, "constraints": {}},
        }
        if step.inputs:
            described["inputs"] = [f"{names[step.platform, key]}:0" for key in step.inputs]
        made.append(described)
    return {"llbDefinition": made}


def locations(steps: Sequence[DefinedStep]) -> dict[str, Any]:
    """Where in the Dockerfile each step is, by its name."""
    names = _names(steps)
    return {
        names[step.platform, step.key]: {
            "locations": [{"ranges": [{"start": {"line": step.lines.first}, "end": {"line": step.lines.last}}]}]
        }
        for step in steps
        if step.lines is not None
    }


def _names(steps: Sequence[DefinedStep]) -> dict[tuple[str, Key], str]:
    """By platform and key."""
    return {(step.platform, step.key): f"step{number}" for number, step in enumerate(steps)}


def _operation(step: DefinedStep) -> Mapping[str, Any]:
    match step.what:
        case Source() as source:
            return {"source": {"identifier": source.identifier}}
        case Exec() as ran:
            return {"exec": _exec(step, ran)}
        case Files() as files:
            return {"file": {"actions": _actions(step, files)}}


def _input(step: DefinedStep, key: Key | None) -> int:
    """The place of what has this key among the step's inputs; -1 is an empty file system (InputIndex)."""
    return -1 if key is None else step.inputs.index(key)


def _exec(step: DefinedStep, ran: Exec) -> Mapping[str, Any]:
    meta: dict[str, Any] = {"args": [*ran.args], "env": [*ran.env], "cwd": ran.cwd}
    if ran.user:
        meta["user"] = ran.user
    mounts: list[dict[str, Any]] = [{"input": _input(step, step.below), "dest": "/", "output": 0}]
    for (kind, target, is_readonly), used in zip(ran.mounts, step.used, strict=True):
        mount: dict[str, Any] = {"input": _input(step, used), "dest": target, "output": -1, "mountType": _MOUNTS[kind]}
        mounts.append({**mount, "readonly": True} if is_readonly else mount)
    operation: dict[str, Any] = {"meta": meta, "mounts": mounts}
    if ran.network in _NETWORKS:
        operation["network"] = _NETWORKS[ran.network]
    if ran.is_insecure:
        operation["security"] = 1
    return operation


def _actions(step: DefinedStep, files: Files) -> list[dict[str, Any]]:
    """Each works on what the one before it gave, and only the last gives the step's output (FileAction): outputs of
    actions are counted on behind the step's inputs."""
    more = {key: value for key, value in (("owner", files.chown), ("mode", files.chmod)) if value}
    below = _input(step, step.below)
    if not files.sources:
        made = {"path": files.destination, "makeParents": True, **more}
        return [{"input": below, "secondaryInput": -1, "output": 0, "Action": {"mkdir": made}}]
    last = len(files.sources) - 1
    return [
        {
            "input": len(step.inputs) + number - 1 if number else below,
            "secondaryInput": _input(step, used),
            "output": 0 if number == last else -1,
            "Action": {"copy": {"src": source, "dest": files.destination, "createDestPath": True, **more}},
        }
        for number, (source, used) in enumerate(zip(files.sources, step.used, strict=True))
    ]
