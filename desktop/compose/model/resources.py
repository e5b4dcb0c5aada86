"""Networks, volumes, configs and secrets of a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose.errors import ComposeError
from desktop.compose.model.common import LABELS, OPTIONS, TEXT, Labels
from desktop.compose.shapes.base import Base, overlay
from desktop.compose.shapes.collections import Listing, Named, Pairs, field_key
from desktop.compose.shapes.objects import Object, extensions, of
from desktop.compose.shapes.scalars import Bool, PathText
from desktop.compose.yamltree import Node


@dataclass(frozen=True, slots=True)
class AddressPool:
    """A subnet of a network."""

    subnet: str = of(TEXT)
    gateway: str = of(TEXT)
    ip_range: str = of(TEXT)
    aux_addresses: Mapping[str, str] = of(LABELS, {})
    extensions: Mapping[str, Any] = extensions()


class Unwritten(Pairs):
    """Options that docker compose reads and does not write."""

    def is_empty(self, value: Any, *, yaml: bool) -> bool:
        return True


class Pools(Listing):
    """`ipam.config`: the later file's subnets count, and take over what the earlier one says of the same subnet."""

    def merge(self, under: Node, over: Node) -> Node:
        assert self.key is not None
        before = {self.key(item): item for item in under.value}
        items = ((before.get(self.key(item)), item) for item in over.value)
        return over.of(tuple(overlay(self.item, mine, item) if mine is not None else item for mine, item in items))


@dataclass(frozen=True, slots=True)
class Ipam:
    """How a network gives addresses."""

    driver: str = of(TEXT)
    config: tuple[AddressPool, ...] = of(Pools(Object(AddressPool), key=field_key("subnet")), ())
    options: Mapping[str, str] = of(Unwritten(only_mapping=True), {})
    extensions: Mapping[str, Any] = extensions()


class External(Bool):
    """True, false, or in older files a mapping with the name."""

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        return node.of(True) if node.is_mapping else super().canonical(node, base, what)


def _external_name(shape: Object, node: Node) -> Node:
    external, name = node.get("external"), node.get("name")
    if external is None or not external.is_mapping or (old := external.get("name")) is None:
        return node
    if name is not None and name.value != old.value:
        raise ComposeError("name and external.name differ; only use name", name.where)
    return node.of({**node.value, "name": old})


@dataclass(frozen=True)
class Resourceful(Object):
    """A network, volume, config or secret of the top level, which may be external."""

    own: tuple[str, ...] = ()  # of these keys exactly one is there, unless it is external or has a driver

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if node.is_mapping:
            node = _external_name(self, node)
        return super().canonical(node, base, what)


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the project."""

    name: str = of(TEXT)
    driver: str = of(TEXT)
    driver_opts: Mapping[str, str] = of(OPTIONS, {})
    ipam: Ipam = of(Object(Ipam, keep=True), Ipam())
    external: bool = of(External(), False)
    internal: bool = of(Bool(), False)
    attachable: bool = of(Bool(), False)
    labels: Labels = of(LABELS, {})
    enable_ipv4: bool | None = of(Bool(optional=True), None)
    enable_ipv6: bool | None = of(Bool(optional=True), None)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of the project."""

    name: str = of(TEXT)
    driver: str = of(TEXT)
    driver_opts: Mapping[str, str] = of(OPTIONS, {})
    external: bool = of(External(), False)
    labels: Labels = of(LABELS, {})
    extensions: Mapping[str, Any] = extensions()


def _bind_device(node: Node, base: Base) -> Node:
    """The folder behind a volume of the local driver with `o: bind`."""
    driver, kind, device = node.get("driver"), node.get("driver_opts", "o"), node.get("driver_opts", "device")
    if driver is None or driver.value != "local" or kind is None or kind.value != "bind" or device is None:
        return node
    options = node.value["driver_opts"]
    return node.of(
        {
            **node.value,
            "driver_opts": options.of({**options.value, "device": device.of(base.unix_path(str(device.value)))}),
        }
    )


@dataclass(frozen=True, slots=True)
class FileObject:
    """A config or secret of the project: its content comes from one of file, environment and content."""

    name: str = of(TEXT)
    file: str = of(PathText(unix=True))
    environment: str = of(TEXT)
    content: str = of(TEXT)
    external: bool = of(External(), False)
    labels: Labels = of(LABELS, {})
    driver: str = of(TEXT)
    driver_opts: Mapping[str, str] = of(OPTIONS, {})
    template_driver: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


def _write_secret(shape: Object, secret: FileObject, yaml: bool) -> Any:
    found = shape.fields(secret, yaml=yaml)
    found.pop("content", None)
    return found


def _write_config(shape: Object, config: FileObject, yaml: bool) -> Any:
    found = shape.fields(config, yaml=yaml)
    if config.environment:
        found.pop("content", None)
    return found


NETWORKS = Named(Resourceful(Network), nulls=True)
NAMED_VOLUMES = Named(Resourceful(Volume, complete=_bind_device), nulls=True)
SECRETS = Named(Resourceful(FileObject, write=_write_secret))
CONFIGS = Named(Resourceful(FileObject, write=_write_config))
