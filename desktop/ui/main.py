"""`cove-desktop`: the window and the tray."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.context import Context, ContextError, resolve
from desktop.paths import HostPaths, host_paths
from desktop.ui.handover import hand_over

if TYPE_CHECKING:  # Qt is loaded only by a start that opens a window
    from desktop.ui.kit.tokens import Scheme


def entry() -> None:
    raise SystemExit(main(sys.argv[1:]))


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(prog="cove-desktop", description="Cove's window and tray.")
    arguments.add_argument("--context", choices=("vm", "native"), help="the VM, or the engine on this Linux itself")
    arguments.add_argument(
        "-H", "--host", metavar="ADDRESS", help="the engine at this address, e.g. unix:///run/x.sock"
    )
    arguments.add_argument("--quick-run", action="store_true", help="open only the palette, to run an image")
    arguments.add_argument("--theme", choices=("light", "dark"), help="instead of what the desktop says")
    return arguments


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0 after quitting, 1 if there is no usable context, 2 for bad arguments."""
    options = parser().parse_args(argv)
    try:
        paths = host_paths(os.environ, sys.platform)
        context = resolve(paths, os.environ, host=options.host, context=options.context)
    except (ContextError, ValueError) as e:
        sys.stderr.write(f"cove-desktop: {e}\n")
        return 1
    if hand_over(paths, str(context.endpoint), "quick-run" if options.quick_run else "open"):
        return 0
    return _run(paths, context, theme=options.theme, quick_run=options.quick_run)


def _run(paths: HostPaths, context: Context, *, theme: Scheme | None, quick_run: bool) -> int:
    """Open the window (`quick_run`: only the palette) and return the exit status after quitting."""
    from PySide6.QtCore import QSettings, QTimer

    from desktop.ui.shell.app import Cove, kept_theme
    from desktop.ui.shell.application import Application
    from desktop.ui.shell.single import SingleWindow

    app = Application(["cove-desktop"])
    app.setApplicationName("cove-desktop")
    app.setApplicationDisplayName("Cove")
    app.setDesktopFileName("cove-desktop")
    app.setQuitOnLastWindowClosed(False)
    single = SingleWindow(paths, str(context.endpoint))
    settings = QSettings(str(paths.home / "window.ini"), QSettings.Format.IniFormat)
    look = kept_theme(settings, theme)
    look.apply(app)
    cove = Cove(app, look, context, paths, settings)
    single.wished.connect(cove.on_wish)
    signal.signal(signal.SIGINT, lambda *_: app.quit())
    signal.signal(signal.SIGTERM, lambda *_: app.quit())
    # Python runs signal handlers only between bytecodes. This timer lets them run while Qt's event loop waits.
    heartbeat = QTimer()
    heartbeat.timeout.connect(lambda: None)
    heartbeat.start(500)
    cove.open(quick_run=quick_run)
    status = app.exec()
    single.close()
    cove.close()
    return status
