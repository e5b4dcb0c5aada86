"""`cove diagnose` without its command line, which must start without these libraries."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from desktop.client.http import Endpoint
from desktop.diagnose import bundle
from desktop.diagnose.checks import Subject, run_all
from desktop.diagnose.report import Finding, Grade, as_json, as_text
from desktop.paths import HostPaths
from desktop.platform import platform_for


def examine(paths: HostPaths, endpoint: Endpoint, *, is_vm: bool, version: str) -> list[Finding]:
    """The findings for this machine and the engine at `endpoint`."""
    return run_all(Subject(paths, platform_for(sys.platform), os.environ, endpoint, is_vm, version))


def shown(findings: Sequence[Finding], *, as_objects: bool) -> str:
    """The findings as text, or as JSON."""
    return json.dumps(as_json(findings), indent=2) if as_objects else as_text(findings).rstrip("\n")


def write_bundle(file: Path, paths: HostPaths, findings: Sequence[Finding]) -> list[str]:
    """The names of what was written. Raises OSError."""
    return bundle.write(file, paths, findings)


def is_bad(findings: Sequence[Finding]) -> bool:
    """Whether something does not work."""
    return any(finding.grade is Grade.BAD for finding in findings)
