"""What the map of the networks shows: ports of this computer, networks with containers, volumes. No Qt in here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from desktop.ui.feed.container import Container, Port
from desktop.ui.kit.words import natural
from desktop.ui.networks.model import Network

WITHOUT_INTERFACES = frozenset({"host", "null"})  # drivers: containers get no interface in such a network


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A container in one network. Of one in several networks, ports and volumes are shown in one (`is_leading`): of
    those that are not internal the one of its project, else the first. `address` is empty while it has none."""

    network_id: str
    container: Container
    address: str
    is_connected: bool  # it has an interface there now
    is_leading: bool

    @property
    def ports(self) -> tuple[Port, ...]:
        return self.container.ports if self.is_leading and self.container.is_running else ()

    @property
    def volumes(self) -> tuple[str, ...]:
        return self.container.volumes if self.is_leading else ()


@dataclass(frozen=True, slots=True)
class Frame:
    """A network with those of its containers that are shown."""

    network: Network
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """All of the map. `unused`: so many networks have no containers."""

    frames: tuple[Frame, ...] = ()
    unused: int = 0

    @property
    def has_traffic(self) -> bool:
        """Whether there is a container that can send anything."""
        return any(member.is_connected for frame in self.frames for member in frame.members)


def facts_of(networks: Iterable[Network], text: str = "") -> Facts:
    """The map of `networks`, with their members. Of networks whose names and subnets lack `text`, only the containers
    that have it in their own texts."""
    present = sorted(networks, key=lambda n: (n.is_predefined, natural(n.name)))
    used = [network for network in present if network.members]
    leading: dict[str, tuple[tuple[bool, bool], str]] = {}  # the first of the best; by container: how good, and which
    for network in used:
        for container in network.members:
            rank = network.is_internal, network.project != container.project
            if container.id not in leading or rank < leading[container.id][0]:
                leading[container.id] = rank, network.id
    wanted = text.strip().lower()
    frames = []
    for network in used:
        is_meant = wanted in "\n".join((network.name, network.subnet, network.project)).lower()
        members = tuple(
            _member(network, container, is_leading=leading[container.id][1] == network.id)
            for container in network.members
            if is_meant or wanted in container.haystack
        )
        if members:
            frames.append(Frame(network, members))
    return Facts(tuple(frames), len(present) - len(used))


def _member(network: Network, container: Container, *, is_leading: bool) -> Member:
    end = network.end_of(container)
    address = end.address if end is not None and container.is_running else ""
    is_connected = container.is_running and not container.lost and network.driver not in WITHOUT_INTERFACES
    return Member(
        network_id=network.id,
        container=container,
        address=address,
        is_connected=is_connected,
        is_leading=is_leading,
    )
