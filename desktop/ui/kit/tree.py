"""What all tables of things do alike: head, looks, hovered row, focus by keyboard, keys, menus."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import (
    QAbstractItemModel,
    QEvent,
    QModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QHeaderView, QTreeView, QWidget

from desktop.ui.kit.buttons import KEYBOARD_REASONS, paint_check
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.rows import Index
from desktop.ui.kit.selection import Selection
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

HEAD = 35
CHECK_X, FIRST_X = 11, 39
INSET = 8  # from a column's edge to its text
MIDDLE = Qt.AlignmentFlag.AlignVCenter


class TableHead(QHeaderView):
    """Column heads aligned with the cells, with sort caret and, given a selection, the check box for all rows."""

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        table: QTreeView,
        *,
        right: Callable[[int], bool],
        selection: Selection | None = None,
    ) -> None:
        super().__init__(Qt.Orientation.Horizontal, table)
        self._theme, self._icons, self._right, self._selection = theme, icons, right, selection
        self.setSectionsClickable(True)
        self.setSectionsMovable(False)
        self.setSortIndicatorShown(True)
        self.setHighlightSections(False)
        self.setStretchLastSection(False)
        self.setMinimumSectionSize(48)
        self.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setAccessibleName(tr("Columns"))
        theme.changed.connect(self.viewport().update)

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), HEAD)

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        theme = self._theme
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(rect, theme.colour("surface"))
        left = INSET if section else 15
        if section == 0 and self._selection is not None:
            left = FIRST_X
            box = QRect(rect.x() + CHECK_X, (rect.height() - 16) // 2, 16, 16)
            paint_check(painter, theme, box, self._selection.of_all)
        sorted_by = self.sortIndicatorSection() == section
        painter.setFont(theme.font("smallname"))
        painter.setPen(theme.colour("text" if sorted_by else "text2"))
        text = str(self.model().headerData(section, Qt.Orientation.Horizontal))
        right = self._right(section)
        box = rect.adjusted(0, 0, -15 if section == self.count() - 1 else -INSET, 0) if right else rect
        box = box if right else box.adjusted(left, 0, -INSET, 0)
        painter.drawText(box, MIDDLE | Qt.AlignmentFlag.AlignRight if right else MIDDLE, text)
        if sorted_by:
            width = painter.fontMetrics().horizontalAdvance(text)
            x = box.right() - width - 17 if right else box.x() + width + 5
            up = self.sortIndicatorOrder() == Qt.SortOrder.AscendingOrder
            self._icons.paint(painter, "caret-up" if up else "caret-down", "text2", QRect(x, 0, 12, rect.height()), 12)
        painter.setPen(theme.pen("line"))
        painter.drawLine(rect.left(), rect.bottom(), rect.right() + 1, rect.bottom())
        painter.restore()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self._selection is not None and event.position().x() < FIRST_X - 4:
            self._selection.toggle_all()
            return
        super().mousePressEvent(event)


class Tree(QTreeView):
    """A view of rows. A subclass gives it rows and a head (`take`), paints the rows, and answers `on_enter`, `on_menu`.

    With a selection, Space selects the current row and Ctrl+A all rows. The menu opens by the right button, the menu
    key, and Shift+F10.
    """

    def __init__(self, theme: Theme, name: str, parent: QWidget | None = None) -> None:
        """`name` is the accessible one."""
        super().__init__(parent)
        self._theme = theme
        self._hover = QModelIndex()
        self._by_keyboard = False  # how the focus came, or the last move inside
        self._checked: Selection | None = None
        self.setProperty("kind", "plain")
        self.setUniformRowHeights(True)
        self.setRootIsDecorated(False)
        self.setIndentation(0)
        self.setVerticalScrollMode(QTreeView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QTreeView.SelectionMode.SingleSelection)
        self.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        self.setMouseTracking(True)
        self.setAllColumnsShowFocus(True)
        self.setAccessibleName(name)
        theme.changed.connect(self.viewport().update)

    def take(self, rows: QAbstractItemModel, head: TableHead, selection: Selection | None) -> None:
        """Show `rows`, sorted by the first column."""
        self.setModel(rows)
        self.setHeader(head)
        head.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self._checked = selection
        if selection is not None:
            selection.changed.connect(self.repaint_all)

    def repaint_all(self) -> None:
        """Paint the rows and the head again."""
        self.viewport().update()
        self.header().viewport().update()

    # what a subclass does --------------------------------------------------------------------------------------------

    def on_enter(self, index: QModelIndex, modifiers: Qt.KeyboardModifier) -> None:
        """Enter on the row at `index`."""

    def on_menu(self, index: QModelIndex, place: QPoint) -> None:
        """The menu of the row at `index` is asked for, at `place` on the screen."""

    # looks -----------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.fillRect(event.rect(), self._theme.colour("surface"))
        painter.end()
        super().paintEvent(event)

    def drawBranches(self, painter: QPainter, rect: QRect, index: Index) -> None:
        """Draw nothing: rows paint their carets themselves."""

    # pointer and keys ------------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._set_hover(self.indexAt(event.position().toPoint()).siblingAtColumn(0))
        super().mouseMoveEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self._set_hover(QModelIndex())
        super().leaveEvent(event)

    def _set_hover(self, index: QModelIndex) -> None:
        if index != self._hover:
            self._hover = index
            self.viewport().update()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        index = (self.currentIndex() if by_key else self.indexAt(event.pos())).siblingAtColumn(0)
        if index.isValid():
            place = self.visualRect(index).center() if by_key else event.pos()
            self.on_menu(index, self.viewport().mapToGlobal(place))

    def focusInEvent(self, event: QFocusEvent) -> None:
        self._by_keyboard = event.reason() in KEYBOARD_REASONS
        if self._by_keyboard and not self.currentIndex().isValid():
            self.setCurrentIndex(self.model().index(0, 0))
        super().focusInEvent(event)
        self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        self._by_keyboard = True
        key, modifiers = event.key(), event.modifiers()
        index = self.currentIndex().siblingAtColumn(0)
        if key == Qt.Key.Key_F10 and modifiers & Qt.KeyboardModifier.ShiftModifier:
            if index.isValid():
                self.on_menu(index, self.viewport().mapToGlobal(self.visualRect(index).center()))
            return
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and index.isValid():
            self.on_enter(index, modifiers)
        elif key == Qt.Key.Key_Space and self._checked is not None and index.isValid():
            self._checked.toggle(index)
        elif key == Qt.Key.Key_A and modifiers & Qt.KeyboardModifier.ControlModifier and self._checked is not None:
            self._checked.select_all()
        else:
            super().keyPressEvent(event)
        self.viewport().update()
