"""Why a container or a process in one could not be started: the runtime's one error type."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Kinds: docker's exit status of a failed start hangs on them.
NOT_FOUND = "not-found"  # 127: no such command
PERMISSION = "permission"  # 126: it is there and can't be executed
USER = "user"  # no such user or group in the container
MOUNT = "mount"
SPEC = "spec"  # the specification asks for what can't be or is not known here
OTHER = "other"


class LaunchError(Exception):
    """`kind` is one of the words above, `str(self)` what was being done and what the kernel said to it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def failed(doing: str, error: OSError, kind: str = OTHER) -> LaunchError:
    """A LaunchError from a failed call, worded as other OCI runtimes word it: "doing: no such file or directory"."""
    return LaunchError(kind, f"{doing}: {reason(error)}")


def told(said: dict[str, Any]) -> LaunchError:
    """The error of a child's report: {"error", "kind"}; with "errno" the kernel's words are left to be added here."""
    number = said.get("errno")
    text = str(said["error"])
    return LaunchError(str(said["kind"]), f"{text}: {reason(OSError(number, ''))}" if number else text)


def reason(error: OSError) -> str:
    """The kernel's answer in the lower-case words that clients match on."""
    if error.errno is None:
        return str(error)
    text = os.strerror(error.errno)
    return text[:1].lower() + text[1:]
