"""The command line starts within 100 ms: the tests limit the number of imported modules and measure no time."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from importlib import import_module

import pytest

from desktop.cli import flags
from desktop.cli.main import COMMANDS
from desktop.cli.version import VERSION
from tests.support.limits import HANG_S

BANNED = {
    "PySide6", "paramiko", "requests", "qemu", "argparse", "dataclasses", "inspect", "subprocess", "asyncio", "logging",
    "ssl", "http.client", "email", "urllib.request", "importlib.metadata", "desktop.ui", "desktop.vm", "desktop.tunnel",
    "desktop.hostagent", "desktop.client.logins",
}  # fmt: skip


def _loaded(*argv: str) -> set[str]:
    code = (
        "import sys; before = set(sys.modules); from desktop.cli.main import main; "
        f"main({list(argv)!r}); print('\\n'.join(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
        env={**os.environ, "COVE_HOST": "unix:///nonexistent.sock"},
    )
    return set(done.stderr.split())


def test_version_imports_next_to_nothing() -> None:
    loaded = _loaded("version")
    assert not loaded & BANNED
    assert len(loaded) < 60, sorted(loaded)


def test_a_command_loads_itself_and_no_other() -> None:
    loaded = _loaded("ps")
    commands = {module for module, _ in COMMANDS.values()}
    assert loaded & commands == {"desktop.cli.ps"}
    assert not loaded & BANNED


def test_the_version_is_the_distribution_s() -> None:
    assert importlib.metadata.version("cove") == VERSION


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"host", "vm"}))
def test_every_command_has_a_help_with_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It also sends no request to an engine, which would start the VM."""
    from desktop.cli.app import App
    from desktop.cli.main import main

    monkeypatch.setattr(App, "client", lambda app: pytest.fail("the help asks for an engine"))
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage:  cove {name}")
    assert "Exit codes:" in shown
    spec = import_module(COMMANDS[name][0]).SPEC
    assert isinstance(spec, flags.Spec)
    assert all(flag.help for flag in spec.flags)


def test_an_unknown_command_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    from desktop.cli.main import main

    assert main(["imags"]) == 1
    assert capsys.readouterr().err == "cove: unknown command: cove imags\n\nDid you mean: cove images\n"
