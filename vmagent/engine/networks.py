"""The networks verbs of the Engine API on top of the network controller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from vmagent.containers import records
from vmagent.containers.jsonobject import JsonObject
from vmagent.containers.live import Live
from vmagent.containers.model import Container
from vmagent.engine.background import Background
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.events import EventBus
from vmagent.engine.filtervalues import flag, moment_ns
from vmagent.engine.ipamconfig import pools_of
from vmagent.engine.labels import has_labels
from vmagent.engine.launching import Launcher
from vmagent.engine.registry import Registry
from vmagent.errors import BadRequest, Conflict, EngineError, Forbidden, NotFound
from vmagent.networks.model import Network, Pool

log = structlog.get_logger(__name__)

DRIVERS = ("bridge", "macvlan", "ipvlan")  # of networks that a user can make
PREDEFINED = ("bridge", "host", "none", "default")


class Networks:
    """`engine.networks`."""

    def __init__(
        self,
        registry: Registry,
        bus: EventBus,
        background: Background,
        endpoints: Endpoints,
        launcher: Launcher,
    ) -> None:
        self._registry, self._bus, self._background = registry, bus, background
        self._endpoints, self._launcher = endpoints, launcher
        self._pruning = asyncio.Lock()

    async def list(self, filters: Mapping[str, Sequence[str]]) -> list[JsonObject]:
        """NetworkList; `Containers` is only in single inspects. Raises BadRequest."""
        _check(filters)
        return [self._json(n) for n in self._endpoints.controller.networks() if self._passes(n, filters)]

    async def inspect(self, ref: str) -> JsonObject:
        network = self._endpoints.controller.find(ref)
        shown = self._json(network)
        for container_id, endpoint in self._endpoints.controller.endpoints_on(network.id).items():
            live = self._registry.get(container_id)
            shown["Containers"][container_id] = {
                "Name": live.record.name if live else container_id[:12],
                "EndpointID": endpoint.id,
                "MacAddress": endpoint.mac,
                "IPv4Address": str(endpoint.address),
                "IPv6Address": str(endpoint.address6) if endpoint.address6 else "",
            }
        return shown

    async def create(self, body: JsonObject) -> JsonObject:
        """NetworkCreate. Raises Forbidden, Conflict, BadRequest."""
        name = str(body.get("Name") or "")
        if not name.strip():
            raise BadRequest("invalid network name: name is empty")
        if name in PREDEFINED:
            raise Forbidden(f"operation is not permitted on predefined {name} network")
        driver = body.get("Driver") or "bridge"
        if driver in ("host", "null"):
            raise Forbidden(f'only one instance of "{driver}" network is allowed')
        if driver not in DRIVERS:
            raise NotFound(f"could not find plugin {driver} in v1 plugin registry: plugin not found")
        has_ipv6 = bool(body.get("EnableIPv6"))
        ipv4, ipv6 = pools_of(body.get("IPAM") or {}, driver=driver, has_ipv6=has_ipv6)
        options = {str(key): str(value) for key, value in (body.get("Options") or {}).items()}
        network = await self._endpoints.call(
            self._endpoints.controller.create,
            name,
            driver=driver,
            ipv4=ipv4,
            ipv6=ipv6,
            has_ipv6=has_ipv6,
            internal=bool(body.get("Internal")),
            attachable=bool(body.get("Attachable")),
            mtu=int(options.get("com.docker.network.driver.mtu", 1500)),
            labels=body.get("Labels") or {},
            options=options,
        )
        self._publish(network, "create")
        return {"Id": network.id, "Warning": ""}

    async def remove(self, ref: str) -> None:
        """NetworkDelete. Raises NotFound, Forbidden."""
        network = self._endpoints.controller.find(ref)
        await self._endpoints.call(self._endpoints.controller.remove, network.id)
        self._publish(network, "destroy")

    async def open(self) -> None:
        """Take up what an engine that was killed in a connect or disconnect had recorded and not done yet."""
        for live in self._registry:
            if live.record.state.running and await self._endpoints.align(live.record):
                log.info("container.networks_aligned", container=live.id)
                try:
                    await self._launcher.refresh_resolv(live.record)
                except OSError as e:  # its names don't resolve until its next start, and all else does
                    log.error("container.resolv_stays", container=live.id, error=str(e))

    async def connect(self, ref: str, container: str, endpoint: JsonObject) -> None:
        """NetworkConnect: at once where the container runs, at its next start else. Goes on when the client leaves."""
        network, live = self._endpoints.controller.find(ref), self._registry.find(container)
        connecting = self._connect(network, live, dict(endpoint or {}))
        await asyncio.shield(self._background.spawn(connecting, f"connect {live.id[:12]}"))

    async def _connect(self, network: Network, live: Live, asked: JsonObject) -> None:
        record = live.record
        async with live.lock:
            if (
                not network.has_endpoints
                or record.network_mode == "host"
                or record.network_mode.startswith("container:")
            ):
                raise Forbidden(
                    "container cannot be connected to host network - container must be created in host network mode"
                )
            if network.name in record.endpoints:
                raise Forbidden(f"endpoint with name {record.name} already exists in network {network.name}")
            async with self._recorded(record, {**record.endpoints, network.name: asked}):
                if record.state.running:
                    await self._endpoints.connect_running(record, network, asked)
                    await self._launcher.refresh_resolv(record)

    async def disconnect(self, ref: str, container: str, *, force: bool) -> None:
        """NetworkDisconnect. Raises EngineError (500) where it is not on the network, as docker does."""
        network, live = self._endpoints.controller.find(ref), self._registry.find(container)
        disconnecting = self._disconnect(network, live, force=force)
        await asyncio.shield(self._background.spawn(disconnecting, f"disconnect {live.id[:12]}"))

    async def _disconnect(self, network: Network, live: Live, *, force: bool) -> None:
        record = live.record
        async with live.lock:
            if network.name not in record.endpoints:
                if force:
                    return
                raise EngineError(f"container {record.id} is not connected to network {network.name}")
            rest = {name: asked for name, asked in record.endpoints.items() if name != network.name}
            async with self._recorded(record, rest):
                if record.state.running:
                    await self._endpoints.disconnect_running(record, network)
                    await self._launcher.refresh_resolv(record)

    @asynccontextmanager
    async def _recorded(self, record: Container, endpoints: dict[str, JsonObject]) -> AsyncIterator[None]:
        """Write the new `endpoints` to the record, then run the block, which brings the kernel in line with them.

        If the engine is killed in between, the next `open` does what the record says. If the block fails, the record
        and the kernel's state are restored. Raises EngineError.
        """
        before = record.endpoints
        await self._save(record, endpoints)
        try:
            yield
        except BaseException:
            await self._save(record, before)
            await self._endpoints.align(record)
            raise

    async def _save(self, record: Container, endpoints: dict[str, JsonObject]) -> None:
        before, record.endpoints = record.endpoints, endpoints
        try:
            await self._background.on_disk(records.save_config, self._registry.folder(record.id), record)
        except OSError as e:
            record.endpoints = before
            raise EngineError(f"record the networks of container {record.name}: {e.strerror}") from e
        await self._endpoints.reserve(record)

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> JsonObject:
        """NetworkPrune: networks of the user's that no container is configured on."""
        _check(filters)
        if self._pruning.locked():
            raise Conflict("a prune operation is already running")
        async with self._pruning:
            before_ns = min((moment_ns(value) for value in filters.get("until", ())), default=None)
            used = {name for live in self._registry for name in live.record.endpoints}
            deleted = []
            for network in self._endpoints.controller.networks():
                if network.predefined or network.name in used or not has_labels(network.labels, filters):
                    continue
                if before_ns is not None and moment_ns(network.created) >= before_ns:
                    continue
                with suppress(NotFound, Forbidden):  # removed or used meanwhile
                    await self.remove(network.id)
                    deleted.append(network.name)
            return {"NetworksDeleted": deleted or None}

    def _publish(self, network: Network, action: str) -> None:
        self._bus.publish("network", action, network.id, {"name": network.name, "type": network.driver})

    @staticmethod
    def _json(network: Network) -> JsonObject:
        return {
            "Name": network.name,
            "Id": network.id,
            "Created": network.created,
            "Scope": "local",
            "Driver": network.driver,
            "EnableIPv4": True,
            "EnableIPv6": network.ipv6 is not None,
            "IPAM": {"Driver": "default", "Options": None, "Config": [_pool_json(pool) for pool in network.pools]},
            "Internal": network.internal,
            "Attachable": network.attachable,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {},
            "Options": dict(network.options),
            "Labels": dict(network.labels),
        }

    def _passes(self, network: Network, filters: Mapping[str, Sequence[str]]) -> bool:
        for key, values in filters.items():
            if not values:
                continue
            match key:
                case "name":
                    passed = any(value in network.name for value in values)
                case "id":
                    passed = any(network.id.startswith(value) for value in values)
                case "driver":
                    passed = network.driver in values
                case "scope":
                    passed = "local" in values
                case "type":
                    passed = ("builtin" if network.predefined else "custom") in values
                case "dangling":
                    used = any(network.name in live.record.endpoints for live in self._registry)
                    is_dangling = not used and not network.predefined
                    passed = any(flag(key, value) == is_dangling for value in values)
                case "label":
                    passed = has_labels(network.labels, {"label": values})
                case _:
                    passed = True
            if not passed:
                return False
        return True


def _check(filters: Mapping[str, Sequence[str]]) -> None:
    """Raises BadRequest for values that docker refuses."""
    for value in filters.get("dangling", ()):
        flag("dangling", value)
    for value in filters.get("type", ()):
        if value not in ("builtin", "custom"):
            raise BadRequest(f"invalid filter 'type={value}'")
    for value in filters.get("until", ()):
        moment_ns(value)


def _pool_json(pool: Pool) -> JsonObject:
    shown: JsonObject = {"Subnet": str(pool.subnet), "Gateway": str(pool.gateway)}
    if pool.ip_range:
        shown["IPRange"] = str(pool.ip_range)
    if pool.auxiliary:
        shown["AuxiliaryAddresses"] = {name: str(address) for name, address in pool.auxiliary.items()}
    return shown
