"""The window: sidebar, top bar, pages, status bar, and navigation between pages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QByteArray, QSettings, Qt, Signal
from PySide6.QtGui import QAction, QCloseEvent, QHideEvent, QKeySequence, QMouseEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from desktop.ui.kit.dialogs import Scrim
from desktop.ui.kit.glyphs import mark_icon
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.page import Page, Place
from desktop.ui.kit.pagestack import PageStack
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.toasts import Toasts
from desktop.ui.shell.bars import StatusBar, TopBar
from desktop.ui.shell.pages import HOME, in_sidebar, spec_of
from desktop.ui.shell.sidebar import Sidebar

NARROW_BELOW = 1_080


class Window(QWidget):
    """Signals: placed(Place) after each move, run_asked(), palette_asked(), seen(shown or hidden), closing()."""

    placed = Signal(object)
    run_asked = Signal()
    palette_asked = Signal()
    undo_asked = Signal()
    bell_asked = Signal()
    seen = Signal(bool)
    closing = Signal()
    hidden_to_tray = Signal()

    def __init__(self, theme: Theme, icons: Icons, settings: QSettings) -> None:
        """Pages are made by `make_page`, which is set before the first `go`."""
        super().__init__()
        self.theme, self.icons, self._settings = theme, icons, settings
        self.keeps_alive = False  # whether closing only hides, because a tray icon stays
        self._history: list[Place] = []
        self._at = -1
        self.make_page: Callable[[str], Page] | None = None
        self._pages: dict[str, Page] = {}
        self._forced_narrow: bool | None = None
        self.setWindowTitle("Cove")
        self.setWindowIcon(mark_icon(theme.colour("accentfill")))
        self.setMinimumSize(960, 600)
        self.resize(1280, 800)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setObjectName("window")
        self.sidebar = Sidebar(theme, icons, in_sidebar())
        self.top = TopBar(theme, icons)
        self.stack = PageStack(theme)
        self.status = StatusBar(theme, icons)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(self.sidebar)
        right = QVBoxLayout()
        right.setSpacing(0)
        right.addWidget(self.top)
        right.addWidget(self.stack, 1)
        middle.addLayout(right, 1)
        outer.addLayout(middle, 1)
        outer.addWidget(self.status)
        self._around = (self.sidebar, self.top, self.status)
        self.toasts = Toasts(theme, icons, self)
        self.sidebar.page_chosen.connect(lambda key: self.go(Place(key)))
        self.top.back_asked.connect(lambda: self.step(-1))
        self.top.forward_asked.connect(lambda: self.step(+1))
        self.top.run_asked.connect(self.run_asked)
        self.top.search_asked.connect(self.palette_asked)
        self.top.bell_asked.connect(self.bell_asked)
        self._add_keys()
        self._show_steps()
        if isinstance(kept := settings.value("window/geometry"), QByteArray):
            self.restoreGeometry(kept)

    def _add_keys(self) -> None:
        keys: dict[str, Callable[[], object]] = {
            "Ctrl+K": self.palette_asked.emit,
            "Ctrl+Shift+P": self.palette_asked.emit,
            "Ctrl+N": self.run_asked.emit,
            "Ctrl+Z": self.undo_asked.emit,
            "Alt+Left": lambda: self.step(-1),
            "Alt+Right": lambda: self.step(+1),
            "Ctrl+B": self.toggle_sidebar,
            "Ctrl+W": self.close,
            "Ctrl+Q": self.closing.emit,
            "F6": self.next_pane,
            "Ctrl+Tab": lambda: self._next_tab(+1),
            "Ctrl+Shift+Tab": lambda: self._next_tab(-1),
            "Ctrl++": lambda: self.theme.set_zoom(self.theme.zoom + 1),
            "Ctrl+=": lambda: self.theme.set_zoom(self.theme.zoom + 1),
            "Ctrl+-": lambda: self.theme.set_zoom(self.theme.zoom - 1),
            "Ctrl+0": lambda: self.theme.set_zoom(0),
            "Ctrl+F": self._find,
            "Ctrl+,": partial(self.go_by_key, Place("settings")),
        }
        for number, spec in enumerate(in_sidebar()[:9], start=1):
            keys[f"Ctrl+{number}"] = partial(self.go_by_key, Place(spec.key))
        for key, call in keys.items():
            action = QAction(self)
            action.setShortcut(QKeySequence(key))
            action.triggered.connect(lambda _=False, c=call: self._by_key(c))
            self.addAction(action)

    def _by_key(self, call: Callable[[], object]) -> None:
        """Run `call` for a shortcut, unless a dialog is open."""
        if not any(scrim.isVisible() for scrim in self.findChildren(Scrim)):
            call()

    # places ----------------------------------------------------------------------------------------------------------

    def page(self, key: str) -> Page:
        """The page `key`, which is made at the first call."""
        if (page := self._pages.get(key)) is None:
            assert self.make_page is not None, "set before the window goes anywhere"
            page = self._pages[key] = self.make_page(key)
            self.stack.addWidget(page)
        return page

    def pages(self) -> list[Page]:
        """The pages made so far."""
        return list(self._pages.values())

    @property
    def place(self) -> Place:
        return self._history[self._at] if self._at >= 0 else HOME

    def go(self, place: Place) -> None:
        """Show `place`, and remember where the window was."""
        if self._at >= 0 and self._history[self._at] == place:
            self._show(place)
            return
        self._history = [*self._history[: self._at + 1], place][-50:]
        self._at = len(self._history) - 1
        self._show(place)

    def go_by_key(self, place: Place) -> None:
        """Go to `place`, and put the focus into it."""
        self.go(place)
        self.page(place.page).first_focus().setFocus(Qt.FocusReason.ShortcutFocusReason)

    def replace_place(self, place: Place) -> None:
        """Note that the page now shows `place` (another tab), without a step in the history."""
        if self._at >= 0:
            self._history[self._at] = place
            self.placed.emit(place)

    def step(self, by: int) -> None:
        if 0 <= self._at + by < len(self._history):
            self._at += by
            self._show(self._history[self._at])
            self.page(self.place.page).first_focus().setFocus(Qt.FocusReason.ShortcutFocusReason)

    def forget(self, thing: str) -> bool:
        """Remove all places of `thing`, which was deleted, from the history; True: it was shown.

        The window then shows the page that lists such things.
        """
        was_here = self._at >= 0 and self._history[self._at].thing == thing
        page = self.place.page
        self._at -= sum(place.thing == thing for place in self._history[: self._at + 1])
        self._history = [place for place in self._history if place.thing != thing]
        if was_here:
            self.go(Place(spec_of(page).parent or page))
        self._show_steps()
        return was_here

    def _show(self, place: Place) -> None:
        page, before = self.page(place.page), self.stack.currentWidget()
        if isinstance(before, Page) and before is not page:
            before.leave()
        self.stack.setCurrentWidget(page)
        for part in self._around:
            part.setVisible(not spec_of(place.page).whole)
        page.show_place(place.thing, place.tab)
        self.sidebar.choose(spec_of(place.page).parent or place.page)
        self._show_steps()
        self.placed.emit(place)

    def _show_steps(self) -> None:
        self.top.back.setEnabled(self._at > 0)
        self.top.forward.setEnabled(self._at + 1 < len(self._history))

    def _next_tab(self, by: int) -> None:
        self.page(self.place.page).next_tab(by)

    def _find(self) -> None:
        self.page(self.place.page).go_find()

    def next_pane(self) -> None:
        """Move the focus to the next of sidebar, top bar and page."""
        page = self.page(self.place.page)
        panes: list[QWidget] = [pane for pane in (self.sidebar.view, self.top.search, page) if pane.isVisible()]
        focused = self.focusWidget()
        here = -1
        if focused is not None:
            here = next((n for n, pane in enumerate(panes) if pane is focused or pane.isAncestorOf(focused)), -1)
        target = panes[(here + 1) % len(panes)]
        if target is page:
            target = page.first_focus()
        target.setFocus(Qt.FocusReason.TabFocusReason)

    # window ----------------------------------------------------------------------------------------------------------

    def toggle_sidebar(self) -> None:
        self._forced_narrow = not self.sidebar.is_narrow
        self.sidebar.set_narrow(self._forced_narrow)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        narrow = self.width() < NARROW_BELOW
        if self._forced_narrow is None or (not narrow and self._forced_narrow is False):
            self.sidebar.set_narrow(narrow)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.BackButton:
            self.step(-1)
        elif event.button() == Qt.MouseButton.ForwardButton:
            self.step(+1)
        else:
            super().mousePressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.seen.emit(True)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.seen.emit(False)

    def closeEvent(self, event: QCloseEvent) -> None:
        self._settings.setValue("window/geometry", self.saveGeometry())
        if self.keeps_alive:
            event.ignore()
            self.hide()
            self.hidden_to_tray.emit()
            return
        super().closeEvent(event)
        self.closing.emit()
