"""`--link`: names by which one container finds others.

On the default bridge a link is a line in the container's /etc/hosts and variables in its environment; the linked
container gets the further name `/CONTAINER/ALIAS`. On other networks it is a name that only this container's name
server knows (`Endpoint.links`), and the linked container need not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from vmagent.containers import hostfiles, records
from vmagent.containers.hostfiles import HostEntry
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.linktext import parse_link
from vmagent.containers.live import Live
from vmagent.containers.model import Container, ContainerId
from vmagent.engine.background import Background
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.registry import Registry
from vmagent.errors import BadRequest, Conflict, NotFound

_NOT_SHOWN = ("HOME", "PATH")  # of the linked container's environment


class Links:
    """Used on the event loop only."""

    def __init__(self, registry: Registry, background: Background, endpoints: Endpoints) -> None:
        self._registry, self._background, self._endpoints = registry, background, endpoints
        self._rewriting = asyncio.Lock()  # containers that start at once may be linked to by one

    # --- create

    def of_request(self, host: dict[str, Any], endpoints: dict[str, JsonObject]) -> dict[str, ContainerId]:
        """Alias → container, of the HostConfig `host` of a create request.

        On a user-defined network the links move into its settings among `endpoints`. Raises BadRequest.
        """
        links, mode = host["Links"] or (), host["NetworkMode"]
        parsed = [parse_link(text) for text in links]
        kind = mode.partition(":")[0]
        if parsed and kind in ("host", "container"):
            words = "host type networking" if kind == "host" else "container type network"
            raise BadRequest(
                f"conflicting options: {words} can't be used with links. This would result in undefined behavior"
            )
        if not parsed or mode not in ("bridge", "default"):
            if parsed and mode in endpoints and not endpoints[mode].get("Links"):
                endpoints[mode] = {**endpoints[mode], "Links": list(links)}
            host["Links"] = None
            return {}
        found = {}
        for name, alias in parsed:
            try:
                other = self._registry.find(name).record
            except NotFound as e:
                raise BadRequest(f"could not get container for {name}: {e}") from e
            if other.network_mode == "host":
                raise Conflict(
                    "conflicting options: host type networking can't be used with links. This would result in "
                    "undefined behavior"
                )
            found[alias] = other.id
        host["Links"] = None  # inspect shows them with the names that the containers have then
        return found

    # --- start

    def entries(self, record: Container) -> list[HostEntry]:
        """The lines of /etc/hosts for the container's links. Raises Conflict if a linked container does not run."""
        return [self._entry(record, alias, other) for alias, other in record.links.items()]

    def _entry(self, record: Container, alias: str, container_id: ContainerId) -> HostEntry:
        live = self._registry.get(container_id)
        name = live.record.name if live else container_id[:12]
        if live is None or not live.record.state.running:
            raise Conflict(f"Cannot link to a non running container: /{name} AS /{record.name}/{alias}")
        address = self._address(live.record)
        if not address:
            raise Conflict(f"Cannot link to /{name}, as it does not belong to the default network")
        return HostEntry(address, tuple(dict.fromkeys((alias, live.record.config["Hostname"], name))))

    def _address(self, record: Container) -> str:
        """The container's address on the default bridge; "" if it has none."""
        sandbox = self._endpoints.controller.sandbox(record.id)
        ends = sandbox.endpoints if sandbox else ()
        return next((str(end.address.ip) for end in ends if end.network_name == "bridge"), "")

    def environment(self, record: Container) -> list[str]:
        """The variables of the container's links: ALIAS_PORT, ALIAS_NAME, ALIAS_ENV_… as docker makes them.

        Links whose container does not run have none.
        """
        result: list[str] = []
        for alias, container_id in record.links.items():
            live = self._registry.get(container_id)
            if live is not None and (address := self._address(live.record)):
                result += _variables(record.name, alias, address, live.record)
        return result

    async def started(self, record: Container) -> None:
        """A container has started: running containers that have a link to it find it at its new address.

        Raises OSError.
        """
        for live in self._registry:
            if live.record.links and live.record.state.running:
                for alias, container_id in live.record.links.items():
                    if container_id == record.id:
                        entry = self._entry(live.record, alias, container_id)
                        folder = self._registry.folder(live.id) / records.ETC
                        async with self._rewriting:
                            await self._background.on_disk(hostfiles.replace_entry, folder, entry)

    # --- shapes and rm --link

    def shown(self, record: Container) -> list[str] | None:
        """inspect's `HostConfig.Links`."""
        found = []
        for alias, container_id in record.links.items():
            live = self._registry.get(container_id)
            found.append(f"/{live.record.name if live else container_id[:12]}:/{record.name}/{alias}")
        return found or None

    def names(self) -> dict[ContainerId, list[str]]:
        """The names that links give to other containers, without the first slash."""
        found: dict[ContainerId, list[str]] = {}
        for live in self._registry:
            for alias, container_id in live.record.links.items():
                found.setdefault(container_id, []).append(f"{live.record.name}/{alias}")
        return found

    async def remove(self, ref: str) -> None:
        """ContainerDelete with `link`: the link "CONTAINER/ALIAS". Raises NotFound, Conflict, OSError."""
        parent, slash, alias = ref.removeprefix("/").partition("/")
        if not slash:
            self._registry.find(ref)
            raise Conflict("Conflict, cannot remove the default link name of the container")
        live = self._linking(parent, alias, ref)
        async with live.lock:
            rest = {name: other for name, other in live.record.links.items() if name != alias}
            before, live.record.links = live.record.links, rest
            try:
                await self._background.on_disk(records.save_config, self._registry.folder(live.id), live.record)
            except OSError:
                live.record.links = before
                raise

    def _linking(self, parent: str, alias: str, ref: str) -> Live:
        try:
            live = self._registry.find(parent)
        except NotFound:
            live = None
        if live is None or alias not in live.record.links:
            raise NotFound(f"No such container: {ref}")
        return live


def _variables(own_name: str, alias: str, address: str, other: Container) -> Iterable[str]:
    prefix = alias.replace("-", "_").upper()
    ports = sorted(_port(key) for key in other.config.get("ExposedPorts") or ())
    if ports:
        number, protocol = ports[0]
        yield f"{prefix}_PORT={protocol}://{address}:{number}"
    for number, protocol in ports:
        name = f"{prefix}_PORT_{number}_{protocol.upper()}"
        yield f"{name}={protocol}://{address}:{number}"
        yield f"{name}_ADDR={address}"
        yield f"{name}_PORT={number}"
        yield f"{name}_PROTO={protocol}"
    yield f"{prefix}_NAME=/{own_name}/{alias}"
    for entry in other.config["Env"] or ():
        name, equals, value = entry.partition("=")
        if equals and name not in _NOT_SHOWN:
            yield f"{prefix}_ENV_{name}={value}"


def _port(key: str) -> tuple[int, str]:
    number, _, protocol = key.partition("/")
    return int(number), protocol or "tcp"
