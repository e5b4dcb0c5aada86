"""The containers of an open engine, found by id, name or a prefix of the id."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from vmagent.containers.live import Live
from vmagent.containers.model import Container, ContainerId
from vmagent.containers.names import Names
from vmagent.errors import NotFound
from vmagent.images.removal import ImageUser
from vmagent.paths import DataRoot


class Registry:
    """All containers in memory. Used on the event loop only.

    A name is reserved before its container exists (`names.reserve`); `add` makes the container visible.
    """

    def __init__(self, data_root: DataRoot) -> None:
        self._folder_of = functools.lru_cache(maxsize=8)(data_root.containers.joinpath)  # one start asks six times
        self.names = Names()
        self._live: dict[ContainerId, Live] = {}

    def __iter__(self) -> Iterator[Live]:
        """A snapshot of the containers, in order of creation: the caller may await between two of them."""
        return iter(list(self._live.values()))

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, container_id: str) -> bool:
        return ContainerId(container_id) in self._live

    def find(self, ref: str) -> Live:
        """By id, name or a prefix of the id, or by a link's name CONTAINER/ALIAS. Raises NotFound, BadRequest."""
        parent, slash, alias = ref.removeprefix("/").partition("/")
        if slash and (linking := self._live.get(self.names.resolve(parent))) is not None:
            ref = linking.record.links.get(alias, ref)
        live = self._live.get(self.names.resolve(ref))
        if live is None:
            raise NotFound(f"No such container: {ref}")
        return live

    def get(self, container_id: str) -> Live | None:
        """By full id; None where there is no such container."""
        return self._live.get(ContainerId(container_id))

    def add(self, live: Live) -> None:
        """Register a container whose name is reserved already."""
        self.names.add_id(live.record.id)
        self._live[live.record.id] = live

    def remove(self, record: Container) -> None:
        """Forget a container, its name and its id."""
        self.names.release(record.name)
        self.names.drop_id(record.id)
        self._live.pop(record.id, None)

    def clear(self) -> None:
        """Forget all containers and names."""
        self._live.clear()
        self.names = Names()

    def folder(self, container_id: str) -> Path:
        """The container's folder under the data root."""
        return self._folder_of(container_id)

    def network_owner(self, live: Live) -> Live:
        """The container whose network namespace `live` is in; as far as it is known, where one was removed."""
        while live.record.network_mode.startswith("container:"):
            other = self.get(live.record.network_mode.partition(":")[2])
            if other is None:
                break
            live = other
        return live

    def image_users(self) -> Iterator[ImageUser]:
        """Every container with its image, for the check before an image is removed."""
        return (ImageUser(live.record.image_id, live.id, live.record.state.running) for live in self._live.values())
