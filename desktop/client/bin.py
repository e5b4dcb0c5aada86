"""The bin of Cove's engine: what was deleted so that it can be brought back for 24 hours.

Other engines have none, and would delete for good what is deleted with `restorable`: call `entries` before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from desktop.client.api import ApiError, path_part
from desktop.client.engine import EngineClient
from desktop.client.volumes import is_unknown_call

NAME_TAKEN = "name_taken"  # of ApiError.reason: it can be brought back under another name


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """One entry. `subject`: the container's or image's id, or the volume's name; times as RFC 3339."""

    id: str
    kind: str  # "container", "volume" or "image"
    name: str
    subject: str
    image: str
    volumes: tuple[str, ...]
    size_bytes: int
    deleted: str
    expires: str

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Deleted:
        """What a newer engine tells besides is left out."""
        known = {field.name: told[field.name] for field in fields(cls)}
        return cls(**{**known, "volumes": tuple(told["volumes"])})


def entries(client: EngineClient) -> list[Deleted] | None:
    """The newest first; None if the engine has no bin. Raises ApiError, ConnectionFailed."""
    try:
        return [Deleted.from_json(each) for each in client.json_list("GET", "/cove/v1/bin")]
    except ApiError as error:
        if is_unknown_call(error):
            return None
        raise


def remove_container(client: EngineClient, container: str, *, force: bool, volumes: bool) -> None:
    """Move a container into the bin, with `volumes` its anonymous volumes too. Raises as `EngineClient.remove`."""
    query = {"force": force or None, "v": volumes or None, "restorable": True}
    client.request("DELETE", f"/containers/{path_part(container)}", query, limited=False)


def remove_volume(client: EngineClient, name: str) -> None:
    """Move a volume into the bin. Raises ApiError: 409 if a container has it."""
    client.request("DELETE", f"/volumes/{path_part(name)}", {"restorable": True}, limited=False)


def remove_image(client: EngineClient, image: str, *, force: bool) -> list[dict[str, Any]]:
    """Move an image, or one of its names, into the bin; what was removed, as `EngineClient.image_remove` tells it."""
    query = {"force": force or None, "restorable": True}
    return client.json_list("DELETE", f"/images/{path_part(image)}", query)


def restore(client: EngineClient, ref: str, name: str | None = None) -> tuple[str, str, str]:
    """Bring back an entry, by its id or what it was called: (kind, the id, of a volume the name, and its name).

    `name`: the name that it gets. Raises ApiError: 409 that says why: NAME_TAKEN, or something that it needs is
    gone; 404 if nothing deleted is known so.
    """
    told = client.request("POST", f"/cove/v1/bin/{path_part(ref)}/restore", {"name": name}, limited=False)
    return str(told["kind"]), str(told["id"]), str(told["name"])


def delete(client: EngineClient, ref: str) -> int:
    """Delete an entry for good; returns the bytes on disk that it had. Raises ApiError."""
    told = client.request("DELETE", f"/cove/v1/bin/{path_part(ref)}", limited=False)
    return int(told["reclaimed_bytes"])


def empty(client: EngineClient) -> tuple[int, int]:
    """Delete all entries for good: (how many, their bytes on disk). Raises ApiError."""
    told = client.request("DELETE", "/cove/v1/bin", limited=False)
    return len(told["deleted"]), int(told["reclaimed_bytes"])
