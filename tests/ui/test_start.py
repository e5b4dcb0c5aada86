"""What the start of the window loads."""

from __future__ import annotations

import subprocess
import sys

from tests.support.limits import HANG_S

NEVER = (
    "qtawesome",
    "qtpy",
    "pyte",
    "wcwidth",
    "keyring",
    "paramiko",
    "jsonschema",
    "yaml",
    "asyncio",
    "ssl",
    "hashlib",
)


def test_a_start_loads_no_page_but_the_list_and_no_library_that_only_others_need() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import desktop.ui.shell.app, sys; print(*sys.modules, sep='\\n')"],
        check=True,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    modules = set(told.stdout.split())
    pages = {name for name in modules if name.startswith("desktop.ui.") and name.endswith((".page", ".detail"))}
    assert pages <= {"desktop.ui.containers.page", "desktop.ui.kit.page", "desktop.ui.kit.detail"}
    assert not {name for name in modules if name.split(".")[0] in NEVER}
