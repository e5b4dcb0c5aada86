"""`docker top`'s table, as ps makes it."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest

from vmagent.engine.processes import process_table


def test_commands_are_whole_whatever_terminal_the_engine_was_started_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    command = ("sleep", "1000.00000000000000000000000000000000000000000000000001")
    with subprocess.Popen(command) as process:
        try:
            table = asyncio.run(process_table([process.pid, os.getpid()], "-eo pid,user:32,args"))
        finally:
            process.kill()
    rows = {row[0]: row[2] for row in table["Processes"]}
    assert rows[str(process.pid)] == " ".join(command)
