"""Blocking calls on an engine's loop, as vmagent.blocking reports them: they fail the test that caused them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass
class BlockingReport:
    """The report of one engine, over all its processes. `path` may be missing."""

    path: Path
    checked: int = 0  # bytes

    def findings(self) -> list[str]:
        """What was reported since the last call: call, path and stack."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        lines, self.checked = whole[self.checked :].splitlines(), len(whole)
        found = []
        for line in lines:
            entry = json.loads(line)
            found.append("\n  ".join([f"{entry['call']} {entry['path']}", *entry["stack"]]))
        return found

    def check(self) -> None:
        """Raises AssertionError if the engine's loop made a blocking call since the last look."""
        found = self.findings()
        assert not found, "\n".join(["blocking calls on the engine's loop:", *found])
