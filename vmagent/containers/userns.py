"""A container's user namespace, as the specification and the file operations need it."""

from __future__ import annotations

from typing import NamedTuple

from vmagent.linux.subids import IdMaps


class UserNamespace(NamedTuple):
    """A user namespace and its id maps. `path`: valid while the container starts."""

    path: str
    maps: IdMaps

    @property
    def ping_group_range(self) -> str:
        """The value of net.ipv4.ping_group_range: the first mapped range, as the kernel accepts only mapped ids."""
        first, _, count = self.maps.gids[0]
        return f"{first} {first + count - 1}"
