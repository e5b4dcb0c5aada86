"""Pages of which one is shown. The others get a new look when they are shown."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QFont, QPalette
from PySide6.QtWidgets import QApplication, QStackedWidget, QWidget

from desktop.ui.kit.theme import Theme

POLISHED = Qt.WidgetAttribute.WA_WState_Polished


class PageStack(QStackedWidget):
    """A change of the style sheet costs 0.1 ms a widget, and nine tenths of a window's widgets lie on hidden pages.

    `QApplication.setStyleSheet` leaves out the widgets without `WA_WState_Polished`, as those that were never shown.
    """

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._late: set[QWidget] = set()  # pages that have an older look
        theme.changing.connect(self._leave_out_hidden)
        self.currentChanged.connect(self._style_current)

    def _leave_out_hidden(self) -> None:
        shown = self.currentWidget()
        for page in self.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            if page is not shown and page.testAttribute(POLISHED):
                self._late.add(page)
                for widget in _parts(page):
                    widget.setAttribute(POLISHED, False)

    def _style_current(self) -> None:
        if (page := self.currentWidget()) not in self._late:
            return
        self._late.remove(page)
        late = [widget for widget in _parts(page) if not widget.testAttribute(POLISHED)]
        for widget in late:
            # The old style sheet's colours, which nobody took back, must not become those without a rule.
            widget.setPalette(QPalette())
            own = QFont(widget.font()) if widget.testAttribute(Qt.WidgetAttribute.WA_SetFont) else None
            widget.style().polish(widget)
            widget.setAttribute(POLISHED)
            if own is not None:  # set meanwhile, for the new look; polishing puts back what was known before
                widget.setFont(own)
        for widget in late:
            QApplication.sendEvent(widget, QEvent(QEvent.Type.StyleChange))


def _parts(widget: QWidget) -> Iterator[QWidget]:
    """`widget` and what lies in it, without dialogs and menus: they may be shown while it is hidden."""
    yield widget
    for child in widget.children():
        if isinstance(child, QWidget) and not child.isWindow():
            yield from _parts(child)
