"""The palette: type to run an image, go somewhere or do something. Also the tray's quick-run, as its own window."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFontMetrics, QGuiApplication, QHideEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.kit.focus import give_back
from desktop.ui.kit.glyphs import paint_state
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import ElidedLabel, IconLabel, Label
from desktop.ui.kit.signs import KeyCap
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr
from desktop.ui.shell.palette_search import Entry, Offer, find, preselected

WIDTH = 680
ROW, SECTION = 44, 30
SHADOW = 28
Index = QModelIndex | QPersistentModelIndex
EntryRole = Qt.ItemDataRole.UserRole + 1


class _Entries(QAbstractListModel):
    """The found entries with their sections' headings between them."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.rows: list[Entry] = []

    def load(self, entries: Sequence[Entry]) -> None:
        self.beginResetModel()
        self.rows = []
        section = ""
        for entry in entries:
            if entry.section != section:
                section = entry.section
                self.rows.append(Entry(section=section, title=section, is_heading=True))
            self.rows.append(entry)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid() or self.rows[index.row()].is_heading:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        entry = self.rows[index.row()]
        if role == EntryRole:
            return entry
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return ", ".join(part for part in (entry.title, entry.fact, entry.verb) if part)
        return None


class _EntryDelegate(QStyledItemDelegate):
    def __init__(self, theme: Theme, icons: Icons, palette: Palette) -> None:
        super().__init__(palette)
        self._theme, self._icons, self._palette = theme, icons, palette

    def sizeHint(self, _option: QStyleOptionViewItem, index: Index) -> QSize:
        entry = index.data(EntryRole)
        return QSize(100, SECTION if isinstance(entry, Entry) and entry.is_heading else ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        entry = index.data(EntryRole)
        if not isinstance(entry, Entry):
            return
        theme = self._theme
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = Qt.AlignmentFlag.AlignVCenter
        if entry.is_heading:
            painter.setFont(theme.font("smallsection"))
            painter.setPen(theme.colour("text2"))
            painter.drawText(rect.adjusted(20, 4, 0, 0), middle, entry.title)
            painter.restore()
            return
        chosen = bool(state & QStyle.StateFlag.State_Selected)
        if chosen or state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("sel" if chosen else "hover"))
            painter.drawRoundedRect(QRectF(rect).adjusted(8, 0, -8, 0), 8, 8)
        if chosen:
            painter.setBrush(theme.brush("indicator"))
            painter.drawRoundedRect(QRectF(rect.x() + 8, rect.y() + 12, 3, ROW - 24), 1.5, 1.5)
        if entry.state is not None:
            paint_state(painter, theme, entry.state, QPointF(rect.x() + 29, rect.y() + ROW / 2), 10)
        elif entry.icon:
            self._icons.paint(
                painter, entry.icon, "accent" if chosen else "text2", QRect(rect.x() + 20, rect.y(), 18, ROW), 16
            )
        right = rect.right() - 20
        if chosen and entry.wish is not None:
            cap = QRectF(right - 20, rect.y() + (ROW - 20) / 2, 20, 20)
            painter.setPen(QPen(theme.colour("line2"), 1))
            painter.setBrush(theme.brush("sunken"))
            painter.drawRoundedRect(cap, 4, 4)
            self._icons.paint(painter, "arrow-elbow-down-left", "text2", cap.toRect(), 12)
            right -= 33
        painter.setFont(theme.font("smallsection" if chosen else "small"))
        painter.setPen(theme.colour("text" if chosen else "text2"))
        painter.drawText(QRect(right - 120, rect.y(), 120, ROW), middle | Qt.AlignmentFlag.AlignRight, entry.verb)
        right -= painter.fontMetrics().horizontalAdvance(entry.verb) + 16
        x = self._title(painter, entry, rect.x() + 52, rect.y(), right)
        painter.setFont(theme.font("small"))
        painter.setPen(theme.colour("text2"))
        fact = painter.fontMetrics().elidedText(entry.fact, Qt.TextElideMode.ElideRight, max(0, right - x - 12))
        painter.drawText(QRect(x + 12, rect.y(), max(0, right - x - 12), ROW), middle, fact)
        painter.restore()

    def _title(self, painter: QPainter, entry: Entry, x: int, y: int, right: int) -> int:
        """The title with the typed letters bold; returns the x position of its end."""
        theme, needle = self._theme, self._palette.needle
        at = entry.title.lower().find(needle) if needle else -1
        parts = (
            [
                (entry.title[:at], False),
                (entry.title[at : at + len(needle)], True),
                (entry.title[at + len(needle) :], False),
            ]
            if at >= 0
            else [(entry.title, False)]
        )
        painter.setPen(theme.colour("text"))
        for text, bold in parts:
            painter.setFont(theme.font("step" if bold else "lead"))
            metrics = QFontMetrics(painter.font())
            shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, max(0, right - x))
            painter.drawText(QRect(x, y, max(0, right - x), ROW), Qt.AlignmentFlag.AlignVCenter, shown)
            x += metrics.horizontalAdvance(shown)
        return x


class Palette(QWidget):
    """Opened by `open_over(window)` or, as the tray's quick-run, by `open_alone()`.

    Signals: run_chosen(RunWish, follow the log), options_asked(RunWish).
    """

    run_chosen = Signal(object, bool)
    options_asked = Signal(object)

    def __init__(self, theme: Theme, icons: Icons, offer: Callable[[], Offer], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._make_offer = theme, offer
        self._offer: Offer | None = None
        self._alone = parent is None
        self.needle = ""
        if self._alone:
            self.setWindowFlags(
                Qt.WindowType.Tool | Qt.WindowType.FramelessWindowHint | Qt.WindowType.WindowStaysOnTopHint
            )
            self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
            self.setWindowTitle(tr("Quick run"))
        self.box = QFrame(self)
        self.box.setFixedWidth(WIDTH)
        column = QVBoxLayout(self.box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        top = QWidget()
        top.setFixedHeight(57)
        row = QHBoxLayout(top)
        row.setContentsMargins(20, 0, 20, 0)
        row.setSpacing(12)
        row.addWidget(IconLabel(theme, icons, "magnifying-glass", "text2", 20))
        self.field = QLineEdit()
        self.field.setProperty("kind", "plain")
        self.field.setAccessibleName(tr("Run, find or do"))
        self.field.setPlaceholderText(tr("An image to run, a container, a command"))
        row.addWidget(self.field, 1)
        row.addWidget(Label(theme, tr("Run, find or do"), "small", "text2"))
        column.addWidget(top)
        self._model = _Entries(self)
        self.view = QListView()
        self.view.setModel(self._model)
        self.view.setItemDelegate(_EntryDelegate(theme, icons, self))
        self.view.setAccessibleName(tr("What was found"))
        self.view.setProperty("kind", "plain")
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.setMouseTracking(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.clicked.connect(lambda index: self._choose(index))
        column.addWidget(self.view)
        foot = QWidget()
        foot.setFixedHeight(43)
        foot_row = QHBoxLayout(foot)
        foot_row.setContentsMargins(20, 0, 16, 0)
        foot_row.setSpacing(8)
        self.command = ElidedLabel(theme, "", "mono", "text2")
        foot_row.addWidget(self.command, 1)
        foot_row.addWidget(KeyCap(theme, "Tab"))
        foot_row.addWidget(Label(theme, tr("options"), "small", "text2"))
        foot_row.addWidget(KeyCap(theme, "Esc"))
        column.addWidget(foot)
        self._before: QWidget | None = None
        self.field.textChanged.connect(self._on_text)
        self.field.installEventFilter(self)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        theme.changed.connect(self._on_theme)
        self._on_theme()
        self.hide()

    def hideEvent(self, event: QHideEvent) -> None:
        """Give the focus back to where it was."""
        super().hideEvent(event)
        before, self._before = self._before, None
        give_back(before)

    def _on_theme(self) -> None:
        self.field.setFont(self._theme.font("input"))
        self.update()

    # opening ---------------------------------------------------------------------------------------------------------

    def open_over(self, window: QWidget, text: str = "") -> None:
        """Show it in front of `window`."""
        self.setGeometry(window.rect())
        self._begin(text)

    def open_alone(self, text: str = "") -> None:
        """Show it as a window of its own, in the screen's upper third."""
        self._begin(text)
        screen = QGuiApplication.primaryScreen().availableGeometry()
        self.move(screen.x() + (screen.width() - self.width()) // 2, screen.y() + screen.height() // 5)
        self.activateWindow()

    def _begin(self, text: str) -> None:
        above = self.parentWidget()
        self._before = above.window().focusWidget() if above is not None else None
        self._offer = self._make_offer()
        self.field.setText(text)
        self._on_text(text)
        self.show()
        self.raise_()
        self.field.setFocus()

    def _on_text(self, text: str) -> None:
        if self._offer is None:
            return
        self.needle = text.lstrip(">@").strip().lower()
        entries = find(self._offer, text)
        self._model.load(entries)
        first = preselected(entries)
        if first is not None:
            self.view.setCurrentIndex(self._model.index(self._model.rows.index(first)))
        else:
            self.view.setCurrentIndex(QModelIndex())
            self.command.set_text(tr("↓ and Enter pull and run it") if entries else "")
        self._fit()

    def _fit(self) -> None:
        height = sum(SECTION if entry.is_heading else ROW for entry in self._model.rows)
        limit = 600 if self._alone else max(120, self.height() - 108 - 57 - 43 - 40)
        self.view.setFixedHeight(min(height + 6, limit))
        self.box.setFixedHeight(57 + self.view.height() + 43 + 2)
        if self._alone:
            self.resize(WIDTH + 2 * SHADOW, self.box.height() + 2 * SHADOW + 10)
            self.box.move(SHADOW, SHADOW - 10)
        else:
            self.box.move((self.width() - WIDTH) // 2, 108)
        self.update()

    def entries(self) -> list[Entry]:
        return [entry for entry in self._model.rows if not entry.is_heading]

    # choosing --------------------------------------------------------------------------------------------------------

    def _entry(self) -> Entry | None:
        entry = self.view.currentIndex().data(EntryRole)
        return entry if isinstance(entry, Entry) else None

    def _on_current(self, index: QModelIndex) -> None:
        entry = index.data(EntryRole)
        self.command.set_text(entry.command if isinstance(entry, Entry) else "")

    def _choose(self, _index: QModelIndex | None = None, *, follow: bool = False) -> None:
        if (entry := self._entry()) is None:
            return
        self.hide()
        if entry.wish is not None:
            self.run_chosen.emit(entry.wish, follow)
        elif entry.call is not None:
            entry.call()

    def _step(self, by: int) -> None:
        rows = [n for n, entry in enumerate(self._model.rows) if not entry.is_heading]
        here = self.view.currentIndex().row()
        if rows:
            place = rows.index(here) if here in rows else -1 if by > 0 else 0
            self.view.setCurrentIndex(self._model.index(rows[(place + by) % len(rows)]))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = event.key()
            control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
            if key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
                self._step(1 if key == Qt.Key.Key_Down else -1)
            elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._choose(follow=control)
            elif key == Qt.Key.Key_Tab:
                if (entry := self._entry() or next(iter(self.entries()), None)) and entry.wish is not None:
                    self.hide()
                    self.options_asked.emit(entry.wish)
            elif key == Qt.Key.Key_Escape:
                self.hide()
            else:
                return super().eventFilter(watched, event)
            return True
        return super().eventFilter(watched, event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if self._alone and event.type() == QEvent.Type.ActivationChange and not self.isActiveWindow():
            self.hide()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.box.geometry().contains(event.position().toPoint()):
            self.hide()

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if not self._alone:
            painter.fillRect(self.rect(), theme.mixed("shadow", 0.6 if theme.scheme == "dark" else 0.3))
        box = self.box.geometry()
        theme.draw_shadow(painter, box)
        painter.setPen(QPen(theme.colour("line2"), 1))
        painter.setBrush(theme.brush("raised"))
        painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 12, 12)
        painter.setPen(theme.pen("line"))
        for y in (box.y() + 57, box.bottom() - 43):
            painter.drawLine(box.x() + 1, y, box.right() - 1, y)
