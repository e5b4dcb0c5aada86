"""Style, types and import direction, run as tests: what they print is the failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.tree import ROOT

BIN = Path(sys.executable).parent


def check(*command: str) -> None:
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
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


def test_the_tests_are_typed() -> None:
    check("mypy", "--platform", "linux", "tests")
