"""The card beside a list: one thing's name, facts, buttons, and views."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import Card
from desktop.ui.kit.labels import ElidedLabel, Label
from desktop.ui.kit.page import Desk
from desktop.ui.kit.tabs import Tabs
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr


class DetailCard(Card):
    """Title, a line of facts, buttons at the right, and tabs. `code` is an id in the mono font with a copy button."""

    def __init__(
        self, desk: Desk, views: Sequence[tuple[str, QWidget]], views_name: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(desk.theme, parent=parent)
        self.desk = desk
        self._copied = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 0, 1, 1)
        column.setSpacing(0)
        head = QHBoxLayout()
        head.setContentsMargins(16, 13, 13, 0)
        names = QVBoxLayout()
        names.setSpacing(3)
        self.title = ElidedLabel(desk.theme, "", "heading")
        facts = QHBoxLayout()
        facts.setSpacing(4)
        self.code = Label(desk.theme, "", "mono", "text3")
        self._copy = Button(
            desk.theme, desk.icons, icon="copy-simple", kind="ghost", name=tr("Copy the id"), height=28, icon_size=14
        )
        self._copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._copied))
        self.about = ElidedLabel(desk.theme, "", "small", "text2")
        facts.addWidget(self.code)
        facts.addWidget(self._copy)
        self._gap = QWidget()
        self._gap.setFixedSize(8, 28)
        facts.addWidget(self._gap)
        facts.addWidget(self.about, 1)
        names.addWidget(self.title)
        names.addLayout(facts)
        head.addLayout(names, 1)
        self._last_button = self._copy
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(8)
        head.addSpacing(12)
        head.addLayout(self._buttons)
        column.addLayout(head)
        tabs_row = QHBoxLayout()
        tabs_row.setContentsMargins(17, 0, 16, 0)
        self.tabs = Tabs(desk.theme, tuple(name for name, _ in views))
        self.tabs.setAccessibleName(views_name)
        tabs_row.addWidget(self.tabs)
        column.addLayout(tabs_row)
        column.addWidget(Rule(desk.theme))
        self.stack = QStackedWidget()
        for _, view in views:
            self.stack.addWidget(view)
        column.addWidget(self.stack, 1)
        self.tabs.currentChanged.connect(self.stack.setCurrentIndex)

    def add_button(self, button: Button) -> None:
        self._buttons.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        self.setTabOrder(self._last_button, button)
        self._last_button = button

    def tell(self, title: str, *, code: str = "", copied: str = "", about: str = "") -> None:
        """Show these; the copy button copies `copied`."""
        self.title.set_text(title)
        self.code.setText(code)
        self._copied = copied
        self.code.setVisible(bool(code))
        self._copy.setVisible(bool(copied))
        self._gap.setFixedWidth(8 if copied else 0)
        self.about.set_text(about)


class Rule(QWidget):
    """A line across a card."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setFixedHeight(1)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), self._theme.colour("line"))
