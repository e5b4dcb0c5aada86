"""A build's steps in the form that provenance has them in: `buildConfig` of BuildKit (slsa-definitions.md in its docs).

The operations are those of BuildKit's solver/pb/ops.proto as its JSON shows them. This builder has no such graph of its
own; the list is made of what its steps were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmagent.builder.definition import DefinedStep, Exec, Files, Source

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
            "id": names[step],
            "op": {"Op": _operation(step.what), "platform": platform, "constraints": {}},
        }
        by_key = {one.key: names[one] for one in steps if one.platform == step.platform}
        if step.inputs:
            described["inputs"] = [f"{by_key[key]}:0" for key in step.inputs]
        made.append(described)
    return {"llbDefinition": made}


def locations(steps: Sequence[DefinedStep]) -> dict[str, Any]:
    """Where in the Dockerfile each step is, by its name."""
    return {
        name: {"locations": [{"ranges": [{"start": {"line": step.lines.first}, "end": {"line": step.lines.last}}]}]}
        for step, name in _names(steps).items()
        if step.lines is not None
    }


def _names(steps: Sequence[DefinedStep]) -> dict[DefinedStep, str]:
    return {step: f"step{number}" for number, step in enumerate(steps)}


def _operation(what: Source | Exec | Files) -> Mapping[str, Any]:
    match what:
        case Source():
            return {"source": {"identifier": what.identifier}}
        case Exec():
            meta: dict[str, Any] = {"args": [*what.args], "env": [*what.env], "cwd": what.cwd}
            if what.user:
                meta["user"] = what.user
            mounts: list[dict[str, Any]] = [{"input": 0, "dest": "/", "output": 0}]
            for kind, target, is_readonly in what.mounts:
                mount: dict[str, Any] = {"input": -1, "dest": target, "output": -1, "mountType": _MOUNTS[kind]}
                mounts.append({**mount, "readonly": True} if is_readonly else mount)
            operation: dict[str, Any] = {"meta": meta, "mounts": mounts}
            if what.network in _NETWORKS:
                operation["network"] = _NETWORKS[what.network]
            if what.is_insecure:
                operation["security"] = 1
            return {"exec": operation}
        case Files():
            return {"file": {"actions": _actions(what)}}


def _actions(what: Files) -> list[dict[str, Any]]:
    more = {key: value for key, value in (("owner", what.chown), ("mode", what.chmod)) if value}
    if not what.sources:
        made = {"path": what.destination, "makeParents": True, **more}
        return [{"input": 0, "secondaryInput": -1, "output": 0, "Action": {"mkdir": made}}]
    return [
        {
            "input": 0,
            "secondaryInput": 1,
            "output": 0,
            "Action": {"copy": {"src": source, "dest": what.destination, "createDestPath": True, **more}},
        }
        for source in what.sources
    ]
