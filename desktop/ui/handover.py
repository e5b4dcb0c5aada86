"""A second `cove-desktop` of the same home and engine hands its request to the first and ends. It loads no Qt."""

from __future__ import annotations

from desktop.client.http import ConnectionFailed, Endpoint
from desktop.paths import HostPaths

LIMIT_S = 1.0
WISHES = ("open", "quick-run", "background")  # the last one: nothing to do where a window runs


def hand_over(paths: HostPaths, target: str, wish: str) -> bool:
    """Send `wish` (one of `WISHES`) to the running window of this home and engine; False: there is none."""
    try:
        carrier = Endpoint.local(paths.window_socket(target)).connect(LIMIT_S)
    except ConnectionFailed:
        return False
    try:
        carrier.sendall(f"{wish}\n".encode())
    except OSError:  # it ended in between
        return False
    finally:
        carrier.close()
    return True
