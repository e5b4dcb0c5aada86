"""Pictures of every page and tab of the window and of its main dialogs, to be looked at beside the design.

    sudo .venv/bin/python -m tests.ui.gallery FOLDER [LANGUAGE]

Light and dark at 1280 by 800, light at 1000 by 640, and dark with the text three steps larger, on the monkey's stage;
and an engine without anything. FOLDER gets one PNG each. LANGUAGE: a code, such as de; English without one.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before Qt is loaded

from PySide6.QtCore import QEventLoop, Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from desktop.paths import host_paths
from desktop.ui.containers.detail import TABS
from desktop.ui.kit.dialogs import Dialog
from desktop.ui.kit.language import SOURCE, install
from desktop.ui.kit.page import Place
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.tokens import Scheme
from desktop.ui.run.options import RunWish
from desktop.ui.shell.application import Application
from desktop.ui.shell.pages import in_sidebar
from tests.support.engine import NativeEngine, running
from tests.support.tools import busybox_tar
from tests.ui.monkey.stage import ApartEngine, stage
from tests.ui.opening import cove_on

LOOKS: list[tuple[str, Scheme, int, tuple[int, int]]] = [
    ("light", "light", 0, (1280, 800)),
    ("dark", "dark", 0, (1280, 800)),
    ("small", "light", 0, (1000, 640)),
    ("large", "dark", 3, (1280, 800)),
]
SETTLE_MS, CONTENT_MS = 700, 2500


class Gallery:
    """Takes pictures of one window."""

    def __init__(self, app: Application, engine: NativeEngine, folder: Path, home: Path) -> None:
        self._theme = Theme("light")
        self._theme.apply(app)
        paths = host_paths({"COVE_HOME": str(home)}, "linux")
        self._cove, self._folder = cove_on(engine.host, app, self._theme, paths, home), folder
        self._cove.open()
        self._rest(CONTENT_MS)

    def close(self) -> None:
        self._cove.close()
        self._cove.window.deleteLater()

    def _rest(self, milliseconds: int) -> None:
        loop = QEventLoop()
        QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()

    def each_look(self, take: Callable[[str], None]) -> None:
        """Call `take(word)` in each look of the window."""
        for word, scheme, zoom, (width, height) in LOOKS:
            self._theme.set_scheme(scheme)
            self._theme.set_zoom(zoom)
            self._cove.window.resize(width, height)
            self._rest(SETTLE_MS)
            take(word)

    def take(self, name: str) -> None:
        self._rest(SETTLE_MS)
        self._cove.window.grab().save(str(self._folder / f"{name}.png"))

    def pages(self, word: str) -> None:
        for key in (*(spec.key for spec in in_sidebar()), "bin"):
            self._cove.window.go(Place(key))
            self.take(f"{word}-{key}")

    def tabs(self, word: str, container: str) -> None:
        found = next(c for c in self._cove.model.containers() if c.name == container)
        for tab in TABS:
            self._cove.window.go(Place("container", found.id, tab))
            self.take(f"{word}-{container}-{tab}")

    def dialogs(self, word: str) -> None:
        """Questions before deletions, of one thing and of all; the run dialog; the palette."""
        cove, window = self._cove, self._cove.window
        containers = cove.model.containers()
        asks: list[tuple[str, str, Callable[[], object]]] = [
            ("delete-one", "containers", lambda: cove.actions.ask("delete", containers[:1])),
            ("delete-all", "containers", lambda: cove.actions.ask("delete", containers)),
            ("run", "containers", lambda: cove.ask_run(RunWish(image="busybox:latest"))),
            ("palette", "containers", lambda: cove.palette.open_over(window)),
        ]
        for key in ("compose", "volumes", "images", "networks"):
            asks.append((f"delete-{key}", key, self._delete_all))
        for name, page, ask in asks:
            window.go(Place(page))
            self._rest(SETTLE_MS)
            ask()
            self.take(f"{word}-dialog-{name}")
            for dialog in (d for d in window.findChildren(Dialog) if d.isVisible()):
                dialog.reject()
            cove.palette.hide()

    def _delete_all(self) -> None:
        window = self._cove.window
        page: QWidget = window.page(window.place.page).first_focus()
        window.activateWindow()
        page.setFocus()
        QTest.keyClick(window.windowHandle(), Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClick(window.windowHandle(), Qt.Key.Key_Delete)


def fill_bin(engine: NativeEngine) -> None:
    """Delete a container and volumes so that they can be brought back."""
    engine.docker("create", "--name", "importer-of-last-weeks-orders", "-v", "/data", "busybox:latest")
    for name in ("orders-2026", "old-cache"):
        engine.docker("run", "--rm", "-v", f"{name}:/v", "busybox:latest", "sh", "-c", "head -c 900000 /dev/zero >/v/x")
        engine.cove("volume", "rm", "--restorable", name)
    engine.cove("rm", "--restorable", "-v", "importer-of-last-weeks-orders")


def main(folder: Path, language: str) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    app = Application(["cove-desktop"])
    install(app, language)
    with tempfile.TemporaryDirectory() as home:
        with stage(busybox_tar(Path(home) / "busybox.tar")) as engine:
            fill_bin(engine)
            gallery = Gallery(app, engine, folder, Path(home))
            gallery.each_look(gallery.pages)
            gallery.each_look(lambda word: gallery.tabs(word, "sleeper"))
            gallery.each_look(lambda word: gallery.tabs(word, "failed") if word == "light" else None)
            gallery.each_look(gallery.dialogs)
            gallery.close()
        with running(ApartEngine()) as engine:
            gallery = Gallery(app, engine, folder, Path(home))
            gallery.each_look(lambda word: gallery.pages(f"empty-{word}") if word in ("light", "dark") else None)
            gallery.close()
    QApplication.processEvents()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), (sys.argv[2:] or [SOURCE])[0]))
