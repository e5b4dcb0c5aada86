"""The page objects of the Containers page and of one container."""

from __future__ import annotations

import shlex

from PySide6.QtCore import QModelIndex, QPoint, QRect, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel
from pytestqt.qtbot import QtBot

from desktop.ui.containers.detail import DetailPage as DetailView
from desktop.ui.containers.log_view import LINE
from desktop.ui.containers.model import Row
from desktop.ui.containers.page import ContainersPage as ContainersView
from desktop.ui.containers.terminal import TerminalView
from desktop.ui.files.view import FilesView
from desktop.ui.kit.chart import Chart
from desktop.ui.shell.app import Cove
from tests.ui.files import FilesPart
from tests.ui.finding import button, indexes, texts
from tests.ui.hands import LIMIT_MS, NONE, Hands
from tests.ui.made import made


class ContainersPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot, self._hands = cove, qtbot, Hands(qtbot)
        self._page = made(cove, ContainersView)
        self._table = self._page.tree

    def rows(self) -> dict[str, str]:
        """The visible names, projects too, each with the state that its row shows."""
        said = {}
        for index in indexes(self._table.filter):
            node = self._table.filter.node(index)
            assert node is not None
            said[str(index.data())] = node.container.note or "running" if isinstance(node, Row) else node.words
        return said

    def wait_until_says(self, name: str, words: str) -> None:
        self._qtbot.waitUntil(lambda: words in self.rows().get(name, ""), timeout=LIMIT_MS)

    def wait_until_gone(self, name: str) -> None:
        self._qtbot.waitUntil(lambda: name not in self.rows(), timeout=LIMIT_MS)

    def wait_until_measured(self, name: str) -> None:
        def look() -> bool:
            row = next((r for r in self._cove.model.rows() if r.container.name == name), None)
            return row is not None and row.latest is not None

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

    def wait_until_uses(self, name: str, at_least: int) -> None:
        """Wait until the window knows that the container uses that many bytes of memory."""

        def look() -> bool:
            row = next((r for r in self._cove.model.rows() if r.container.name == name), None)
            return row is not None and row.latest is not None and row.latest.memory_bytes >= at_least

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

    def sort_by(self, title: str) -> None:
        """Click a column's head."""
        header, model = self._table.header(), self._table.filter
        titles = [model.headerData(n, Qt.Orientation.Horizontal) for n in range(header.count())]
        x = header.sectionPosition(titles.index(title)) + 20
        self._hands.click(header.viewport(), QPoint(x, header.height() // 2))

    def top_names(self) -> list[str]:
        """The rows of the first level, in order."""
        model = self._table.filter
        return [str(model.index(n, 0).data()) for n in range(model.rowCount())]

    def filter(self, text: str) -> None:
        """Type into the page's filter."""
        self._hands.fill(self._page.search, text)

    def choose_segment(self, name: str) -> None:
        self._hands.click(button(self._page.segments, name))

    def _index(self, name: str) -> QModelIndex:
        """The index of a row, scrolled into view."""
        self._qtbot.waitUntil(self._table.isVisible, timeout=LIMIT_MS)
        index = next((i for i in indexes(self._table.filter) if i.data() == name), None)
        assert index is not None, f"{name} is not among the rows {list(self.rows())}"
        self._table.scrollTo(index)
        return index

    def click(self, name: str, what: str, value: str = "", modifiers: Qt.KeyboardModifier = NONE) -> None:
        """Click a part of the row `name`: check, name, port, why, expand or action (`value` names which)."""
        index = self._index(name)
        rect = self._table.visualRect(index)
        viewport = self._table.viewport()
        self._hands.move(viewport, rect.center())  # the actions appear while the row is hovered
        places = self._table.places(index)
        place = next((p for p in places if p.what == what and value in ("", p.value)), None)
        assert place is not None, f"the row has no {what} {value}, but {[(p.what, p.value) for p in places]}"
        at = QPoint(place.box.center().x(), rect.y() + place.box.center().y())
        self._hands.click(viewport, at, modifiers=modifiers)

    def check(self, *names: str) -> None:
        """Click the boxes of these rows."""
        for name in names:
            self.click(name, "check")

    def check_all(self) -> None:
        """Click the check box in the table's head."""
        self._hands.click(self._table.header().viewport(), QPoint(19, self._table.header().height() // 2))

    def menu_on(self, name: str) -> list[str]:
        """Right-click the row; returns what its menu offers."""
        index = self._index(name)
        at = self._table.visualRect(index).center()
        viewport = self._table.viewport()
        return self._hands.open_menu_on(viewport, at)

    def choose(self, text: str) -> None:
        """Click an entry of the open menu."""
        self._hands.choose(self._hands.open_menu(), text)

    def press_on(self, name: str, key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE) -> None:
        """Click the row in the image column, which has no action, then press `key`."""
        index = self._index(name)
        rect = self._table.visualRect(index)
        x = self._table.header().sectionPosition(1) + 20
        self._hands.click(self._table.viewport(), QPoint(x, rect.center().y()))
        self._qtbot.waitUntil(self._table.hasFocus, timeout=LIMIT_MS)
        self.press(key, modifiers)

    def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE) -> None:
        self._hands.key(self._cove.window, key, modifiers)

    def press_button(self, name: str) -> None:
        """Click a button of the page."""
        self._hands.click(button(self._page, name))

    def press_in_bar(self, text: str) -> None:
        """Click a button of the bar for selected rows."""
        assert self._page.bulk is not None
        self._hands.click(button(self._page.bulk, text))

    @property
    def bulk_text(self) -> str:
        bulk = self._page.bulk
        return bulk.count.text() if bulk is not None and bulk.isVisible() else ""

    @property
    def has_focus(self) -> bool:
        return self._table.hasFocus()

    def is_in_sight(self, name: str) -> bool:
        index = next(i for i in indexes(self._table.filter) if i.data() == name)
        return self._table.visualRect(index).intersects(self._table.viewport().rect())

    def bar_offers(self) -> set[str]:
        """The enabled actions of the bar for selected rows."""
        assert self._page.bulk is not None
        buttons = [b for b in self._page.bulk.findChildren(QAbstractButton) if b.isVisible() and b.text()]
        return {b.accessibleName() for b in buttons if b.isEnabled()}

    def wait_until_bar_offers(self, *names: str) -> None:
        """A row may show its new state by an event before the reply to the action comes, and the bar after that."""
        self._qtbot.waitUntil(lambda: self.bar_offers() == set(names), timeout=LIMIT_MS)

    @property
    def filter_text(self) -> str:
        return self._page.search.text()

    def count_of(self, segment: str) -> int:
        """The count beside a segment's name."""
        shown = button(self._page.segments, segment)
        return int(getattr(shown, "count", None) or 0)

    @property
    def summary(self) -> str:
        """What the head says beside the title."""
        return self._page.summary.text()

    def wait_until_counted(self, segment: str, count: int) -> None:
        """Wait until the segment shows `count`: the page counts once for a burst of changes, after the rows changed."""
        self._qtbot.waitUntil(lambda: self.count_of(segment) == count, timeout=LIMIT_MS)

    @property
    def segment(self) -> str:
        """The chosen segment."""
        chosen = [b for b in self._page.segments.findChildren(QAbstractButton) if b.isChecked()]
        return chosen[0].text()

    @property
    def accessible_texts(self) -> list[str]:
        return [str(i.data(Qt.ItemDataRole.AccessibleTextRole)) for i in indexes(self._table.filter)]


class ContainerPage(FilesPart):
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot, self._hands = cove, qtbot, Hands(qtbot)
        self._page = made(cove, DetailView)

    @property
    def _files(self) -> FilesView:
        return self._page.files.files

    @property
    def name(self) -> str:
        """The name in the head."""
        return self._page.name.text()

    def choose_tab(self, name: str) -> None:
        self._hands.choose_tab(self._page.tabs, name)

    def click_port(self, port: int) -> None:
        self._hands.click(button(self._page, str(port)))

    @property
    def foot(self) -> str:
        """The line below the log."""
        logs = self._page.logs
        return " ".join(label.text() for label in (logs._lines, logs._from, logs._state))

    def wait_until_foot_says(self, words: str) -> None:
        self._qtbot.waitUntil(lambda: words in self.foot, timeout=LIMIT_MS)

    def wait_until_log_has(self, lines: int) -> None:
        """Wait until so many lines are shown, the window's own ones too."""
        self._qtbot.waitUntil(lambda: len(self.log()) == lines, timeout=LIMIT_MS)

    def press_in_log(self, key: Qt.Key) -> None:
        view = self._page.logs.view
        self._hands.click(view.viewport(), QPoint(200, view.viewport().height() - 12))
        self._hands.key(self._cove.window, key)

    def type_in_search(self, text: str) -> None:
        self._hands.fill(self._page.logs.search, text)

    @property
    def is_count_in_field(self) -> bool:
        """Whether the search field's counter is inside the field."""
        logs = self._page.logs
        return logs.search.rect().contains(logs._count.geometry())

    def go_to_older_hit(self, text: str) -> None:
        """Search for what only lines have that are not loaded, one of them, and go to it."""
        self.type_in_search(text)
        self.wait_until_counted("1 older")
        self.press_button("Previous hit")
        self.wait_until_counted("1 of 1")

    def wait_until_counted(self, text: str) -> None:
        """Wait until the search field's counter says that."""
        self._qtbot.waitUntil(lambda: self._page.logs._count.text() == text, timeout=LIMIT_MS)

    def press_button(self, name: str) -> None:
        """Click a button of the log."""
        self._hands.click(button(self._page.logs, name))

    def is_in_sight(self, text: str) -> bool:
        """Whether that line of the log is visible now."""
        view = self._page.logs.view
        row, top = self.log().index(text), view.verticalScrollBar().value() // LINE
        return top <= row <= top + view.viewport().height() // LINE

    def switch(self, name: str) -> None:
        """Click a switch of the log."""
        self._hands.click(button(self._page.logs, name), QPoint(12, 14))

    @property
    def log_extent(self) -> tuple[int, int]:
        """How far the log can be scrolled, down and to the right, in pixels."""
        view = self._page.logs.view
        return view.verticalScrollBar().maximum(), view.horizontalScrollBar().maximum()

    def is_marked(self, text: str) -> bool:
        """Whether something is painted in the gutter beside that line."""
        view = self._page.logs.view
        y = self.log().index(text) * LINE - view.verticalScrollBar().value() + 4
        gutter = view.viewport().grab(QRect(13, y, 9, LINE)).toImage()
        ground = gutter.pixel(0, 0)
        return any(gutter.pixel(x, y) != ground for x in range(gutter.width()) for y in range(gutter.height()))

    def export(self) -> None:
        """Press Export… of the log."""
        self._hands.click(button(self._page.logs, "Export"))

    def log(self) -> list[str]:
        return self._page.logs.view.shown_texts()

    def wait_until_logged(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: any(text in line for line in self.log()), timeout=LIMIT_MS)

    def find_in_log(self, text: str) -> tuple[int, int]:
        """Search for a text; returns the counter of hits once the whole text is typed."""
        found: list[tuple[int, int]] = []
        self._page.logs.view.found.connect(lambda at, of: found.append((at, of)))
        self._hands.fill(self._page.logs.search, text)
        self._qtbot.waitUntil(lambda: bool(found), timeout=LIMIT_MS)
        return found[-1]

    def choose_stream(self, name: str) -> None:
        self._hands.click(button(self._page.logs.streams, name))

    @property
    def why(self) -> str:
        card = self._page.logs.why
        return card.title.text() if card.isVisible() else ""

    @property
    def explanation(self) -> str:
        """The sentence under the title of the card."""
        card = self._page.logs.why
        return card.sentence.text() if card.isVisible() else ""

    @property
    def _terminal(self) -> TerminalView:
        shell = self._page.terminal.shell
        assert shell is not None, "no shell is open"
        return shell.view

    @property
    def shells(self) -> list[str]:
        """The titles of the shells that are open."""
        tabs = self._page.terminal.tabs
        return [tabs.tabText(number) for number in range(tabs.count())]

    def choose_shell(self, title: str) -> None:
        self._hands.choose_tab(self._page.terminal.tabs, title)

    def type(self, text: str) -> None:
        """Type a line into the visible shell."""
        self._hands.click(self._terminal)
        self._hands.type(text)
        self._hands.key(self._cove.window, Qt.Key.Key_Return)

    def terminal_text(self) -> str:
        return self._terminal.text()

    def wait_until_terminal_shows(self, text: str) -> None:
        def look() -> bool:
            return self._page.terminal.shell is not None and text in self._terminal.text()

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

    def wait_until_terminal_is_without(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: text not in self._terminal.text(), timeout=LIMIT_MS)

    def terminal_size(self) -> tuple[int, int]:
        return self._terminal.size_in_cells

    @property
    def tab_texts(self) -> list[str]:
        """All that the visible tab says."""
        return texts(self._page.tab)

    def wait_until_tab_says(self, *words: str) -> None:
        """Wait until the visible tab has texts with all these words."""

        def look() -> bool:
            said = self.tab_texts
            return all(any(word in text for text in said) for word in words)

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

    def wait_until_forgotten(self, text: str) -> None:
        """Wait until no tab has `text`, the hidden ones included."""

        def look() -> bool:
            said = [label.text() for label in self._page.stack.findChildren(QLabel)]
            return text not in self._page.overview.well.text() and not any(text in each for each in said)

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

    def press_in_tab(self, name: str) -> None:
        """Click a button of the visible tab."""
        self._hands.click(button(self._page.tab, name))

    def wait_until_named(self, name: str) -> None:
        """Wait until the head shows that name."""
        self._qtbot.waitUntil(
            lambda: self._page.name.toolTip() == name or self._page.name.text() == name, timeout=LIMIT_MS
        )

    def choose_more(self, text: str) -> None:
        """An entry of the head's menu."""
        self._hands.click(self._page.more)
        self.choose_in_menu(text)

    def choose_in_menu(self, text: str) -> None:
        """Click an entry of the open menu."""
        self._hands.choose(self._hands.open_menu(), text)

    def processes(self) -> list[str]:
        """The commands of the processes that the tab shows."""
        tab = self._page.processes
        return [process.command for process in tab.filter.items()]

    def wait_until_process(self, command: str, *, is_there: bool = True) -> None:
        self._qtbot.waitUntil(lambda: (command in self.processes()) == is_there, timeout=LIMIT_MS)

    def filter_tab(self, text: str) -> None:
        """Type into the visible tab's filter."""
        field = self._page.tab.search_field
        assert field is not None
        self._hands.fill(field, text)

    @property
    def reads_stats(self) -> bool:
        """Whether the Stats tab still asks for something."""
        return self._page.stats._follower is not None or self._page.stats._clock.isActive()

    @property
    def reads_processes(self) -> bool:
        return self._page.processes._clock.isActive()

    def chart(self, begins: str) -> str:
        """What the chart with that name says to a screen reader."""
        found = [chart.accessibleName() for chart in self._page.stats.findChildren(Chart)]
        return next(text for text in found if text.startswith(begins))

    def wait_until_charted(self, begins: str) -> None:
        """Wait until the chart has a value."""
        self._qtbot.waitUntil(lambda: "peak" in self.chart(begins), timeout=LIMIT_MS)

    def point_at(self, begins: str) -> str:
        """Focus the chart by the mouse, step back by the arrow keys; returns what the crosshair says."""
        chart = next(c for c in self._page.stats.findChildren(Chart) if c.accessibleName().startswith(begins))
        self._hands.click(chart)
        chart.setFocus()
        self._hands.key(self._cove.window, Qt.Key.Key_Left)
        return chart.crosshair

    def export_stats(self) -> None:
        self._hands.click(button(self._page.stats, "Export CSV"))

    def wait_until_inspected(self) -> str:
        self._qtbot.waitUntil(lambda: bool(self._page.inspect.view.text.toPlainText()), timeout=LIMIT_MS)
        return self._page.inspect.view.text.toPlainText()

    def copied_command(self, begins: str) -> list[str]:
        """Click Copy beside the command once it has the given beginning; returns the words as a shell splits them."""
        well = self._page.overview.well
        self._qtbot.waitUntil(lambda: begins in well.text(), timeout=LIMIT_MS)
        QApplication.processEvents()  # lays out the cards above
        self._page.overview.area.ensureWidgetVisible(well)
        self._hands.click(button(well, "Copy"))
        copied = QGuiApplication.clipboard().text()
        shown = shlex.split(well.text().replace("\\\n", ""))
        assert shown == shlex.split(copied), f"shown is {shown}, copied is {copied!r}"
        return shown
