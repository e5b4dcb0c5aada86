"""The desktop is told of containers that ended by themselves and of finished work, while nobody looks at the window."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QPoint, QRect
from PySide6.QtWidgets import QAbstractButton, QWidget
from pytestqt.qtbot import QtBot

from desktop.ui.kit.bulk import BulkBar
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.menus import Act
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.toasts import Toast, Toasts
from tests.support.engine import NativeEngine
from tests.ui.clipping import clipped
from tests.ui.conftest import OpenWindow
from tests.ui.hands import LIMIT_MS
from tests.ui.held import held

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)
ENDS = ("sh", "-c", "trap 'exit 3' USR1; while :; do sleep 0.05; done")


def test_what_ends_by_itself_is_told_while_the_window_is_hidden(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], qtbot: QtBot
) -> None:
    window = open_window(engine)
    notices = window.note_notices()
    for name in ("ui-looked-at", "ui-died", "ui-stopped"):
        named(name, *ENDS, flags=("--stop-signal", "KILL"))
        window.containers.wait_until_says(name, "running")
    engine.docker("exec", "ui-looked-at", "kill", "-USR1", "1")
    window.containers.wait_until_says("ui-looked-at", "Exited 3")
    assert notices == []
    window.hide()
    engine.docker("stop", "ui-stopped")
    engine.docker("exec", "ui-died", "kill", "-USR1", "1")
    qtbot.waitUntil(lambda: bool(notices), timeout=LIMIT_MS)
    window.show()
    window.containers.wait_until_says("ui-stopped", "Stopped")
    assert notices == [("ui-died ended", "Its exit status is 3.")]


def test_finished_work_is_told_while_the_window_is_hidden(
    engine: NativeEngine, open_window: OpenWindow, registry: str, qtbot: QtBot
) -> None:
    engine.docker("tag", "busybox", f"{registry}/ui/noticed:1")
    engine.docker("push", f"{registry}/ui/noticed:1")
    engine.docker("rmi", f"{registry}/ui/noticed:1")
    with held(registry) as waiting:
        name = f"{waiting.address}/ui/noticed:1"
        window = open_window(engine)
        notices = window.note_notices()
        window.go("images")
        window.images.wait_until_shown("busybox:latest")
        window.images.press_button("Pull…")
        window.type(name)
        window.press("Pull")
        window.hide()
        waiting.go_on.set()
        qtbot.waitUntil(lambda: [title for title, _ in notices] == [f"{name} was pulled"], timeout=LIMIT_MS)
        engine.docker("rmi", name)


@pytest.mark.parametrize("zoom", [0, 3])
def test_messages_cut_off_no_button_and_leave_the_bar_of_selected_rows_free(
    theme: Theme, icons: Icons, zoom: int, qtbot: QtBot
) -> None:
    theme.set_zoom(zoom)
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(960, 600)
    acts = [Act(name, "trash", name) for name in ("Start", "Stop", "Restart", "Pause", "Delete…")]
    bar, toasts = BulkBar(theme, icons, acts, window), Toasts(theme, icons, window)
    window.show()
    qtbot.waitExposed(window)

    def ignore() -> None:
        """Nothing is done."""

    actions = [("Another name…", ignore), ("Show the bin", ignore)]
    toasts.tell("ui-a was not brought back", "There is a container ui-a now.", State.PROBLEM, actions)
    address = f"http://127.0.0.1:1/v2/shop/web/blobs/sha256:{'0226d40f177d466b' * 4}"
    toasts.tell("shop/web was not pushed", f'Head "{address}": connection refused', State.PROBLEM)
    assert clipped(window) == []
    window.findChildren(Toast)[-1].closed.emit()
    toasts.tell("ui-b was deleted", "In the bin for 24 hours.", actions=[("Undo", ignore)])
    low, high = sorted((t for t in window.findChildren(Toast) if t.isVisible()), key=lambda toast: -toast.y())
    assert clipped(window) == []
    below = low.y()
    bar.tell(2, frozenset())
    bar.show()
    qtbot.waitUntil(lambda: low.y() < below, timeout=LIMIT_MS)
    free = bar.box.translated(bar.pos())
    for toast in (low, high):
        for button in toast.findChildren(QAbstractButton):
            assert not free.intersects(QRect(button.mapTo(window, QPoint(0, 0)), button.size()))
    bar.hide()
    qtbot.waitUntil(lambda: low.y() == below, timeout=LIMIT_MS)
