"""The results of checks, as text for the user and as JSON for the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Grade(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"  # worth knowing; nothing is wrong
    BAD = "bad"  # something does not work, and `remedy` says what helps


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, in one line; `remedy` is what to do, "" where there is nothing to do."""

    name: str
    grade: Grade
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Finding:
    return Finding(name, Grade.OK, detail)


def note(name: str, detail: str, remedy: str = "") -> Finding:
    return Finding(name, Grade.NOTE, detail, remedy)


def bad(name: str, detail: str, remedy: str) -> Finding:
    return Finding(name, Grade.BAD, detail, remedy)


def as_text(findings: Sequence[Finding]) -> str:
    """A line for each, and a second one for a remedy."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.grade:<5} {finding.name:<12} {finding.detail}")
        if finding.remedy:
            lines.append(f"{'':<18} -> {finding.remedy}")
    return "\n".join(lines) + "\n"


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [asdict(finding) for finding in findings]
