"""Networks with the containers in them, and the table's columns."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from desktop.client.engine import EngineClient
from desktop.ui.feed.collection import Collection
from desktop.ui.feed.container import PROJECT_LABEL, Attachment, Container
from desktop.ui.feed.happening import Happening
from desktop.ui.kit.elide import fit_start
from desktop.ui.kit.rows import Cell, Column, Segment
from desktop.ui.kit.words import from_rfc3339, natural, tr

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
PREDEFINED = frozenset({"bridge", "host", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network. `members` are the containers in it, running or not."""

    id: str
    name: str
    driver: str = "bridge"
    is_internal: bool = False
    has_ipv6: bool = False
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    created_s: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    members: tuple[Container, ...] = ()

    @classmethod
    def from_list(cls, entry: Mapping[str, Any]) -> Network:
        """From one entry of `GET /networks`."""
        pools = (entry.get("IPAM") or {}).get("Config") or ()
        return cls(
            id=str(entry["Id"]),
            name=str(entry["Name"]),
            driver=str(entry.get("Driver", "")),
            is_internal=bool(entry.get("Internal")),
            has_ipv6=bool(entry.get("EnableIPv6")),
            subnets=tuple(str(pool["Subnet"]) for pool in pools if pool.get("Subnet")),
            gateways=tuple(str(pool["Gateway"]) for pool in pools if pool.get("Gateway")),
            created_s=from_rfc3339(str(entry.get("Created", ""))) or 0.0,
            labels=dict(entry.get("Labels") or {}),
        )

    @property
    def is_predefined(self) -> bool:
        """The engine's own: it cannot be deleted."""
        return self.name in PREDEFINED

    @property
    def project(self) -> str:
        return self.labels.get(PROJECT_LABEL, "")

    @property
    def subnet(self) -> str:
        return ", ".join(self.subnets)

    @property
    def people(self) -> str:
        """The names of who is in it."""
        return ", ".join(member.name for member in self.members) or tr("nobody")

    def end_of(self, container: Container) -> Attachment | None:
        """The container's place in this network."""
        for end in container.networks:
            if end.network_id == self.id or (not end.network_id and end.network in (self.id, self.name)):
                return end
        return None

    def with_members(self, containers: list[Container]) -> Network:
        members = (container for container in containers if self.end_of(container) is not None)
        return replace(self, members=tuple(sorted(members, key=lambda c: natural(c.name))))


def _read(client: EngineClient) -> list[Network]:
    return [Network.from_list(entry) for entry in client.networks()]


def _changed_by(happening: Happening) -> bool:
    return happening.kind == "network" and happening.action in ("create", "destroy", "prune")


def collection() -> Collection[Network]:
    """The engine's networks, without their containers."""
    return Collection("networks", tr("The list of networks"), _read, _changed_by)


def columns() -> tuple[Column[Network], ...]:
    return (
        Column(
            title=tr("Name"),
            cell=lambda n: Cell(text=n.name, icon="share-network", role="name", tone="text"),
            tip=lambda n: f"{n.name}\n{n.id[:12]}",
            share=3,
        ),
        Column(
            title=tr("Subnet"),
            cell=lambda n: Cell(text=n.subnet or tr("none"), role="mono"),
            order=_subnet_order,
            width=132,
        ),
        Column(
            title=tr("Containers"),
            cell=lambda n: Cell(text=n.people, role="body"),
            order=lambda n: len(n.members),
            descends=True,
            fit=fit_start,
            share=3,
            tip=lambda n: ", ".join(member.name for member in n.members),
        ),
    )


def _subnet_order(network: Network) -> tuple[int, int]:
    try:
        subnet = ipaddress.ip_network(network.subnets[0]) if network.subnets else None
    except ValueError:
        subnet = None
    return (0, 0) if subnet is None else (subnet.version, int(subnet.network_address))


def segments() -> tuple[Segment[Network], ...]:
    return (
        Segment(tr("All"), lambda n: True),
        Segment(tr("In use"), lambda n: bool(n.members)),
        Segment(tr("Not in use"), lambda n: not n.members),
    )


def wrong_name(text: str) -> str:
    """Why `text` cannot be a network's name; empty if it can."""
    if NAME.fullmatch(text):
        return ""
    return tr("A name has letters, digits, and “_”, “.”, “-” after the first character.")


def wrong_subnet(text: str) -> str:
    """Why `text` cannot be a subnet; empty if it can, or if it is empty."""
    try:
        if text:
            ipaddress.ip_network(text)
    except ValueError as e:
        return str(e)
    return ""
