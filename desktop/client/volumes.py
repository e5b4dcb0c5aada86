"""What Cove's engine does for volumes beside the Engine API: copies, another name. Their files are in
`desktop.client.archives`.

Other engines reply to all of it with 404 "page not found" (`is_unknown_call`).
"""

from __future__ import annotations

from desktop.client.api import ApiError, path_part
from desktop.client.engine import EngineClient

CONTENT = "/."  # the path of all that is in a volume, without the folder around it


def is_unknown_call(error: ApiError) -> bool:
    """Whether the engine knows no such call: it is not Cove's, or an older one."""
    return error.status == 404 and error.args[0] == "page not found"


def clone(client: EngineClient, name: str, new: str) -> None:
    """Make volume `new` with content, options and labels of volume `name`. Raises ApiError."""
    client.request("POST", f"/cove/v1/volumes/{path_part(name)}/clone", {"name": new}, limited=False)


def rename(client: EngineClient, name: str, new: str) -> None:
    """Give a volume that no container has another name. Raises ApiError: 409 if one has it."""
    client.request("POST", f"/cove/v1/volumes/{path_part(name)}/rename", {"name": new})
