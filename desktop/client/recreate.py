"""A container once more with other settings: docker cannot change them, so a new container takes the old one's place.

The old one is stopped and keeps all it has until the new one runs. If that fails it gets its name back and is started
again. Its volumes, also those without a name, go on in the new one; what it has written elsewhere does not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from desktop.client.api import ApiError, Json
from desktop.client.engine import ConnectionFailed, EngineClient

T = TypeVar("T")
ATTEMPTS, PAUSE_S = 40, 0.5  # while the engine is restarted, the way back is tried again
WITHOUT_ENDPOINT = ("host", "none", "container:")  # network modes


class RecreationFailed(Exception):
    """The new container did not take the old one's place."""


class NotRecreated(RecreationFailed):
    """The new container did not start. The old one is as it was; str() is the engine's reason."""


class LeftAside(RecreationFailed):
    """The new container did not start, and the old one could not be put back: it is stopped under the name `name`."""

    def __init__(self, reason: Exception, name: str) -> None:
        super().__init__(str(reason))
        self.name = name


def body_of(inspected: Mapping[str, Any], image: Mapping[str, Any] | None) -> Json:
    """The body of `POST /containers/create` for a container like `inspected` (ContainerInspectResponse).

    `image`: the inspect data of the image that the container's image name leads to now; None: nothing has that name.
    If it is another image than the container's, the new container gets the old image by its id.
    """
    config = {**inspected["Config"]}
    host = {**inspected["HostConfig"]}
    container_id = str(inspected["Id"])
    if config.get("Hostname") == container_id[:12]:
        del config["Hostname"]  # the default, from the id
    if image is None or image.get("Id") != inspected.get("Image"):
        config["Image"] = inspected["Image"]
    host["Links"] = [_link(str(link)) for link in host.get("Links") or ()] or None
    host["Binds"] = [*(host.get("Binds") or ()), *_anonymous(inspected)] or None
    host["Mounts"] = [_with_source(mount, inspected) for mount in host.get("Mounts") or ()] or None
    body = {**config, "HostConfig": host}
    mode = str(host.get("NetworkMode") or "default")
    if not mode.startswith(WITHOUT_ENDPOINT):
        body["NetworkingConfig"] = {"EndpointsConfig": _endpoints(inspected)}
    return body


def _link(told: str) -> str:
    """`/target:/name/alias`, as inspect has it, in the form that create takes."""
    target, _, alias = told.partition(":")
    return f"{target.lstrip('/')}:{alias.rpartition('/')[2]}"


def _volume_at(inspected: Mapping[str, Any], target: str) -> str:
    found = (m for m in inspected.get("Mounts") or () if m.get("Type") == "volume" and m.get("Destination") == target)
    return next((str(mount.get("Name") or "") for mount in found), "")


def _with_source(mount: Mapping[str, Any], inspected: Mapping[str, Any]) -> Json:
    """A mount of HostConfig; a volume without a name gets that which it has."""
    if mount.get("Type") != "volume" or mount.get("Source"):
        return dict(mount)
    return {**mount, "Source": _volume_at(inspected, str(mount.get("Target") or ""))}


def _anonymous(inspected: Mapping[str, Any]) -> list[str]:
    """Binds of the volumes that only the image, or `-v PATH`, has asked for."""
    host = inspected["HostConfig"]
    asked = {str(bind).split(":")[1] for bind in host.get("Binds") or () if ":" in str(bind)}
    asked |= {str(mount.get("Target") or "") for mount in host.get("Mounts") or ()}
    return [
        f"{mount['Name']}:{mount['Destination']}{'' if mount.get('RW', True) else ':ro'}"
        for mount in inspected.get("Mounts") or ()
        if mount.get("Type") == "volume" and mount.get("Name") and mount["Destination"] not in asked
    ]


def _endpoints(inspected: Mapping[str, Any]) -> Json:
    """The networks with what was asked for in each: addresses, aliases, links, options."""
    own = {str(inspected["Id"])[:12], str(inspected.get("Name", "")).lstrip("/")}
    found: dict[str, Any] = {}
    for name, end in ((inspected.get("NetworkSettings") or {}).get("Networks") or {}).items():
        end = end or {}
        aliases = [alias for alias in end.get("Aliases") or () if alias not in own]
        kept = {key: end[key] for key in ("IPAMConfig", "Links", "DriverOpts", "GwPriority") if end.get(key)}
        found[name] = {**kept, **({"Aliases": aliases} if aliases else {})}
    return found


class Recreation:
    """Puts a new container of `body` in the place of `inspected`. Call `run`, then `finish`; both block."""

    def __init__(self, client: EngineClient, inspected: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        self._client, self._body = client, body
        self._old = str(inspected["Id"])
        self.name = str(inspected["Name"]).lstrip("/")
        mark = os.urandom(3).hex()
        self.old_name, self._new_name = f"{self.name}.old-{mark}", f"{self.name}.new-{mark}"
        self._was_running = bool((inspected.get("State") or {}).get("Running"))

    def run(self) -> str:
        """The id of the new container, which runs if the old one ran. The old one is stopped, and named `old_name`.

        Raises ApiError, ConnectionFailed: nothing has changed; NotRecreated: the old one is back; LeftAside.
        """
        client = self._client
        try:
            made = str(client.create(self._body, name=self._new_name)["Id"])
        except ConnectionFailed:  # perhaps after it was made
            _insist(lambda: client.remove(self._new_name), fine=404)
            raise
        try:
            if self._was_running:
                client.stop(self._old)
            client.rename(self._old, self.old_name)
            client.rename(made, self.name)
            if self._was_running:
                client.start(made)
        except (ApiError, ConnectionFailed) as e:
            self._go_back(made, e)
            raise NotRecreated(str(e)) from e
        return made

    def finish(self) -> None:
        """Delete the old container; its volumes stay. Raises ApiError, ConnectionFailed."""
        self._client.remove(self._old, force=True)

    def _go_back(self, made: str, reason: Exception) -> None:
        client = self._client
        try:
            _insist(lambda: client.remove(made, force=True), fine=404)
            name = _insist(lambda: str(client.inspect(self._old)["Name"]).lstrip("/"))
            if name != self.name:
                _insist(lambda: client.rename(self._old, self.name))
            if self._was_running:
                _insist(lambda: client.start(self._old))
        except (ApiError, ConnectionFailed):
            raise LeftAside(reason, self.old_name) from reason


def _insist(call: Callable[[], T], fine: int = 0) -> T | None:
    """Call, again while there is no connection; an ApiError of status `fine` is a success."""
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except ConnectionFailed:
            if attempt + 1 == ATTEMPTS:
                raise
            time.sleep(PAUSE_S)
        except ApiError as e:
            if e.status != fine:
                raise
            return None
    return None
