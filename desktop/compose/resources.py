"""Networks and volumes of a project: made where they are missing, removed with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from desktop.client.api import path_part
from desktop.client.engine import ApiError, EngineClient
from desktop.compose import labels
from desktop.compose.errors import ComposeError
from desktop.compose.model.resources import Network, Volume
from desktop.compose.order import together
from desktop.compose.project import Project
from desktop.compose.state import Present

Report = Callable[[str, str], None]  # what ("Network shop_default"), and what becomes of it ("Creating")


def ensure(
    client: EngineClient, project: Project, present: Present, report: Report, warn: Callable[[str], None]
) -> None:
    """Make the project's networks and volumes that the engine lacks. Raises ComposeError, ApiError."""
    marks = {labels.PROJECT: project.name, labels.VERSION: labels.COMPATIBLE_VERSION}

    def network(key: str, item: Network) -> None:
        found = present.networks.get(item.name)
        if found is None:
            if item.external:
                if find(client, "network", item.name) is not None:  # it is named by its ID
                    return
                raise ComposeError(f"network {item.name} declared as external, but could not be found")
            report(f"Network {item.name}", "Creating")
            client.request("POST", "/networks/create", None, _network_body(item, {**marks, labels.NETWORK: key}))
            report(f"Network {item.name}", "Created")
        elif not item.external:
            owner = (found.get("Labels") or {}).get(labels.PROJECT)
            if owner != project.name:
                raise ComposeError(
                    f"network {item.name} was found but belongs to "
                    f"{f'the project {owner}' if owner else 'no project'}; set `external: true` to use it"
                )

    def volume(key: str, item: Volume) -> None:
        found = present.volumes.get(item.name)
        if found is None:
            if item.external:
                raise ComposeError(f"external volume {item.name!r} not found")
            report(f'Volume "{item.name}"', "Creating")
            body = {
                "Name": item.name, "Driver": item.driver or None, "DriverOpts": dict(item.driver_opts),
                "Labels": {**item.labels, **marks, labels.VOLUME: key},
            }  # fmt: skip
            client.request("POST", "/volumes/create", None, {k: v for k, v in body.items() if v is not None})
            report(f'Volume "{item.name}"', "Created")
        elif not item.external:
            owner = (found.get("Labels") or {}).get(labels.PROJECT)
            if owner is None:
                warn(f"volume {item.name!r} already exists but was not created by Compose; `external: true` says so")
            elif owner != project.name:
                warn(f"volume {item.name!r} already exists but was created for project {owner!r}")

    calls: dict[bool, list[Callable[[], None]]] = {True: [], False: []}  # by whether it is there
    for key, item in project.networks.items():
        calls[item.name in present.networks].append(partial(network, key, item))
    for key, one in project.volumes.items():
        calls[one.name in present.volumes].append(partial(volume, key, one))
    for check in calls[True]:
        check()
    together(calls[False], lambda call: call())


def find(client: EngineClient, kind: str, name: str) -> dict[str, Any] | None:
    """What the engine says of a network or volume (`kind`); None if it has none. Raises ApiError, ConnectionFailed."""
    try:
        return client.json_object("GET", f"/{kind}s/{path_part(name)}")
    except ApiError as e:
        if e.status == 404:
            return None
        raise


def _network_body(item: Network, marks: dict[str, str]) -> dict[str, Any]:
    pools = [
        {
            key: value
            for key, value in (
                ("Subnet", pool.subnet), ("Gateway", pool.gateway), ("IPRange", pool.ip_range),
                ("AuxiliaryAddresses", dict(pool.aux_addresses)),
            )
            if value
        }
        for pool in item.ipam.config
    ]  # fmt: skip
    body: dict[str, Any] = {
        "Name": item.name,
        "CheckDuplicate": True,
        "Driver": item.driver or "bridge",
        "Options": dict(item.driver_opts),
        "Internal": item.internal,
        "Attachable": item.attachable,
        "Labels": {**item.labels, **marks},
    }
    if item.ipam.driver or pools or item.ipam.options:
        body["IPAM"] = {"Driver": item.ipam.driver or "default", "Config": pools, "Options": dict(item.ipam.options)}
    if item.enable_ipv6 is not None:
        body["EnableIPv6"] = item.enable_ipv6
    if item.enable_ipv4 is not None:
        body["EnableIPv4"] = item.enable_ipv4
    return body


def remove_networks(client: EngineClient, project: str, report: Report) -> None:
    """Remove the networks that carry the project's label. One in use by others stays, with a note."""
    found = client.json_list("GET", "/networks", {"filters": {"label": [f"{labels.PROJECT}={project}"]}})

    def remove(network: dict[str, Any]) -> None:
        what = f"Network {network['Name']}"
        report(what, "Removing")
        try:
            client.request("DELETE", f"/networks/{path_part(network['Id'])}", limited=False)
        except ApiError as e:
            if e.status == 404:
                report(what, "Removed")
                return
            if e.status != 403 and "active endpoints" not in str(e):
                raise
            report(what, "Resource is still in use")
            return
        report(what, "Removed")

    together(found, remove)


def remove_volumes(client: EngineClient, project: str, report: Report) -> None:
    """Remove the volumes that carry the project's label."""
    found = client.json_object("GET", "/volumes", {"filters": {"label": [f"{labels.PROJECT}={project}"]}})

    def remove(name: str) -> None:
        report(f"Volume {name}", "Removing")
        try:
            client.request("DELETE", f"/volumes/{path_part(name)}")
        except ApiError as e:
            if e.status != 409:
                raise
            report(f"Volume {name}", "Resource is still in use")
            return
        report(f"Volume {name}", "Removed")

    together([str(item["Name"]) for item in found.get("Volumes") or ()], remove)


def remove_images(client: EngineClient, names: set[str], report: Report) -> None:
    """Remove images by name; one that other containers use stays."""

    def remove(name: str) -> None:
        report(f"Image {name}", "Removing")
        try:
            client.image_remove(name)
        except ApiError as e:
            report(f"Image {name}", "Resource is still in use" if e.status == 409 else str(e))
            return
        report(f"Image {name}", "Removed")

    together(sorted(names), remove)
