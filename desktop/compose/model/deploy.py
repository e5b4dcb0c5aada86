"""`deploy` of a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose.model.common import LABELS, TEXT, TEXTS, Always, Labels
from desktop.compose.model.devices import DEVICE_REQUESTS, DeviceRequest
from desktop.compose.shapes.collections import Listing
from desktop.compose.shapes.objects import Object, extensions, of
from desktop.compose.shapes.scalars import Duration, Float, Int, Size, ZeroDuration


@dataclass(frozen=True, slots=True)
class UpdateConfig:
    """How the replicas are updated; only orchestrators use it."""

    parallelism: int | None = of(Int(optional=True), None)
    delay: int = of(ZeroDuration(), 0)
    failure_action: str = of(TEXT)
    monitor: int = of(ZeroDuration(), 0)
    max_failure_ratio: float = of(Float(), 0.0)
    order: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class DiscreteResource:
    """So many of a kind."""

    kind: str = of(Always())
    value: int = of(Int(optional=True), 0)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class GenericResource:
    """A resource that only an orchestrator knows."""

    discrete_resource_spec: DiscreteResource | None = of(Object(DiscreteResource), None)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Resource:
    """Limits or reservations."""

    cpus: float = of(Float(), 0.0)
    memory: int = of(Size(), 0)
    pids: int = of(Int(), 0)
    devices: tuple[DeviceRequest, ...] = of(DEVICE_REQUESTS, ())
    generic_resources: tuple[GenericResource, ...] = of(Listing(Object(GenericResource)), ())
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Resources:
    """`deploy.resources`."""

    limits: Resource | None = of(Object(Resource), None)
    reservations: Resource | None = of(Object(Resource), None)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """`deploy.restart_policy`."""

    condition: str = of(TEXT)
    delay: int | None = of(Duration(), None)
    max_attempts: int | None = of(Int(optional=True), None)
    window: int | None = of(Duration(), None)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Preference:
    """A wish of `placement`."""

    spread: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Placement:
    """On which nodes of an orchestrator."""

    constraints: tuple[str, ...] = of(TEXTS, ())
    preferences: tuple[Preference, ...] = of(Listing(Object(Preference)), ())
    max_replicas_per_node: int = of(Int(), 0)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Deploy:
    """`deploy`."""

    mode: str = of(TEXT)
    replicas: int | None = of(Int(optional=True, least=0), None)
    labels: Labels = of(LABELS, {})
    update_config: UpdateConfig | None = of(Object(UpdateConfig), None)
    rollback_config: UpdateConfig | None = of(Object(UpdateConfig), None)
    resources: Resources = of(Object(Resources, keep=True), Resources())
    restart_policy: RestartPolicy | None = of(Object(RestartPolicy), None)
    placement: Placement = of(Object(Placement, keep=True), Placement())
    endpoint_mode: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()
