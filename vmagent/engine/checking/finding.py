"""What a check finds, and how that is mended."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from vmagent.containers.jsonobject import JsonObject


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. `mend` repairs it and deletes nothing that a user made; None: it can't be repaired.

    `mend` raises EngineError, OSError if it fails, or if it must not be done now.
    """

    part: str  # images, containers, volumes, build cache, mounts, cgroups, network
    subject: str  # what it is about
    fault: str  # what is wrong, in words
    remedy: str  # what a repair does; without `mend`, what the user can do
    mend: Callable[[], Awaitable[None]] | None = None

    def to_json(self, state: str) -> JsonObject:
        """`state`: found (a repair would mend it), repaired, left (it can't be repaired, or that failed)."""
        return {
            "part": self.part,
            "subject": self.subject,
            "fault": self.fault,
            "remedy": self.remedy,
            "state": state,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """So much of a part was looked at."""

    part: str
    done: int
    total: int

    def to_json(self) -> JsonObject:
        return {"part": self.part, "done": self.done, "total": self.total}


Found = AsyncGenerator[Finding | Progress, None]
