"""What differs between Linux, macOS and Windows, chosen by value: nothing else in `desktop` asks where it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from desktop.platform.base import Platform


def platform_for(name: str) -> Platform:
    """The platform that `sys.platform` calls `name`. Raises KeyError for one we don't know."""
    if name == "linux":
        from desktop.platform.linux import Linux

        return Linux()
    if name == "darwin":
        from desktop.platform.darwin import Darwin

        return Darwin()
    if name == "win32":
        from desktop.platform.win32 import Windows

        return Windows()
    raise KeyError(name)
