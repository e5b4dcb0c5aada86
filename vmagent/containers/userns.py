"""A container's user namespace, as its specification and its files need to know it."""

from __future__ import annotations

from typing import NamedTuple

from vmagent.linux.subids import IdMaps


class UserNamespace(NamedTuple):
    """`path`: where it is found while the container starts."""

    path: str
    maps: IdMaps

    @property
    def ping_group_range(self) -> str:
        """All groups of the first range: the kernel takes only ids that are mapped (net/ipv4, ping_group_range)."""
        first, _, count = self.maps.gids[0]
        return f"{first} {first + count - 1}"
