"""`cove-desktop`: the window and the tray."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from desktop.context import Context, ContextError, resolve
from desktop.paths import HostPaths, host_paths
from desktop.ui.handover import hand_over


def entry() -> None:
    raise SystemExit(main(sys.argv[1:]))


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(prog="cove-desktop", description="Cove's window and tray.")
    arguments.add_argument("--context", choices=("vm", "native"), help="the VM, or the engine on this Linux itself")
    arguments.add_argument(
        "-H", "--host", metavar="ADDRESS", help="the engine at this address, e.g. unix:///run/x.sock"
    )
    arguments.add_argument("--quick-run", action="store_true", help="open only the palette, to run an image")
    arguments.add_argument("--background", action="store_true", help="open no window, only the icon in the tray")
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
    wish = "quick-run" if options.quick_run else "background" if options.background else "open"
    if hand_over(paths, str(context.endpoint), wish):
        return 0
    return _run(paths, context, options)


def _run(paths: HostPaths, context: Context, options: argparse.Namespace) -> int:
    """Open the window, or what `options` say instead, and return the exit status after quitting."""
    from PySide6.QtCore import QSettings

    from desktop.settings.store import Store
    from desktop.ui.kit.language import install
    from desktop.ui.shell.app import Cove
    from desktop.ui.shell.application import Application
    from desktop.ui.shell.look import kept_language, kept_theme
    from desktop.ui.shell.signals import EndingSignals
    from desktop.ui.shell.single import SingleWindow

    app = Application(["cove-desktop"])
    app.setApplicationName("cove-desktop")
    app.setApplicationDisplayName("Cove")
    app.setDesktopFileName("cove-desktop")
    app.setQuitOnLastWindowClosed(False)
    single = SingleWindow(paths, str(context.endpoint))
    settings = QSettings(str(paths.home / "window.ini"), QSettings.Format.IniFormat)
    store = Store(paths, os.environ)
    install(app, kept_language(store))
    look = kept_theme(store, options.theme)
    look.apply(app)
    cove = Cove(app, look, context, paths, settings)
    cove.crashes.install()
    single.wished.connect(cove.on_wish)
    signals = EndingSignals()
    signals.asked.connect(app.quit)
    cove.open(quick_run=options.quick_run, background=options.background)
    status = app.exec()
    single.close()
    cove.close()
    signals.close()
    return status
