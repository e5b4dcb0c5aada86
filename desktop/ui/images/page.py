"""The Images page: the list at the left, one image at the right; pull, run, delete."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPoint, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QHBoxLayout,
    QListView,
    QMenu,
    QSplitter,
    QStackedLayout,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.feed.session import EngineSession
from desktop.ui.images.detail import ImageDetail
from desktop.ui.images.model import ImageFilter, ImageModel, ImageSegment, Index, segments_of
from desktop.ui.kit.buttons import Button, Segments
from desktop.ui.kit.cards import EmptyPage, Field, RoundedView, chip_width, paint_chip
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.page_head import PageHead
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import counted, disk, tr

ROW = 40
HEAD = 35


class _ImageDelegate(QStyledItemDelegate):
    def __init__(self, theme: Theme, view: QListView, rows: ImageFilter) -> None:
        super().__init__(view)
        self._theme, self._view, self._rows = theme, view, rows

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(100, ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme, row = self._theme, self._rows.row(index)
        if row is None:
            return
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        selected = bool(state & QStyle.StateFlag.State_Selected)
        if selected or state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, theme.colour("sel" if selected else "hover"))
        painter.setPen(theme.pen("line"))
        painter.drawLine(rect.left(), rect.bottom(), rect.right(), rect.bottom())
        if selected:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("indicator"))
            painter.drawRoundedRect(QRectF(rect.x(), rect.y() + 7, 3, ROW - 14), 1.5, 1.5)
        middle, right = Qt.AlignmentFlag.AlignVCenter, Qt.AlignmentFlag.AlignRight
        name, tag = row.title
        painter.setFont(theme.font("small"))
        painter.setPen(theme.colour("text2"))
        end = rect.right() - 15
        painter.drawText(QRect(end - 90, rect.y(), 90, ROW), middle | right, row.age)
        painter.drawText(QRect(end - 164, rect.y(), 90, ROW), middle | right, disk(row.image.size))
        room = rect.width() - 16 - 164 - (chip_width(theme, tr("in use"), with_glyph=False) + 10 if row.in_use else 0)
        x = rect.x() + 15
        painter.setFont(theme.font("name"))
        painter.setPen(theme.colour("text"))
        shown = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, max(60, room - 40))
        painter.drawText(QRect(x, rect.y(), room, ROW), middle, shown)
        x += painter.fontMetrics().horizontalAdvance(shown)
        painter.setFont(theme.font("body"))
        painter.setPen(theme.colour("text2"))
        left_over = max(20, rect.x() + 15 + room - x)
        tag = painter.fontMetrics().elidedText(tag, Qt.TextElideMode.ElideRight, left_over)
        painter.drawText(QRect(x, rect.y(), left_over + 4, ROW), middle, tag)
        x += painter.fontMetrics().horizontalAdvance(tag)
        if row.in_use:
            width = chip_width(theme, tr("in use"), with_glyph=False)
            paint_chip(painter, theme, None, tr("in use"), QRect(x + 10, rect.y() + 10, width, 20))
        painter.restore()


class _ListHead(QWidget):
    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setFixedHeight(HEAD)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._theme.colour("surface"))
        painter.setFont(self._theme.font("smallname"))
        painter.setPen(self._theme.colour("text2"))
        middle, right = Qt.AlignmentFlag.AlignVCenter, Qt.AlignmentFlag.AlignRight
        painter.drawText(self.rect().adjusted(15, 0, 0, 0), middle, tr("Name"))
        end = self.width() - 16
        painter.drawText(QRect(end - 90, 0, 90, HEAD), middle | right, tr("Age"))
        painter.drawText(QRect(end - 164, 0, 90, HEAD), middle | right, tr("Size"))
        painter.setPen(self._theme.pen("line"))
        painter.drawLine(0, HEAD - 1, self.width(), HEAD - 1)


class ImagesPage(QWidget):
    """Signals: run_asked(name), pull_asked(), delete_asked(NamedImage), container_asked(name)."""

    run_asked = Signal(str)
    pull_asked = Signal()
    delete_asked = Signal(object)
    container_asked = Signal(str)

    def __init__(
        self, theme: Theme, icons: Icons, model: ImageModel, session: EngineSession, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("page")
        self._theme, self._icons, self._model = theme, icons, model
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 0, 24, 16)
        column.setSpacing(0)
        head = PageHead(theme, tr("Images"))
        self.summary = head.summary
        column.addLayout(head)
        column.addLayout(self._build_tools(theme, icons))
        body = QWidget()
        self._stack = QStackedLayout(body)
        self._stack.addWidget(self._build_splitter(theme, icons, session))
        self._stack.addWidget(self._build_empty(theme, icons))
        column.addWidget(body, 1)
        self.table = self.view  # gets the focus by F6 and the first Tab
        self._connect()
        self._add_keys()
        self.refresh()

    def _build_tools(self, theme: Theme, icons: Icons) -> QHBoxLayout:
        """The row of filters above the list, and Pull."""
        tools = QHBoxLayout()
        tools.setContentsMargins(0, 0, 0, 12)
        tools.setSpacing(12)
        names = (tr("All"), tr("In use"), tr("Not in use"), tr("Untagged"))
        self.segments = Segments(theme, names, tr("Which images"))
        self.search = Field(theme, icons, tr("Filter by name"), "funnel-simple")
        self.search.setFixedWidth(200)
        self.pull = Button(theme, icons, tr("Pull…"), "download-simple")
        self.pull.clicked.connect(self.pull_asked)
        tools.addWidget(self.segments)
        tools.addWidget(self.search)
        tools.addStretch(1)
        tools.addWidget(self.pull)
        return tools

    def _build_splitter(self, theme: Theme, icons: Icons, session: EngineSession) -> QSplitter:
        """The list at the left and the current image at the right."""
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.setHandleWidth(12)
        self._splitter.addWidget(self._build_list(theme))
        self.detail = ImageDetail(theme, icons, session)
        self._splitter.addWidget(self.detail)
        self._splitter.setSizes([400, 612])
        self._splitter.setStretchFactor(1, 1)
        return self._splitter

    def _build_list(self, theme: Theme) -> QWidget:
        left = QWidget()
        left.setMinimumWidth(320)
        left_column = QVBoxLayout(left)
        left_column.setContentsMargins(1, 1, 1, 1)
        left_column.setSpacing(0)
        left_column.addWidget(_ListHead(theme))
        self.filter = ImageFilter(self._model, self)
        self.view = _ImageList(theme)
        self.view.setModel(self.filter)
        self.view.setItemDelegate(_ImageDelegate(theme, self.view, self.filter))
        left_column.addWidget(self.view, 1)
        self._frame = RoundedView(theme, left)
        left.installEventFilter(self)
        return left

    def _build_empty(self, theme: Theme, icons: Icons) -> QWidget:
        """The page shown while the engine has no images."""
        first = Button(theme, icons, tr("Pull an image…"), "download-simple", kind="primary", height=36)
        first.clicked.connect(self.pull_asked)
        empty = EmptyPage(
            theme, icons, tr("No images yet"), tr("Pull one from a registry; running an unknown one pulls it too."),
            (first,), "cove pull debian:trixie",
        )  # fmt: skip
        return empty

    def _connect(self) -> None:
        """Connect the controls to the page, and the model to one delayed refresh."""
        self.segments.chosen.connect(self._on_filter)
        self.search.textChanged.connect(self._on_filter)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        self.view.doubleClicked.connect(lambda _index: self._run_current())
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._on_menu)
        self.detail.run_asked.connect(self.run_asked)
        self.detail.delete_asked.connect(self.delete_asked)
        self.detail.container_asked.connect(self.container_asked)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self.refresh)
        model = self._model
        for signal in (model.rowsInserted, model.rowsRemoved, model.dataChanged):
            signal.connect(self._later.start)

    def _add_keys(self) -> None:
        for key, call in (("Del", self._delete_current), ("Return", self._run_current)):
            action = QAction(self.view)
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.triggered.connect(lambda _=False, c=call: c())
            self.view.addAction(action)

    def refresh(self) -> None:
        rows = self._model.rows()
        counts = [0] * len(ImageSegment)
        for each in rows:
            for segment in segments_of(each):
                counts[segment] += 1
        self.segments.set_counts(counts)
        unused = sum(image.size for image in self._model.images if not image.used_by)
        text = counted(len(self._model.images), "{n} image", "{n} images") if rows else ""
        if rows:
            text = tr("{images}, {size} on disk", images=text, size=disk(self._model.total_bytes))
        if unused:
            text = tr("{text}, {size} not in use", text=text, size=disk(unused))
        self.summary.setText(text)
        self._stack.setCurrentIndex(0 if rows else 1)
        if not self.view.currentIndex().isValid() and self.filter.rowCount():
            self.view.setCurrentIndex(self.filter.index(0, 0))
        elif row := self.filter.row(self.view.currentIndex()):
            self.detail.show_image(row)
        self.detail.setVisible(self.filter.rowCount() > 0)

    def show_place(self, thing: str, _tab: str) -> None:
        """Select the image whose name or id is `thing`, if it is not empty."""
        for number in range(self.filter.rowCount()):
            found = self.filter.row(self.filter.index(number, 0))
            if found and thing and thing in (found.key, found.image.id):
                self.view.setCurrentIndex(self.filter.index(number, 0))

    def names(self) -> list[str]:
        return [str(self.filter.index(n, 0).data()) for n in range(self.filter.rowCount())]

    def _on_filter(self) -> None:
        self.filter.choose(self.search.text(), ImageSegment(self.segments.current))
        self.refresh()

    def _on_current(self, index: QModelIndex) -> None:
        if row := self.filter.row(index):
            self.detail.show_image(row)

    def _run_current(self) -> None:
        if row := self.filter.row(self.view.currentIndex()):
            self.run_asked.emit(row.key)

    def _delete_current(self) -> None:
        if row := self.filter.row(self.view.currentIndex()):
            self.delete_asked.emit(row)

    def _on_menu(self, pos: QPoint) -> None:
        row = self.filter.row(self.view.indexAt(pos))
        if row is None:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(self._icons.icon("play"), tr("Run…")).triggered.connect(lambda: self.run_asked.emit(row.key))
        copy = menu.addAction(self._icons.icon("copy-simple"), tr("Copy name"))
        copy.triggered.connect(lambda: QGuiApplication.clipboard().setText(row.key))
        menu.addSeparator()
        delete = menu.addAction(self._icons.icon("trash", "bad"), tr("Delete…"))
        delete.triggered.connect(lambda: self.delete_asked.emit(row))
        menu.popup(self.view.viewport().mapToGlobal(pos))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self._frame.setGeometry(watched.rect())
            self._frame.raise_()
        return super().eventFilter(watched, event)


class _ImageList(QListView):
    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(tr("Images"))
        theme.changed.connect(self.viewport().update)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.fillRect(event.rect(), self._theme.colour("surface"))
        if self.hasFocus():
            painter.setPen(QPen(self._theme.colour("focus"), 1))
        painter.end()
        super().paintEvent(event)
