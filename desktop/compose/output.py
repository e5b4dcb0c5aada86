"""A project as text: what `config` prints, and the hash that tells whether a container fits its service."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from desktop.compose.model.file import FILE
from desktop.compose.model.service import SERVICE, Service
from desktop.compose.project import Project
from desktop.compose.shapes.base import Shape
from desktop.compose.shapes.objects import shapes_of
from desktop.compose.yamltree import resolve_plain

_RESOURCES = ("networks", "volumes", "secrets", "configs")


def data_of(project: Project, *, yaml: bool) -> dict[str, Any]:
    """The project as `docker compose config` prints it, in one of the two dialects of `shapes`."""
    shapes: Mapping[str, Shape] = shapes_of(FILE.kind)
    found: dict[str, Any] = {"name": project.name}
    found["services"] = shapes["services"].plain(project.services, yaml=yaml)
    for kind in _RESOURCES:
        if items := getattr(project, kind):
            found[kind] = shapes[kind].plain(items, yaml=yaml)
    return {**found, **project.extensions}


def to_json(project: Project) -> str:
    return json.dumps(data_of(project, yaml=False), indent=2, ensure_ascii=False)


def to_yaml(project: Project) -> str:
    return yaml_text(data_of(project, yaml=True))


def yaml_text(data: Mapping[str, Any]) -> str:
    """A document that YAML 1.1 and 1.2 read in the same way."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes every string that YAML 1.1 or 1.2 would read as something else, and repeats what occurs twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if text and isinstance(resolve_plain(text), str) else '"'
    if "\n" in text:
        style = "|" if not any(line.endswith(" ") for line in text.split("\n")) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def hash_of(project: Project, service: Service) -> str:
    """`service_hash` of one of the project's services, or of one that stands for it; remembered for the same object."""
    known = project.hashes.get(service.name)
    if known is None or known[0] is not service:
        known = project.hashes[service.name] = (service, service_hash(service))
    return known[1]


def service_hash(service: Service) -> str:
    """The hash in the label `com.docker.compose.config-hash`, as docker compose computes it: SHA-256 of the service as
    Go's `encoding/json` writes it, without what changes no container (build, pull policy, scale)."""
    deploy = replace(service.deploy, replicas=None) if service.deploy is not None else None
    bare = replace(service, build=None, pull_policy="", scale=None, deploy=deploy)
    text = json.dumps(SERVICE.plain(bare, yaml=False), separators=(",", ":"), ensure_ascii=False)
    for char, code in (
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(char, code)
    return hashlib.sha256(text.encode()).hexdigest()
