"""A folder of a container or a volume beside a preview of the chosen file, with downloads and uploads."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QAction, QDragEnterEvent, QDropEvent, QGuiApplication, QKeySequence, QTextOption
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.files.folder import (
    MOST,
    PREVIEW_BYTES,
    Entry,
    Folder,
    Preview,
    Source,
    columns,
    fetch,
    is_missing,
    preview,
    put,
    read_folder,
    read_marks,
)
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import Card, Framed
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.fields import Field
from desktop.ui.kit.filedialogs import ask_sources, ask_target
from desktop.ui.kit.labels import ElidedLabel, Label
from desktop.ui.kit.menus import Act, open_menu
from desktop.ui.kit.page import Desk
from desktop.ui.kit.rows import RowFilter, Rows, Segment
from desktop.ui.kit.table import Table
from desktop.ui.kit.transfers import Transfer
from desktop.ui.kit.words import ago, counted, disk, listed, sentence, tr

SPLIT, SPLIT_BELOW = (620, 400), (300, 160)
PREVIEW_AFTER_MS = 150  # so that a run through the rows by keys reads only the last


class PreviewCard(Card):
    """The beginning of the chosen file."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.theme)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 8, 8)
        column.setSpacing(6)
        self.title = ElidedLabel(desk.theme, "", "section")
        self.about = Label(desk.theme, "", "small", "text2")
        self.about.setWordWrap(True)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setProperty("kind", "bare")
        self.text.setWordWrapMode(QTextOption.WrapMode.NoWrap)
        self.text.setAccessibleName(tr("Preview"))
        self.text.setTabChangesFocus(True)
        column.addWidget(self.title)
        column.addWidget(self.about)
        column.addWidget(self.text, 1)
        desk.theme.changed.connect(lambda: self.text.setFont(desk.theme.font("mono")))
        self.text.setFont(desk.theme.font("mono"))

    def tell(self, entry: Entry | None) -> None:
        """Show the facts of `entry`; its text comes later."""
        self.text.clear()
        self.title.set_text(entry.name if entry is not None else "")
        if entry is None:
            self.about.setText(tr("Choose a file to see its beginning."))
            return
        if entry.error:
            self.about.setText(tr("It cannot be read: {reason}", reason=entry.error))
            return
        size = disk(entry.size) if entry.kind == "file" else ""
        parts = (size, tr("modified {ago}", ago=ago(entry.modified_s)), f"{entry.rights} {entry.uid}:{entry.gid}")
        self.about.setText(", ".join(part for part in parts if part))

    def tell_text(self, shown: Preview) -> None:
        if shown.text is None:
            self.text.setPlainText(tr("This is no text."))
            return
        self.text.setPlainText(shown.text)
        if shown.is_cut:
            self.about.setText(tr("{facts}; the first {size}", facts=self.about.text(), size=disk(PREVIEW_BYTES)))


class FilesView(QWidget):
    """A folder beside a preview of the chosen file. What is dropped on it is copied there. `is_narrow`: for the card
    beside a list, where the preview is below."""

    def __init__(
        self, desk: Desk, session: EngineSession, parent: QWidget | None = None, *, is_narrow: bool = False
    ) -> None:
        super().__init__(parent)
        self._desk, self._session, self._is_narrow = desk, session, is_narrow
        self._source: Source | None = None
        self._folder: Folder | None = None
        self._path = "/"
        self._choose_next = ""  # the name of the entry to select in the next folder
        self._marks: dict[str, int] | None = None  # None: to be read
        self._reading, self._previewing = Latest(session.workers), Latest(session.workers)
        self.setAcceptDrops(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(*((12, 12, 12, 12) if is_narrow else (24, 12, 24, 16)))
        column.setSpacing(12)
        column.addLayout(self._build_bar(desk))
        self.rows: Rows[Entry] = Rows(columns(), lambda e: e.path, lambda e: e.name)
        self.filter = RowFilter(self.rows, (Segment(tr("All"), lambda _: True),), self)
        self.view: Table[Entry] = Table(desk.theme, desk.icons, self.filter, columns(), tr("Files"), checks=False)
        self.view.opened.connect(self._on_opened)
        self.view.menu_asked.connect(self._on_menu)
        self.view.current_changed.connect(self._on_current)
        self.preview = PreviewCard(desk)
        self._splitter = QSplitter(Qt.Orientation.Vertical if is_narrow else Qt.Orientation.Horizontal)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.setHandleWidth(12)
        framed = Framed(desk.theme, self.view)
        framed.setMinimumWidth(280 if is_narrow else 320)
        self._splitter.addWidget(framed)
        self._splitter.addWidget(self.preview)
        self._splitter.setSizes(list(SPLIT_BELOW if is_narrow else SPLIT))
        self._splitter.setStretchFactor(0, 1)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._splitter)
        self.none = EmptyPage(desk.theme, desk.icons, "", "", art=False)
        self._stack.addWidget(self.none)
        column.addWidget(self._stack, 1)
        self._soon = QTimer(self)  # also while the tab is covered, so that the preview is there on return
        self._soon.setSingleShot(True)
        self._soon.setInterval(PREVIEW_AFTER_MS)
        self._soon.timeout.connect(self._read_preview)
        for keys, call in (("Backspace", self._on_up), ("Ctrl+C", self._copy_path)):
            action = QAction(self.view)
            action.setShortcut(QKeySequence(keys))
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            action.triggered.connect(lambda _=False, c=call: c())
            self.view.addAction(action)

    def _build_bar(self, desk: Desk) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        self.up = Button(
            desk.theme, desk.icons, icon="arrow-up", name=tr("Parent folder"), tip=tr("Parent folder (Backspace)")
        )
        self.place = Field(desk.theme, desk.icons, tr("Folder"), "folder-open")
        hint = tr("Filter") if self._is_narrow else tr("Filter by name")
        self.search = Field(desk.theme, desk.icons, hint, "funnel-simple", clears=True)
        self.search.setFixedWidth(120 if self._is_narrow else 160)
        self.summary = Label(desk.theme, "", "small", "text2")
        self.again = Button(desk.theme, desk.icons, icon="arrow-clockwise", name=tr("Read again"))
        upload, download = tr("Upload…"), tr("Download…")
        self.upload = Button(desk.theme, desk.icons, "" if self._is_narrow else upload, "upload-simple")
        self.download = Button(desk.theme, desk.icons, "" if self._is_narrow else download, "download-simple")
        for button, text in ((self.upload, upload), (self.download, download)):
            button.setAccessibleName(text.rstrip("…"))
            button.setToolTip(text if self._is_narrow else "")
        self.summary.setVisible(not self._is_narrow)
        self.up.clicked.connect(self._on_up)
        self.place.returnPressed.connect(lambda: self.go(self.place.text().strip() or "/"))
        self.search.textChanged.connect(lambda text: self.filter.choose(text, 0))
        self.again.clicked.connect(self._read_all)
        self.upload.clicked.connect(self._ask_upload)
        self.download.clicked.connect(lambda: self._ask_download(self.view.current()))
        for widget in (self.up, self.place, self.search, self.summary, self.again, self.upload, self.download):
            row.addWidget(widget, 1 if widget is self.place else 0)
        return row

    # whose files -----------------------------------------------------------------------------------------------------

    def show_source(self, source: Source) -> None:
        """Show the files of `source`, read anew."""
        self._source = source
        self._read_all()

    def clear(self) -> None:
        """Show nothing: the next source is another one."""
        self._reading.drop()
        self._previewing.drop()
        self._source, self._folder, self._marks, self._path = None, None, None, "/"
        self.rows.replace(())
        self.place.clear()
        self.summary.setText("")
        self._stack.setCurrentWidget(self._splitter)
        self.preview.tell(None)
        self.search.clear()
        self._soon.stop()

    @property
    def search_field(self) -> QLineEdit:
        return self.search

    # reading ---------------------------------------------------------------------------------------------------------

    def go(self, path: str, choose: str = "") -> None:
        """Show the folder at `path`, with the entry `choose` as the current one."""
        self._path, self._choose_next = posixpath.normpath(f"/{path.lstrip('/')}"), choose
        self.search.clear()
        self._read()

    def _read_all(self) -> None:
        """Read what was changed since the image, then the folder."""
        self._marks = None
        self._read()

    def _read(self) -> None:
        source, client, path, known = self._source, self._session.client, self._path, self._marks
        if source is None:
            return

        def read() -> tuple[dict[str, int], Folder]:
            marks = read_marks(client, source) if known is None else known
            return marks, read_folder(client, source, path, marks)

        def told(answer: tuple[dict[str, int], Folder]) -> None:
            self._marks, folder = answer
            self._tell(folder)

        self._reading.run(read, told, self._fail)

    def _tell(self, folder: Folder) -> None:
        before, self._folder = self._folder, folder
        self.place.setText(folder.path)
        self.up.setEnabled(folder.path != "/")
        if before is not None and before.path == folder.path:
            self.rows.load(folder.entries)
        else:
            self.rows.replace(folder.entries)
        text = counted(folder.total, "{n} entry", "{n} entries")
        if folder.total > len(folder.entries):
            text = tr("the first {n} of {total} entries", n=f"{MOST:,}", total=f"{folder.total:,}")
        self.summary.setText(text)
        self._stack.setCurrentWidget(self._splitter)
        if self._choose_next and self.view.choose(posixpath.join(folder.path, self._choose_next)):
            self._choose_next = ""
        elif not self.view.currentIndex().isValid() and self.filter.rowCount():
            self.view.setCurrentIndex(self.filter.index(0, 0))
        self._on_current(self.view.current())

    def _fail(self, error: Exception) -> None:
        if is_missing(error) and self._folder is not None:
            tell = self._desk.toasts.tell
            tell(tr("There is no folder {path}", path=self._path), sentence(str(error)))
            self._path = self._folder.path
            self.place.setText(self._path)
            return
        self.none.title.setText(tr("The files cannot be read"))
        self.none.sentence.setText(sentence(str(error)))
        self._stack.setCurrentWidget(self.none)

    def _on_current(self, entry: Entry | None) -> None:
        self.download.setEnabled(entry is not None and (entry.is_file or entry.kind == "folder"))
        self.preview.tell(entry)
        self._soon.start()

    def _read_preview(self) -> None:
        entry, source, client = self.view.current(), self._source, self._session.client
        if entry is None or source is None or not entry.is_file:
            return

        def told(shown: Preview) -> None:
            if entry == self.view.current():
                self.preview.tell_text(shown)

        def failed(error: Exception) -> None:
            if entry == self.view.current():
                self.preview.text.setPlainText(sentence(str(error)))

        self._previewing.run(lambda: preview(client, source, entry), told, failed)

    # doing -----------------------------------------------------------------------------------------------------------

    def _on_opened(self, entry: Entry | None) -> None:
        if entry is not None and entry.is_folder:
            self.go(entry.path)
        elif entry is not None:
            self.preview.text.setFocus()

    def _on_up(self) -> None:
        if self._path != "/":
            self.go(posixpath.dirname(self._path), posixpath.basename(self._path))

    def _copy_path(self) -> None:
        if (entry := self.view.current()) is not None:
            QGuiApplication.clipboard().setText(entry.path)

    def _on_menu(self, place: QPoint) -> None:
        entry = self.view.current()
        if entry is None:
            return
        acts: list[Act | None] = []
        if entry.is_folder:
            acts.append(Act("open", "folder-open", tr("Open"), "Return"))
        if entry.is_file or entry.kind == "folder":
            acts.append(Act("download", "download-simple", tr("Download…")))
        acts += [Act("copy", "copy-simple", tr("Copy path"), "Ctrl+C")]
        calls: dict[str, Callable[[], None]] = {
            "open": lambda: self._on_opened(entry),
            "download": lambda: self._ask_download(entry),
            "copy": self._copy_path,
        }
        open_menu(self, self._desk.icons, acts, lambda key: calls[key](), place)

    def _ask_download(self, entry: Entry | None) -> None:
        if entry is None:
            return
        name = f"{entry.name}.tar" if entry.kind == "folder" else entry.name
        ask_target(self, tr("Download {name}", name=entry.name), name, lambda path: self._download(entry, path))

    def _download(self, entry: Entry, path: Path) -> None:
        source, client = self._source, self._session.client
        if source is None:
            return
        transfer = Transfer(
            tr("Downloading {name}", name=entry.name),
            tr("{name} was downloaded", name=entry.name),
            tr("{name} was not downloaded", name=entry.name),
            total=entry.size if entry.kind == "file" else 0,
        )
        run = self._session.workers.run_long
        transfer.run(self._desk.tasks, run, lambda: fetch(transfer, client, source, entry, path))

    def _ask_upload(self) -> None:
        ask_sources(self, tr("Upload into {path}", path=self._path), self.put)

    def put(self, sources: Sequence[Path]) -> None:
        """Copy these into the folder; what is there already is named in a question first."""
        if self._source is None or self._folder is None or not sources:
            return
        known = {entry.name for entry in self._folder.entries}
        replaced = [each.name for each in sources if each.name in known]
        if not replaced:
            self._upload(sources)
            return
        Question(
            self._desk.theme,
            self._desk.icons,
            self._desk.window,
            title=tr("Replace {names}?", names=listed(replaced)),
            facts=[
                tr("They are in {path} of {name} already.", path=self._path, name=self._source.name),
                tr("This cannot be undone."),
            ],
            verb=tr("Replace"),
            sure=lambda _checked: self._upload(sources),
        ).open()

    def _upload(self, sources: Sequence[Path]) -> None:
        source, client, folder = self._source, self._session.client, self._path
        if source is None:
            return
        names = listed([each.name for each in sources])
        transfer = Transfer(
            tr("Uploading {names}", names=names),
            tr("{names}: uploaded into {path}", names=names, path=folder),
            tr("{names}: not uploaded", names=names),
        )
        transfer.ended.connect(self._read_all)
        run = self._session.workers.run_long
        transfer.run(self._desk.tasks, run, lambda: put(transfer, client, source, folder, sources))

    # dropping --------------------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()) and self._folder is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        event.acceptProposedAction()
        self.put([Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()])
