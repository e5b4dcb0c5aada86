"""ContainerCreate: from a request to a record on disk. A failed create removes everything that it made."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from vmagent.containers import configure, records
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.live import Live
from vmagent.containers.model import Container, MountKind, MountPoint, now_ns
from vmagent.containers.mounts import follow_data_root, inherited_destinations, requested_mounts
from vmagent.containers.names import checked_name
from vmagent.containers.security import effective_capabilities, parse_security
from vmagent.containers.spares import Spare
from vmagent.engine.background import Background
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.files import Files
from vmagent.engine.hostfolders import HostFolders
from vmagent.engine.lifecycle import Lifecycle
from vmagent.engine.links import Links
from vmagent.engine.registry import Registry
from vmagent.engine.tidying import Tidying
from vmagent.engine.userns import UserNamespaces
from vmagent.engine.volumes import Volumes
from vmagent.errors import BadRequest, NotFound
from vmagent.images.imagestore import platform_of
from vmagent.images.platforms import Platform
from vmagent.images.store import Store
from vmagent.paths import DataRoot


class Creator:
    """Creates containers."""

    def __init__(
        self,
        data_root: DataRoot,
        registry: Registry,
        events: ContainerEvents,
        background: Background,
        tidying: Tidying,
        users: UserNamespaces,
        images: Store,
        endpoints: Endpoints,
        volumes: Volumes,
        files: Files,
        lifecycle: Lifecycle,
        links: Links,
        host_folders: HostFolders,
        *,
        log_default: JsonObject,
    ) -> None:
        """`log_default`: HostConfig.LogConfig for requests without one."""
        self._registry, self._events, self._background, self._tidying = registry, events, background, tidying
        self._users, self._images, self._endpoints = users, images, endpoints
        self._volumes, self._files, self._lifecycle = volumes, files, lifecycle
        self._links, self._host_folders = links, host_folders
        self._data_root, self._log_default = data_root, log_default

    async def create(
        self, body: dict[str, Any], *, name: str, platform: str, api_version: tuple[int, int]
    ) -> tuple[str, list[str]]:
        """ContainerCreate: returns (id, warnings).

        Raises BadRequest, Conflict (the name is taken), and NotFound only for a missing image.
        """
        spare = self._tidying.take_spare()
        try:
            return await self._create(spare, body, name=name, platform=platform, api_version=api_version)
        finally:
            self._tidying.return_spare(spare)

    async def _create(
        self, spare: Spare, body: dict[str, Any], *, name: str, platform: str, api_version: tuple[int, int]
    ) -> tuple[str, list[str]]:
        began = asyncio.get_running_loop().time()
        container_id = spare.id
        image_ref = body.get("Image") or ""
        if not image_ref:
            raise BadRequest("no image specified")
        image = self._images.resolve(image_ref, platform_of(platform) if platform else None)
        warnings = self._platform_warnings(image.config, platform, image_ref)
        asked = configure.complete(
            body, image.defaults, container_id, api_version=api_version, log_default=self._log_default
        )
        host = asked.host_config
        parse_security(host["SecurityOpt"])
        effective_capabilities(host)
        self._users.check(host)
        self._pin_containers(host)
        mounts = requested_mounts(asked.config, host, self._volume_source)
        if any(mount.kind is MountKind.BIND for mount in mounts):
            mounts = await self._background.on_disk(follow_data_root, mounts, str(self._data_root.path))
        inherited = inherited_destinations(host["VolumesFrom"] or (), self._volume_source)
        await self._host_folders.check(
            [mount for mount in mounts if mount.kind is MountKind.BIND and mount.destination not in inherited]
        )
        with ExitStack() as claims:
            async with AsyncExitStack() as undo:
                chosen = checked_name(name) if name else self._registry.names.generate()
                self._registry.names.reserve(chosen, container_id)
                undo.callback(self._registry.names.release, chosen)
                hold = self._images.hold(image.id)
                undo.callback(hold.release)
                endpoints = self._endpoints.complete_endpoints(asked.endpoints)
                links = self._links.of_request(host, endpoints)
                record = Container(
                    id=container_id,
                    name=chosen,
                    created_ns=now_ns(),
                    image_id=image.id,
                    image_ref=image_ref,
                    platform="linux",
                    argv=asked.argv,
                    config=asked.config,
                    host_config=host,
                    endpoints=endpoints,
                    mounts=mounts,
                    layers=len(image.layers),
                    links=links,
                )
                record.mounts = await self._claim_volumes(record, claims)
                folder = self._registry.folder(container_id)
                undo.push_async_callback(self._tidying.discard_tree, folder)
                spare.is_used = True
                save = partial(records.save_new, is_made=spare.is_made, is_durable=spare.is_durable)
                await self._background.on_disk(save, folder, record)
                self._tidying.replace_spare()
                undo.pop_all()
                live = Live(record)  # from here on its volumes count as in use
                self._registry.add(live)
                await self._endpoints.reserve(record)
                self._lifecycle.image_holds[container_id] = hold
        self._events.publish(record, "create")
        live.note_create((asyncio.get_running_loop().time() - began) * 1000)
        return container_id, [*warnings, *asked.warnings]

    @staticmethod
    def _platform_warnings(config: dict[str, Any], platform: str, image_ref: str) -> list[str]:
        made_for = Platform.from_json(config)
        host = Platform.host()
        if platform:
            wanted = platform_of(platform)
            if not made_for.suits(wanted):
                raise NotFound(
                    f"image with reference {image_ref} was found but does not match the specified platform: "
                    f"wanted {platform}, actual: {made_for}"
                )
            return []
        if made_for.suits(host):
            return []
        return [
            f"The requested image's platform ({made_for}) does not match the detected host platform ({host}) "
            "and no specific platform was requested"
        ]

    def _pin_containers(self, host: dict[str, Any]) -> None:
        """Replace the reference in each `container:REF` mode by a full id, since a name may be reused later.

        Raises BadRequest for an unknown container.
        """
        for field in ("NetworkMode", "IpcMode", "PidMode"):
            kind, colon, ref = host[field].partition(":")
            if kind == "container" and colon:
                host[field] = f"container:{self._find(ref).id}"

    def _find(self, ref: str) -> Container:
        """The container `ref`. Raises BadRequest if there is none: clients answer a 404 by pulling the image."""
        try:
            return self._registry.find(ref).record
        except NotFound as e:
            raise BadRequest(str(e)) from e

    def _volume_source(self, ref: str) -> Container:
        return self._find(ref)

    async def _claim_volumes(self, record: Container, claims: ExitStack) -> list[MountPoint]:
        """Create missing volumes, and fill empty ones with the image's content at the mount's destination.

        Returns the mounts with volume names and sources filled in. The claims on the volumes go into `claims`.
        """
        mounts = []
        for mount in record.mounts:
            if mount.kind is not MountKind.VOLUME:
                mounts.append(mount)
                continue
            claimed = await self._volumes.claim(
                mount.volume, driver=mount.driver, labels=mount.volume_labels, options=mount.volume_options
            )
            claims.callback(claimed.release)
            mounts.append(replace(mount, volume=claimed.name, source=str(claimed.path)))
            if mount.copy and await self._files.image_has(record, mount.destination):
                copy = partial(
                    self._files.copy_up, record, mount.destination, is_own=self._volumes.is_own(claimed.name)
                )
                await self._volumes.fill(claimed.name, copy)
            else:
                await self._volumes.settled(claimed.name)
        return mounts
