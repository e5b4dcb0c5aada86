"""What every part of a conversion uses: the project, the options, the notes, and the names of objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from desktop.compose.errors import ComposeError
from desktop.compose.model.service import Service
from desktop.compose.project import Project

Json = dict[str, Any]

_NAME_MOST = 63  # RFC 1123, of a label
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DOMAIN_MOST = 253
# An amount of bytes. Kubernetes would take `500m` for half a byte.
_QUANTITY = re.compile(r"(?=.*[1-9])\d+(\.\d+)?([KMGTPE]i|[kMGTPE])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeOptions:
    """`namespace`: of all objects, empty for the one that kubectl has chosen. `domain`: hosts of Ingresses are names
    below it. `storage`: the size of a claim whose volume has none. `storage_class`: empty for the cluster's own.

    Raises ComposeError for what no cluster takes."""

    namespace: str = ""
    domain: str = ""
    storage: str = "1Gi"
    storage_class: str = ""

    def __post_init__(self) -> None:
        if self.namespace and not is_label(self.namespace):
            raise ComposeError(f"{self.namespace!r} is no namespace: lowercase letters, digits and hyphens, 63 at most")
        for what, name in (("domain", self.domain), ("storage class", self.storage_class)):
            if name and not (len(name) <= _DOMAIN_MOST and all(map(is_label, name.split(".")))):
                raise ComposeError(f"{name!r} is no {what}: lowercase letters, digits, hyphens and dots")
        if not _QUANTITY.fullmatch(self.storage):
            raise ComposeError(f"{self.storage!r} is no size of storage; one is written like 500Mi or 1Gi")


@dataclass(frozen=True, slots=True)
class Note:
    """What of a service (or of the project, if `service` is empty) has no equivalent, or another one than expected."""

    service: str
    subject: str  # the field, as the compose file writes it
    sentence: str

    def __str__(self) -> str:
        return f"{f'service {self.service}, ' if self.service else ''}{self.subject}: {self.sentence}"


@dataclass(slots=True)
class Conversion:
    """One conversion: what it reads, and the notes that it gathers."""

    project: Project
    options: KubeOptions
    notes: list[Note] = field(default_factory=list)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)  # by (kind, object's name): the name it stands for

    def note(self, service: Service | None, subject: str, sentence: str) -> None:
        note = Note(service.name if service is not None else "", subject, sentence)
        if note not in self.notes:
            self.notes.append(note)

    def name(self, kind: str, text: str) -> str:
        """The name of the object of `kind` that stands for `text`: a label of RFC 1123. Raises ComposeError if it is
        another one's already."""
        name = object_name(text)
        if self._names.setdefault((kind, name), text) != text:
            raise ComposeError(
                f"{self._names[kind, name]!r} and {text!r} would both be the {kind} {name!r} in Kubernetes, where "
                "names consist of lowercase letters, digits and hyphens, 63 at most; rename one of them"
            )
        return name

    def has(self, kind: str, name: str) -> bool:
        """Whether an object of `kind` has this name already."""
        return (kind, name) in self._names

    def new_name(self, kind: str, wanted: str, text: str) -> str:
        """The name of an object of `kind` that stands for `text`, which only the object's own mounts know: as `wanted`
        or, if another one has that already, with a number before it."""
        name = free_name(wanted, lambda name: not self.has(kind, name))
        self._names[kind, name] = text
        return name

    def host_of(self, service: Service) -> Service:
        """The service in whose pod this one's container is: its own, or that of the service whose network it shares.

        Raises ComposeError.
        """
        seen = [service.name]
        while service.network_mode.startswith("service:"):
            name = service.network_mode.removeprefix("service:")
            if name not in self.project.services or name in seen:
                raise ComposeError(
                    f"service {seen[0]!r} shares the network of {name!r}, which is not among the services"
                )
            seen.append(name)
            service = self.project.services[name]
        return service

    def object(
        self, version: str, kind: str, name: str, parts: Mapping[str, Any], service: Service | None = None
    ) -> Json:
        """A whole object; `parts` are its fields beside apiVersion, kind and metadata."""
        metadata: Json = {"name": name, "labels": self.labels(service)}
        if self.options.namespace:
            metadata["namespace"] = self.options.namespace
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}

    def labels(self, service: Service | None) -> dict[str, str]:
        """The recommended labels (kubernetes.io, "Recommended Labels")."""
        found = {"app.kubernetes.io/part-of": object_name(self.project.name), "app.kubernetes.io/managed-by": "cove"}
        return {**self.selector(service), **found} if service is not None else found

    def selector(self, service: Service) -> dict[str, str]:
        """The labels by which a service's pods are found."""
        return {"app.kubernetes.io/name": object_name(service.name), "app.kubernetes.io/instance": self.instance}

    @property
    def instance(self) -> str:
        return object_name(self.project.name)

    def annotations(self, service: Service, field_name: str, given: Mapping[str, str]) -> dict[str, str]:
        """Labels and annotations of a compose file as annotations, which may have any value."""
        found = {}
        for key, value in given.items():
            if is_key(key):
                found[key] = value
            else:
                self.note(service, f"{field_name}.{key}", "Kubernetes allows no such key; it is left out")
        return found


def object_name(text: str) -> str:
    """`text` as a label of RFC 1123: lowercase letters, digits and hyphens, at most 63. Raises ComposeError."""
    name = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:_NAME_MOST].rstrip("-")
    if not name:
        raise ComposeError(f"{text!r} has neither a letter nor a digit, so it gives no name in Kubernetes")
    return name


def is_label(text: str) -> bool:
    """Whether it is a label of RFC 1123 in lowercase."""
    return _LABEL.fullmatch(text) is not None


def free_name(wanted: str, is_free: Callable[[str], bool]) -> str:
    """`wanted` as `object_name` has it, or the first with a number before it that is free. Raises ComposeError."""
    name, number = object_name(wanted), 2
    while not is_free(name):
        name, number = object_name(f"{number}-{wanted}"), number + 1
    return name


def is_key(text: str) -> bool:
    """Whether it may be the key of a label or an annotation."""
    return _KEY.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    return _LABEL_VALUE.fullmatch(text) is not None


def without_empty(parts: Mapping[str, Any]) -> Json:
    """Without the fields that say nothing. False and 0 stay."""
    return {key: value for key, value in parts.items() if value not in (None, "", {}, []) and value != ()}


def named(pairs: Iterable[tuple[str, str]]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in pairs]
