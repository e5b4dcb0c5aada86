"""What all pages with a list share: head with counts, segments, filter, empty pages, bulk bar, keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from PySide6.QtCore import QAbstractItemModel, Qt, QTimer, SignalInstance
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QLineEdit, QStackedLayout, QVBoxLayout, QWidget

from desktop.ui.kit.bulk import BulkBar
from desktop.ui.kit.buttons import Button, Segments
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.fields import Field
from desktop.ui.kit.menus import Act
from desktop.ui.kit.page import Desk, Page
from desktop.ui.kit.page_head import PageHead
from desktop.ui.kit.selection import Selection
from desktop.ui.kit.words import tr

SIDE = 24  # beside everything on a page
SEARCH_WIDTH, LEAST_SEARCH_WIDTH = 232, 140


def changes_of(model: QAbstractItemModel) -> tuple[SignalInstance, ...]:
    """The signals by which a model tells that its rows are others."""
    return model.rowsInserted, model.rowsRemoved, model.dataChanged, model.modelReset


class ListPage(Page):
    """A page with one list. A subclass makes the list, calls `build`, and tells what is in it.

    The page keeps counts and summary true: `watch` connects the models whose changes lead to one `refresh`.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        title: str,
        segments: Sequence[str],
        which: str,
        hint: str,
        foot: int = 16,
        parent: QWidget | None = None,
    ) -> None:
        """`segments`: their names; `which` their accessible name; `hint` the filter's; `foot` pixels below the list."""
        super().__init__(desk, parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(SIDE, 0, SIDE, foot)
        column.setSpacing(0)
        head = PageHead(desk.theme, title)
        self.title, self.summary = head.title, head.summary
        column.addLayout(head)
        self.above = QVBoxLayout()  # for a banner
        column.addLayout(self.above)
        self.tools = QWidget()
        self._tools_row = QHBoxLayout(self.tools)
        self._tools_row.setContentsMargins(0, 0, 0, 12)
        self._tools_row.setSpacing(12)
        self.segments = Segments(desk.theme, segments, which)
        self.search = Field(desk.theme, desk.icons, hint, "funnel-simple", clears=True)
        self.search.setFixedWidth(SEARCH_WIDTH)
        self._tools_row.addWidget(self.segments)
        self._tools_row.addWidget(self.search)
        self._last_tool: QWidget = self.search
        self._buttons: list[Button] = []
        desk.theme.changed.connect(self._fit_tools)
        self._tools_row.addStretch(1)
        column.addWidget(self.tools)
        body = QWidget()
        self._stack = QStackedLayout(body)
        column.addWidget(body, 1)
        self.bulk: BulkBar | None = None
        self._later = QTimer(self)  # one refresh for a burst of changes
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self.refresh)

    def build(self, listing: QWidget, table: QAbstractItemView, empty: QWidget) -> None:
        """`listing` holds `table`, which gets the focus; `empty` is shown while there is nothing at all."""
        self.table = table
        self.listing, self.empty = listing, empty
        self.clear = Button(self.desk.theme, self.desk.icons, tr("Clear filter"))
        self.clear.clicked.connect(self.clear_filter)
        self.no_match = EmptyPage(self.desk.theme, self.desk.icons, "", "", (self.clear,), art=False)
        for widget in (listing, empty, self.no_match):
            self._stack.addWidget(widget)
        self.search.textChanged.connect(self._on_filter)
        self.segments.chosen.connect(self._on_filter)

    def add_state(self, widget: QWidget) -> None:
        """One more page in place of the list, for `shown_widget`."""
        self._stack.addWidget(widget)

    def add_button(self, button: Button) -> None:
        """A button at the right of the filter."""
        self._tools_row.addWidget(button)
        self._buttons.append(button)
        self.setTabOrder(self._last_tool, button)
        self._last_tool = button

    def put_before(self, widget: QWidget) -> None:
        """A control at the left of the segments."""
        self._tools_row.insertWidget(0, widget)
        self.setTabOrder(widget, self.segments)

    def put_after(self, widget: QWidget) -> None:
        """A control beside the filter."""
        self._tools_row.insertWidget(self._tools_row.indexOf(self._last_tool) + 1, widget)
        self.setTabOrder(self._last_tool, widget)
        self._last_tool = widget

    def watch(self, *models: QAbstractItemModel) -> None:
        for model in models:
            for signal in changes_of(model):
                signal.connect(self._later.start)

    def add_keys(self, keys: Mapping[str, Callable[[], object]]) -> None:
        """Shortcuts of the list."""
        for key, call in keys.items():
            action = QAction(self.table)
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.triggered.connect(lambda _=False, c=call: c())
            self.table.addAction(action)

    # what a subclass tells -------------------------------------------------------------------------------------------

    def choose(self, text: str, segment: int) -> None:
        """Filter the list."""
        raise NotImplementedError

    def counts(self) -> Sequence[int]:
        """How many things there are per segment; the first is all of them."""
        raise NotImplementedError

    def shown_count(self) -> int:
        """How many of them match the filter."""
        raise NotImplementedError

    def summarize(self) -> str:
        """The text beside the title; empty without content."""
        return ""

    def unknown_segments(self) -> frozenset[int]:
        """Segments whose count is not known at present."""
        return frozenset()

    def no_match_title(self, text: str) -> str:
        return tr("Nothing matches “{text}”", text=text) if text else tr("Nothing here")

    def shown_widget(self, total: int) -> QWidget:
        """What is shown: the list, the page for no matches, or the empty one."""
        if not total:
            return self.empty
        return self.listing if self.shown_count() else self.no_match

    # showing ---------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Update counts and summary, and show the list or one of the empty pages."""
        counts = self.counts()
        self.segments.set_counts(counts, self.unknown_segments())
        self.summary.setText(self.summarize())
        self._fit_tools()
        self.tools.setVisible(bool(counts[0]))
        self.no_match.title.setText(self.no_match_title(self.search.text().strip()))
        self._stack.setCurrentWidget(self.shown_widget(counts[0]))
        self.show_bulk()

    @property
    def is_list_shown(self) -> bool:
        return self._stack.currentWidget() is self.listing

    @property
    def search_field(self) -> QLineEdit:
        return self.search

    def first_focus(self) -> QWidget:
        return self.table if self.is_list_shown else self

    def _on_filter(self) -> None:
        self.choose(self.search.text(), self.segments.current)
        self.refresh()

    def clear_filter(self) -> None:
        self.search.clear()
        self.segments.choose(0)

    # several ---------------------------------------------------------------------------------------------------------

    def add_bulk(self, acts: Sequence[Act], selection: Selection, asked: Callable[[str], None]) -> None:
        """A bar with `acts` on the rows of `selection`."""
        self.bulk, self._selection = BulkBar(self.desk.theme, self.desk.icons, acts, self), selection
        self.bulk.asked.connect(asked)
        self.bulk.closed.connect(selection.clear)
        selection.changed.connect(self.show_bulk)

    def fitting(self) -> frozenset[str]:
        """The keys of the bar's actions that fit some of the selected rows."""
        raise NotImplementedError

    def show_bulk(self) -> None:
        if self.bulk is None:
            return
        count = len(self._selection)
        if count:
            self.bulk.tell(count, self.fitting())
        self.bulk.setVisible(count > 0)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc: first the selection goes, then the filter."""
        if event.key() != Qt.Key.Key_Escape:
            super().keyPressEvent(event)
        elif self.bulk is not None and len(self._selection):
            self._selection.clear()
        elif self.search.text() or self.segments.current:
            self.clear_filter()
            self.first_focus().setFocus()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.bulk is not None:
            self.bulk.place()
        self._fit_tools()

    def _fit_tools(self) -> None:
        """Give the filter the room that is left; where that is too little, the buttons at the right show icons only."""
        shown = [button for button in self._buttons if not button.isHidden()]
        for button in shown:
            button.set_short(False)
        gaps = (len(shown) + 1) * self._tools_row.spacing()

        def left() -> int:
            used = self.segments.sizeHint().width() + sum(button.sizeHint().width() for button in shown)
            return self.width() - 2 * SIDE - used - gaps

        for button in reversed(shown):
            if left() >= LEAST_SEARCH_WIDTH:
                break
            button.set_short(True)
        self.search.setFixedWidth(max(LEAST_SEARCH_WIDTH, min(SEARCH_WIDTH, left())))
