"""Why a container or a process in one could not be started: the runtime's one error type."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Kinds: they decide docker's exit status of a failed start.
NOT_FOUND = "not-found"  # 127: no such command
PERMISSION = "permission"  # 126: the command exists and cannot be executed
USER = "user"  # no such user or group in the container
MOUNT = "mount"
SPEC = "spec"  # the specification is not valid, or needs something that is not supported
OTHER = "other"


class LaunchError(Exception):
    """A start that failed. `kind` is one of the constants above, `str(self)` the failed step and the kernel's error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def failed(doing: str, error: OSError, kind: str = OTHER) -> LaunchError:
    """A LaunchError from a failed call, worded as other OCI runtimes word it: "doing: no such file or directory"."""
    return LaunchError(kind, f"{doing}: {reason(error)}")


def launch_error(report: dict[str, Any]) -> LaunchError:
    """The LaunchError of a child's report {"error", "kind"}; the text for its "errno", if present, is added here."""
    number = report.get("errno")
    text = str(report["error"])
    return LaunchError(str(report["kind"]), f"{text}: {reason(OSError(number, ''))}" if number else text)


def reason(error: OSError) -> str:
    """strerror(3) in lower case, as clients match it."""
    if error.errno is None:
        return str(error)
    text = os.strerror(error.errno)
    return text[:1].lower() + text[1:]
