"""Devices of a service: the host's, those of a driver, and limits of block I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose import values
from desktop.compose.errors import ComposeError
from desktop.compose.model.common import LABELS, TEXT, TEXTS, Always
from desktop.compose.shapes.base import Base, wrong
from desktop.compose.shapes.collections import Listing, field_key
from desktop.compose.shapes.objects import Object, extensions, of
from desktop.compose.shapes.scalars import Count, Int, Size
from desktop.compose.yamltree import Node


@dataclass(frozen=True, slots=True)
class WeightDevice:
    """A device's share of block I/O."""

    path: str = of(Always())
    weight: int = of(Int(), 0)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class ThrottleDevice:
    """A device's limit of block I/O, in bytes or operations a second."""

    path: str = of(Always())
    rate: int = of(Size(), 0)
    extensions: Mapping[str, Any] = extensions()


def _write_device(shape: Object, device: Any, yaml: bool) -> Any:
    found = shape.fields(device, yaml=yaml)
    return found if yaml else {name.capitalize(): item for name, item in found.items()}


_THROTTLES = Listing(Object(ThrottleDevice, write=_write_device))


@dataclass(frozen=True, slots=True)
class Blkio:
    """`blkio_config`."""

    weight: int = of(Int(), 0)
    weight_device: tuple[WeightDevice, ...] = of(Listing(Object(WeightDevice, write=_write_device)), ())
    device_read_bps: tuple[ThrottleDevice, ...] = of(_THROTTLES, ())
    device_read_iops: tuple[ThrottleDevice, ...] = of(_THROTTLES, ())
    device_write_bps: tuple[ThrottleDevice, ...] = of(_THROTTLES, ())
    device_write_iops: tuple[ThrottleDevice, ...] = of(_THROTTLES, ())
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """Devices of a driver, such as GPUs; `count` -1 is all of them."""

    capabilities: tuple[str, ...] = of(TEXTS, ())
    driver: str = of(TEXT)
    count: int = of(Count(), 0)
    device_ids: tuple[str, ...] = of(TEXTS, ())
    options: Mapping[str, str] = of(LABELS, {})


def _device_request(node: Node, what: str) -> None:
    if node.get("count") is not None and node.get("device_ids") is not None:
        raise ComposeError(f'{what}: "count" and "device_ids" exclude each other', node.where)


def _all_devices(node: Node, base: Base) -> Node:
    if node.get("count") is None and node.get("device_ids") is None:
        return node.of({**node.value, "count": Node(-1, node.mark)})
    return node


DEVICE_REQUESTS = Listing(Object(DeviceRequest, check=_device_request, complete=_all_devices))


class Gpus(Listing):
    """`gpus`: a list of requests, or the word `all`."""

    def canonical(self, node: Node, base: Base, what: str) -> Node:
        if isinstance(node.value, str):
            if node.value != "all":
                raise wrong(node, what, "a list, or the word all")
            node = node.of((Node({"count": Node(-1, node.mark)}, node.mark),))
        return super().canonical(node, base, what)


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the host in a container."""

    source: str = of(TEXT)
    target: str = of(TEXT)
    permissions: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


def _device(node: Node, what: str) -> Node:
    if not isinstance(node.value, str):
        raise wrong(node, what, "a string or a mapping")
    try:
        parts = values.parse_device(node.value)
    except ValueError as e:
        raise ComposeError(f"{what}: {e}", node.mark) from e
    return node.of(
        {key: Node(part, node.mark) for key, part in zip(("source", "target", "permissions"), parts, strict=True)}
    )


DEVICES = Listing(Object(Device, short=_device), key=field_key("target"))
