"""Style, types and import direction, run as tests: what they print is the failure."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.project.tree import ROOT

BIN = Path(sys.executable).parent


def check(*command: str) -> None:
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def test_ruff_finds_nothing() -> None:
    check("ruff", "check", ".")


def test_every_file_is_formatted() -> None:
    check("ruff", "format", "--check", ".")


def test_imports_point_down() -> None:
    check("lint-imports")


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_desktop_side_is_typed_on(platform: str) -> None:
    check("mypy", "--platform", platform, "-p", "desktop")


def test_the_engine_is_typed() -> None:
    check("mypy", "--platform", "linux", "-p", "vmagent")


def test_the_lock_file_holds_every_dependency_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements.lock").read_text()
    for extra in project["optional-dependencies"].values():
        for requirement in extra:
            name = requirement.split(">")[0].split("[")[0].strip()
            assert name == "cove" or f"\n{name.lower().replace('.', '-')}==" in lock, name
    assert lock.count("--hash=sha256:") > lock.count("\n") // 2
