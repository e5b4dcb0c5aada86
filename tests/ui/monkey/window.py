"""The window's process: Cove on the stage's engine, and a monkey at it.

    python -m tests.ui.monkey.window FOLDER ENGINE ACTIONS SEED

It may write only below FOLDER, and reaches no network. In FOLDER it keeps `trace` (one line an action), `dialogs` (what
confirmed dialogs said) and `faults`: exceptions, records and messages of Qt at WARNING or above, threads that hang.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import random
import re
import sys
import threading
import time
import traceback
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QMessageLogContext, QObject, QTimer, QtMsgType, QUrl, Slot, qInstallMessageHandler
from PySide6.QtGui import QDesktopServices

from desktop.paths import host_paths
from desktop.settings.store import Store
from desktop.ui.shell.application import Application
from desktop.ui.shell.look import kept_theme
from tests.ui.monkey.monkey import Monkey
from tests.ui.monkey.witness import note_dialogs
from tests.ui.opening import cove_on
from tests.ui.screen import Screen
from vmagent.linux.mounts import (
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_PRIVATE,
    MS_REC,
    mount,
    mount_setattr,
)
from vmagent.linux.process import CLONE_NEWNET, CLONE_NEWNS, unshare

STUCK_S = 60.0  # no timer of the GUI thread in so long a time
END_S = 30.0  # so long may threads take to end after the window
KNOWN = re.compile(r"propagateSizeHints|XDG_RUNTIME_DIR|QStandardPaths|could not connect to display|xkbcommon")
LEVELS = (QtMsgType.QtWarningMsg, QtMsgType.QtCriticalMsg, QtMsgType.QtFatalMsg)


def confine(folder: Path) -> None:
    """From now on this process writes nothing but what is below `folder`, and has no network."""
    unshare(CLONE_NEWNS | CLONE_NEWNET)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount(str(folder), str(folder), None, MS_BIND)
    root = os.open("/", os.O_PATH)
    mount_setattr(root, set_=MOUNT_ATTR_RDONLY, recursive=True)
    os.close(root)
    own = os.open(folder, os.O_PATH)
    mount_setattr(own, clear=MOUNT_ATTR_RDONLY)
    os.close(own)


class Faults:
    """What must not happen, written to a file."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a")
        sys.excepthook = self._raised
        threading.excepthook = lambda raised: self.note("".join(traceback.format_exception(raised.exc_value)))
        sys.unraisablehook = lambda raised: self.note(f"unraisable in {raised.object!r}: {raised.exc_value!r}")
        qInstallMessageHandler(self._on_qt)
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self.note(f"log: {record.getMessage()}")  # type: ignore[method-assign]
        logging.getLogger().addHandler(handler)
        faulthandler.enable(self._file)

    def note(self, text: str) -> None:
        self._file.write(text.rstrip() + "\n")
        self._file.flush()

    def _raised(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.note("".join(traceback.format_exception(kind, error, trace)))

    def _on_qt(self, level: QtMsgType, _context: QMessageLogContext, text: str) -> None:
        if level in LEVELS and not KNOWN.search(text):
            self.note(f"Qt: {text}\n" + "".join(traceback.format_stack(limit=6)))

    def look_for_a_hang(self) -> None:
        """To be called by the GUI thread again and again; else all stacks are written and the process ends."""
        faulthandler.dump_traceback_later(STUCK_S, exit=True, file=self._file)


class Links(QObject):
    """Takes what would be opened in a browser."""

    @Slot(QUrl)
    def take(self, _url: QUrl) -> None:
        """Do nothing: no browser is opened."""


def main(folder: Path, host: str, actions: int, seed: int) -> int:
    faults = Faults(folder / "faults")
    screen = Screen(os.environ["DISPLAY"])
    confine(folder)
    trace = (folder / "trace").open("a", buffering=1)
    note_dialogs(folder / "dialogs")
    app = Application(["cove-desktop"])
    app.setQuitOnLastWindowClosed(False)
    links = Links()
    for scheme in ("http", "https", "file"):
        QDesktopServices.setUrlHandler(scheme, links, "take")  # type: ignore[arg-type]  # bytes are refused
    pulse = QTimer()
    pulse.timeout.connect(faults.look_for_a_hang)
    pulse.start(1000)
    own = folder / "files"
    own.mkdir()
    monkey = Monkey(screen, random.Random(seed), own, trace)
    monkey.left = actions
    while monkey.left > 0:  # the monkey may quit, too
        trace.write("the window opens\n")
        _play(app, folder, host, monkey)
        _look_for_threads(faults)
    faulthandler.cancel_dump_traceback_later()
    return 0


def _play(app: Application, folder: Path, host: str, monkey: Monkey) -> None:
    """Open the window, let the monkey play until it quits or is tired, and close it."""
    paths = host_paths(os.environ, sys.platform)
    theme = kept_theme(Store(paths, os.environ), None)
    theme.apply(app)
    cove = cove_on(host, app, theme, paths, folder)
    cove.open()
    monkey.begin(monkey.left, app.quit)
    app.exec()
    monkey.pause()
    cove.close()
    cove.window.deleteLater()
    cove.deleteLater()
    app.processEvents()


def _look_for_threads(faults: Faults) -> None:
    deadline = time.monotonic() + END_S

    def left() -> list[str]:
        """Python's list keeps threads of Qt that have called Python, also after their end; the kernel's has none."""
        there = {int(task.name) for task in Path("/proc/self/task").iterdir()}
        others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
        return [thread.name for thread in others if thread.native_id in there]

    while left() and time.monotonic() < deadline:
        time.sleep(0.05)
    if left():
        faults.note(f"threads that did not end within {END_S:.0f} s after the window: {left()}")
        faulthandler.dump_traceback(all_threads=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
