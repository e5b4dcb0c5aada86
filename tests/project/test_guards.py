"""The guards of tests/conftest.py do fail a test: each is shown a test that leaves or logs what it must not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.tree import ROOT

_HEAD = "import logging, os, subprocess, tempfile\nimport pytest, structlog\n\n"
_CASES = {
    "a descriptor": ("    os.open('/dev/null', os.O_RDONLY)\n", r"the test left behind:\n.*descriptor \d+ /dev/null"),
    "a process": ("    os.posix_spawn('/bin/sleep', ['sleep', '1000'], os.environ)\n", r"process \d+ \d+ sleep"),
    "a process that ended": ("    os.posix_spawn('/bin/true', ['true'], os.environ)\n", r"process \d+ \d+ true"),
    "a mount": (
        "    folder = tempfile.mkdtemp()\n    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', folder], check=True)\n",
        r"mount /tmp/",
    ),
    "a warning": ("    logging.getLogger('x').warning('a stray word')\n", "x: WARNING: a stray word"),
    "an event": ("    structlog.get_logger().error('stray.event', n=1)\n", "'event': 'stray.event'"),
}


def _run(tmp_path: Path, body: str, mark: str = "") -> subprocess.CompletedProcess[str]:
    """pytest in mount and PID namespaces of its own, which end what the test leaves."""
    # Below tests/conftest.py, and where neither git nor a linter that runs meanwhile looks.
    file = ROOT / "tests" / ".cache" / f"test_guarded_{os.getpid()}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{_HEAD}{mark}def test_it() -> None:\n{body}")
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    run: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path / 'inner'}",
    ]
    try:
        return subprocess.run(
            [*own, *run, file],
            cwd=ROOT,
            env={**os.environ, "COVE_TEST_ENDING_S": "0.2"},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        file.unlink()


@pytest.mark.parametrize("case", _CASES)
def test_what_a_test_leaves_or_logs_fails_it(tmp_path: Path, case: str) -> None:
    body, says = _CASES[case]
    done = _run(tmp_path, body)
    assert done.returncode == 1, done.stdout
    assert re.search(says, done.stdout, re.DOTALL), done.stdout


def test_an_expected_event_does_not(tmp_path: Path) -> None:
    done = _run(tmp_path, _CASES["an event"][0], '@pytest.mark.logs("stray.event")\n')
    assert done.returncode == 0, done.stdout
