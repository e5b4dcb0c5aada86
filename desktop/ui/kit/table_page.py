"""A page whose list is a table of one kind of things, with an optional detail beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from PySide6.QtCore import QPoint, Qt, QTimer, SignalInstance
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QSplitter, QWidget

from desktop.ui.kit.cards import Framed
from desktop.ui.kit.listing import ListPage
from desktop.ui.kit.menus import Act, open_menu
from desktop.ui.kit.page import Desk
from desktop.ui.kit.rows import Column, RowFilter, Rows, Segment
from desktop.ui.kit.table import Table

T = TypeVar("T")
SPLIT = (456, 556)  # widths of list and detail in a window of 1280


class TablePage(ListPage, Generic[T]):
    """`rows` holds the things; a subclass gives columns and segments, and tells which actions fit (`acts`)."""

    def __init__(
        self,
        desk: Desk,
        *,
        title: str,
        columns: Sequence[Column[T]],
        segments: Sequence[Segment[T]],
        which: str,
        hint: str,
        key: Callable[[T], str],
        haystack: Callable[[T], str],
        empty: QWidget,
        detail: QWidget | None = None,
        bulk: Sequence[Act] = (),
        rows: Rows[T] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(desk, title=title, segments=[s.title for s in segments], which=which, hint=hint, parent=parent)
        self.rows = rows if rows is not None else Rows(columns, key, haystack, self)
        self.filter: RowFilter[T] = RowFilter(self.rows, segments, self)
        self.view: Table[T] = Table(desk.theme, desk.icons, self.filter, columns, title, checks=bool(bulk))
        self.detail = detail
        self._wanted = ""  # the key of a row to select as soon as it is there
        self._soon = QTimer(self)  # one new list for a burst of changes
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.load)
        framed = Framed(desk.theme, self.view)
        framed.setMinimumWidth(320)
        listing: QWidget = framed
        if detail is not None:
            self.splitter = QSplitter(Qt.Orientation.Horizontal)
            self.splitter.setChildrenCollapsible(False)
            self.splitter.setHandleWidth(12)
            self.splitter.addWidget(framed)
            self.splitter.addWidget(detail)
            self.splitter.setSizes(list(SPLIT))
            self.splitter.setStretchFactor(1, 1)
            listing = self.splitter
        self.build(listing, self.view, empty)
        if bulk and self.view.selection is not None:
            self._bulk_keys = frozenset(act.key for act in bulk)
            self.add_bulk(bulk, self.view.selection, lambda key: self.do(key, self.view.targets()))
        self.view.current_changed.connect(self._on_current)
        self.view.opened.connect(self.open_item)
        self.view.menu_asked.connect(self._on_menu)
        self.add_keys({"Del": lambda: self.do("delete", self.view.targets()), "Ctrl+C": self._copy})
        self.watch(self.rows)

    def follow(self, *signals: SignalInstance) -> None:
        """Call `load` after each burst of `signals` while the page is visible, and whenever it becomes visible."""
        for signal in signals:
            signal.connect(self._on_source)

    # what a subclass tells -------------------------------------------------------------------------------------------

    def acts(self, items: Sequence[T]) -> Sequence[Act | None]:
        """The actions on `items`, for their menu; None is a separator."""
        raise NotImplementedError

    def do(self, key: str, items: Sequence[T]) -> None:
        """Do the action `key` with `items`."""
        raise NotImplementedError

    def show_detail(self, item: T) -> None:
        """Show `item` beside the list; called again when it has changed."""

    def open_item(self, item: T) -> None:
        """Double click or Enter."""

    def load(self) -> None:
        """Fill `rows` from what the page follows."""

    # ListPage --------------------------------------------------------------------------------------------------------

    def choose(self, text: str, segment: int) -> None:
        self.filter.choose(text, segment)

    def counts(self) -> Sequence[int]:
        items = self.rows.items()
        return [sum(segment.accepts(item) for item in items) for segment in self.filter.segments]

    def shown_count(self) -> int:
        return self.filter.rowCount()

    def fitting(self) -> frozenset[str]:
        keys = {act.key for act in self.acts(self.view.targets()) if act is not None}
        return self._bulk_keys & keys

    def refresh(self) -> None:
        super().refresh()
        self._choose_wanted()
        if not self.view.currentIndex().isValid() and self.filter.rowCount():
            self.view.setCurrentIndex(self.filter.index(0, 0))
        elif (item := self.view.current()) is not None:
            self.show_detail(item)

    def show_place(self, thing: str, tab: str) -> None:
        """Select the row whose key is `thing`, now or when it comes."""
        self._wanted = thing
        self._choose_wanted()

    def names(self) -> list[str]:
        """The texts of the first column, as shown."""
        return [str(self.filter.index(n, 0).data()) for n in range(self.filter.rowCount())]

    # inside ----------------------------------------------------------------------------------------------------------

    def _choose_wanted(self) -> None:
        if self._wanted and self.view.choose(self._wanted):
            self._wanted = ""

    def _on_source(self) -> None:
        if self.isVisible():
            self._soon.start()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.load()
        self.refresh()

    def _copy(self) -> None:
        if items := self.view.targets():
            self.do("copy", items)

    def _on_current(self, item: T | None) -> None:
        if item is not None:
            self.show_detail(item)

    def _on_menu(self, place: QPoint) -> None:
        items = self.view.targets()
        open_menu(self, self.desk.icons, self.acts(items), lambda key: self.do(key, items), place)
