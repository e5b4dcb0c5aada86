"""The Troubleshoot page: the checks of `cove diagnose`, with what helps, and a report to save."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.context import VM, Context
from desktop.diagnose.report import Finding, Grade
from desktop.paths import HostPaths
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import Card
from desktop.ui.kit.fields import CodeWell
from desktop.ui.kit.labels import IconLabel, Label
from desktop.ui.kit.page import Desk, Page
from desktop.ui.kit.page_head import PageHead
from desktop.ui.kit.states import State
from desktop.ui.kit.words import counted, duration, sentence, tr

NAME_WIDTH = 132


def examine(paths: HostPaths, context: Context) -> list[Finding]:
    """The findings of all checks. Takes seconds: call it from a worker."""
    from desktop.cli.version import VERSION  # these bring QEMU's and SSH's libraries, which the window does not need
    from desktop.diagnose import run

    return run.examine(paths, context.endpoint, is_vm=context.kind == VM, version=VERSION)


def save(file: Path, paths: HostPaths, findings: Sequence[Finding]) -> list[str]:
    """Write the report; the names of what is in it. Raises OSError."""
    from desktop.diagnose import run

    return run.write_bundle(file, paths, findings)


class TroubleshootPage(Page):
    """Checks at the first visit and on request. Signals: found(how many things do not work)."""

    found = Signal(int)

    def __init__(
        self, desk: Desk, session: EngineSession, context: Context, paths: HostPaths, parent: QWidget | None = None
    ) -> None:
        super().__init__(desk, parent)
        self._session, self._context, self._paths = session, context, paths
        self.findings: list[Finding] = []
        self._is_checking = False
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 0, 24, 16)
        column.setSpacing(0)
        head = PageHead(desk.theme, tr("Troubleshoot"))
        self.summary = head.summary
        self.report = Button(desk.theme, desk.icons, tr("Save a report…"), "file-arrow-down")
        self.again = Button(desk.theme, desk.icons, tr("Check again"), "arrow-clockwise", kind="primary")
        self.report.clicked.connect(self._on_report)
        self.again.clicked.connect(self.check)
        head.addWidget(self.report)
        head.addWidget(self.again)
        column.addLayout(head)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        inner.setObjectName("scrolled")
        self._column = QVBoxLayout(inner)
        self._column.setContentsMargins(0, 4, 8, 0)
        self._column.setSpacing(12)
        scroll.setWidget(inner)
        column.addWidget(scroll, 1)
        self._show([])

    def first_focus(self) -> QWidget:
        return self.again

    def show_place(self, thing: str, tab: str) -> None:
        if not self.findings:
            self.check()

    def check(self) -> None:
        """Run all checks."""
        if self._is_checking:
            return
        self._is_checking = True
        self.again.setEnabled(False)
        self.report.setEnabled(False)
        self.summary.setText(tr("Checking; a few seconds"))
        began = time.monotonic()

        def told(findings: list[Finding]) -> None:
            self._end()
            self.findings = findings
            bad = sum(finding.grade is Grade.BAD for finding in findings)
            text = counted(len(findings), "{n} check", "{n} checks")
            need = counted(bad, "{n} needs you", "{n} need you") if bad else tr("all in order")
            took = duration(time.monotonic() - began)
            self.summary.setText(tr("{checks}, {need}, took {time}", checks=text, need=need, time=took))
            self.found.emit(bad)
            self._show(findings)

        def failed(error: Exception) -> None:
            self._end()
            self.summary.setText(str(error))

        self._session.workers.run(lambda: examine(self._paths, self._context), told, failed)

    def _end(self) -> None:
        self._is_checking = False
        self.again.setEnabled(True)
        self.report.setEnabled(True)

    def _show(self, findings: Sequence[Finding]) -> None:
        while item := self._column.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        wanting = [f for f in findings if f.grade is Grade.BAD or (f.grade is Grade.NOTE and f.remedy)]
        for finding in sorted(wanting, key=lambda f: f.grade is not Grade.BAD):
            self._column.addWidget(self._problem(finding))
        in_order = [finding for finding in findings if finding not in wanting]
        if in_order:
            self._column.addWidget(self._rest(in_order))
        self._column.addStretch(1)

    def _problem(self, finding: Finding) -> QWidget:
        """A card with what is wrong and what helps."""
        theme, icons = self.desk.theme, self.desk.icons
        token = "bad" if finding.grade is Grade.BAD else "pause"
        card = Card(theme, token)
        row = QHBoxLayout(card)
        row.setContentsMargins(20, 14, 16, 14)
        row.setSpacing(16)
        row.addWidget(IconLabel(theme, icons, "warning", token, 20), 0, Qt.AlignmentFlag.AlignTop)
        words = QVBoxLayout()
        words.setSpacing(4)
        words.addWidget(Label(theme, sentence(finding.name).rstrip("."), "section"))
        detail = Label(theme, sentence(finding.detail), "body", "text2")
        detail.setWordWrap(True)
        words.addWidget(detail)
        if finding.remedy:
            words.addSpacing(4)
            words.addWidget(CodeWell(theme, icons, finding.remedy, name=tr("What helps")))
        row.addLayout(words, 1)
        return card

    def _rest(self, findings: Sequence[Finding]) -> QWidget:
        """One card with a line for each check that is in order."""
        theme, icons = self.desk.theme, self.desk.icons
        card = Card(theme)
        column = QVBoxLayout(card)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(10)
        head = QHBoxLayout()
        head.addWidget(Label(theme, tr("In order"), "section"))
        head.addStretch(1)
        head.addWidget(Label(theme, counted(len(findings), "{n} check", "{n} checks"), "small", "text2"))
        column.addLayout(head)
        for finding in findings:
            line = QHBoxLayout()
            line.setSpacing(12)
            icon = "check" if finding.grade is Grade.OK else "info"
            line.addWidget(IconLabel(theme, icons, icon, "run" if finding.grade is Grade.OK else "text2", 16))
            name = Label(theme, finding.name, "name")
            name.setMinimumWidth(NAME_WIDTH)
            line.addWidget(name)
            detail = Label(theme, finding.detail, "body", "text2")
            detail.setWordWrap(True)
            detail.setAccessibleName(f"{finding.name}: {finding.detail}")
            line.addWidget(detail, 1)
            column.addLayout(line)
        return card

    def _on_report(self) -> None:
        dialog = QFileDialog(self, tr("Save a report"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.selectFile(f"cove-report-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
        dialog.fileSelected.connect(self._on_file)
        dialog.open()

    def _on_file(self, path: str) -> None:
        toasts, findings = self.desk.toasts, list(self.findings)

        def told(names: list[str]) -> None:
            one, many = "{n} file in {path}, without secrets", "{n} files in {path}, without secrets"
            fact = counted(len(names), one, many, path=path)
            toasts.tell(tr("The report was saved"), fact)

        def failed(error: Exception) -> None:
            toasts.tell(tr("The report was not saved"), str(error), State.PROBLEM)

        self._session.workers.run(lambda: save(Path(path), self._paths, findings), told, failed)
