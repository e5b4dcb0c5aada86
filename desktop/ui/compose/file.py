"""The File tab of a project: its compose file, edited here, with the line marked that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtGui import QColor, QTextCursor, QTextFormat
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QTextEdit, QVBoxLayout, QWidget

from desktop.ui.compose.applying import Applying, Asked, Checked, check
from desktop.ui.compose.model import Project
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.labels import ElidedLabel, Label
from desktop.ui.kit.page import Desk
from desktop.ui.kit.words import counted, sentence, tr

SOON_MS = 300  # after the last key, before the file is checked


class FileTab(QWidget):
    """The first of the project's files; what is edited stays until it is applied."""

    def __init__(self, desk: Desk, session: EngineSession, applying: Applying, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk, self._session, self._applying = desk, session, applying
        self._project: Project | None = None
        self._file = ""
        self._drafts: dict[str, str] = {}  # by file: what was edited and not applied
        self._on_disk = ""
        self._reading, self._checking = Latest(session.workers), Latest(session.workers)
        bar = QFrame()
        bar.setObjectName("logbar")
        row = QHBoxLayout(bar)
        row.setContentsMargins(16, 8, 16, 8)
        self.path = ElidedLabel(desk.theme, "", "mono", "text2")
        self.apply = Button(desk.theme, desk.icons, tr("Apply…"), "check", kind="primary")
        self.apply.clicked.connect(self._on_apply)
        row.addWidget(self.path, 1)
        row.addWidget(self.apply)
        self.text = QPlainTextEdit()
        self.text.setProperty("kind", "bare")
        self.text.setTabChangesFocus(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setAccessibleName(tr("The compose file"))
        self.text.textChanged.connect(self._on_edited)
        self.said = Label(desk.theme, "", "small", "text2")
        self.said.setWordWrap(True)
        self.said.setContentsMargins(16, 8, 16, 10)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(bar)
        room = QVBoxLayout()
        room.setContentsMargins(16, 10, 16, 4)
        room.addWidget(self.text)
        column.addLayout(room, 1)
        column.addWidget(self.said)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self._check)
        applying.brought_up.connect(self._on_brought_up)
        desk.theme.changed.connect(self._on_theme)
        self._on_theme()

    def _on_theme(self) -> None:
        self.text.setFont(self._desk.theme.font("mono"))

    def show_project(self, project: Project) -> None:
        """Show its file; the same one stays as it is."""
        file = project.files[0] if project.files else ""
        is_other = file != self._file
        self._project = project
        if not is_other:
            self._soon.start()  # containers have changed
            return
        self._file = file
        self.path.set_text(file)
        self._soon.stop()
        self._checking.drop()
        self._fill("", can_edit=False)
        self.said.setText(tr("The tool that made it does not say where its compose file is.") if not file else "")
        if file:
            self._reading.run(lambda: _read(file), self._on_read, self._on_unreadable)

    def _on_read(self, text: str) -> None:
        self._on_disk = text
        if self._drafts.get(self._file) == text:  # it was applied
            del self._drafts[self._file]
        self._fill(self._drafts.get(self._file, text), can_edit=True)
        self._check()

    def _on_unreadable(self, error: Exception) -> None:
        self.said.setText(tr("The file cannot be read here: {error}", error=str(error)))

    def _fill(self, text: str, *, can_edit: bool) -> None:
        if text != self.text.toPlainText():  # else the cursor stays where it is
            self.text.blockSignals(True)
            self.text.setPlainText(text)
            self.text.blockSignals(False)
        self.text.setReadOnly(not can_edit)
        self.apply.setEnabled(False)
        self.text.setExtraSelections([])

    def _on_edited(self) -> None:
        self._drafts[self._file] = self.text.toPlainText()
        self.apply.setEnabled(False)
        self._soon.start()

    def _asked(self) -> Asked:
        assert self._project is not None
        text = self.text.toPlainText()
        texts = {self._file: text} if text != self._on_disk else {}
        return Asked(files=self._project.files, name=self._project.name, texts=texts)

    def _check(self) -> None:
        if self.text.isReadOnly() or self._reading.is_waiting:
            return  # there is no text yet
        client, asked = self._session.client, self._asked()
        self._checking.run(lambda: check(client, asked), self._tell, lambda e: self.said.setText(sentence(str(e))))

    def _tell(self, checked: Checked) -> None:
        self.apply.setEnabled(not checked.problem)
        marks = []
        if checked.problem and checked.file == self._file:
            mark = QTextEdit.ExtraSelection()
            mark.format.setBackground(QColor(self._desk.theme.colour("badsoft")))
            mark.format.setProperty(QTextFormat.Property.FullWidthSelection, True)
            mark.cursor = QTextCursor(self.text.document().findBlockByNumber(checked.line - 1))
            marks.append(mark)
        self.text.setExtraSelections(marks)
        self.said.set_tone("bad" if checked.problem else "text2")
        self.said.setText(" ".join(map(sentence, self._words(checked))))

    @staticmethod
    def _words(checked: Checked) -> Sequence[str]:
        if checked.problem:
            return [checked.problem]
        count = len(checked.differences)
        changes = counted(count, "{n} change when it is applied", "{n} changes when it is applied")
        return [changes if count else tr("All is as the file says."), *checked.warnings]

    def _on_apply(self) -> None:
        asked = self._asked()
        self._applying.ask(asked, self._tell)

    def _on_brought_up(self, name: str) -> None:
        """What was edited may be on the disk now; what was not applied, or edited since, is not."""
        if self._project is not None and self._project.name == name and self._file:
            file = self._file
            self._reading.run(lambda: _read(file), self._on_read, self._on_unreadable)


def _read(file: str) -> str:
    return Path(file).read_text(encoding="utf-8")
