"""Which volumes with a file system of their own are mounted, and for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from vmagent.engine.background import Background
from vmagent.volumes import devices
from vmagent.volumes.model import Volume


class MountedVolumes:
    """Mounts such a volume for its first user and unmounts it after the last. Used on the loop only."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._users: dict[str, set[str]] = {}  # volume → containers, and others with a name of their own
        self._changing = asyncio.Lock()

    async def use(self, volume: Volume, user: str) -> None:
        """Mount the volume if nobody uses it yet. Idempotent for a user. Raises EngineError."""
        if (device := volume.device) is None:
            return
        async with self._changing:
            if not self._users.get(volume.name):
                await self._background.on_disk(devices.mount, device, volume.data)
            self._users.setdefault(volume.name, set()).add(user)

    def is_there(self, volume: Volume) -> bool:
        """Whether the volume's folder shows its content now."""
        return volume.device is None or volume.name in self._users

    async def end(self, volume: Volume, user: str) -> None:
        """Unmount the volume if `user` was the last one. Idempotent. Raises OSError."""
        if volume.device is None:
            return
        async with self._changing:
            users = self._users.get(volume.name)
            if users is None or user not in users:
                return
            users.discard(user)
            if not users:
                del self._users[volume.name]
                await self._background.on_disk(devices.unmount, volume.data)

    async def take_over(self, volumes: Iterable[Volume], users: Mapping[str, set[str]]) -> None:
        """After the start of an engine: `users` run, so what they use is mounted; unmount the rest. Raises OSError."""
        for volume in volumes:
            if volume.device is None:
                continue
            if volume.name in users:
                self._users[volume.name] = set(users[volume.name])
            else:
                await self._background.on_disk(devices.unmount, volume.data)
