"""The third step of the welcome: docker's context, and what may be set at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from desktop import dockercontext
from desktop.context import VM, Context, ContextError
from desktop.dockercontext import DockerContextError
from desktop.paths import HostPaths
from desktop.ui.feed.settings import Reading, SettingsFeed
from desktop.ui.feed.workers import Workers
from desktop.ui.kit.buttons import Button, Link
from desktop.ui.kit.cards import Card, CardTitle
from desktop.ui.kit.fields import CodeWell
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import sentence, tr
from desktop.ui.settings.rows import Row, row_for
from desktop.ui.welcome.panel import Panel

USE = f"docker context use {dockercontext.NAME}"


class DockerCard(Card):
    """Offers docker's context “cove”, which `cove context install` makes too. Signals: made()."""

    made = Signal()

    def __init__(self, theme: Theme, icons: Icons, context: Context, paths: HostPaths, workers: Workers) -> None:
        super().__init__(theme)
        self._context, self._paths, self._workers = context, paths, workers
        self.is_made = False
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 16)
        column.setSpacing(8)
        head = CardTitle(theme, icons, "terminal-window", tr("docker, Compose and editors"))
        self.make = Button(theme, icons, tr("Make docker's context “cove”"), "plus")
        self.make.clicked.connect(self._make)
        head.add(self.make)
        column.addWidget(head)
        self.about = Label(theme, "", "body", "text2")
        self.about.setWordWrap(True)
        column.addWidget(self.about)
        self.well = CodeWell(theme, icons, USE)
        column.addWidget(self.well)
        self.problem = Label(theme, "", "small", "bad")
        self.problem.setWordWrap(True)
        column.addWidget(self.problem)
        self._show(None)

    def look(self) -> None:
        """See whether there is one already."""
        config = dockercontext.config_folder(os.environ, Path.home())

        def failed(_error: Exception) -> None:
            self._show(None)  # what hinders is said when it is asked for

        def work() -> str | None:
            try:
                return dockercontext.installed(config)
            except DockerContextError as error:
                raise OSError(str(error)) from error

        self._workers.run(work, self._show, failed)

    def _make(self) -> None:
        def work() -> str:
            try:
                return dockercontext.install_for(self._context, self._paths, os.environ, Path.home())[0]
            except (DockerContextError, ContextError) as error:
                raise OSError(str(error)) from error

        self._workers.run(work, self._show, self._refuse)

    def _show(self, host: str | None) -> None:
        """`host`: the address in the context that there is."""
        self.is_made = host == str(self._context.endpoint)
        if self.is_made:
            self.about.setText(tr("The context “cove” is there. This makes it the one that they use:"))
        elif host:
            self.about.setText(tr("The context “cove” is for another engine now: {host}", host=host))
        else:
            self.about.setText(
                tr("A context tells them where Cove is. Other contexts stay as they are, and “docker context use "
                   "default” switches back.")
            )  # fmt: skip
        self.well.setVisible(self.is_made)
        self.make.setVisible(not self.is_made)
        self._refuse(None)
        self.made.emit()

    def _refuse(self, error: Exception | None) -> None:
        self.problem.setText("" if error is None else sentence(str(error)))
        self.problem.setVisible(error is not None)


class ToolsPanel(Panel):
    """Signals: made(): docker's context may be there now; grown(): there are more controls; page_asked(key);
    continued()."""

    made = Signal()
    grown = Signal()
    page_asked = Signal(str)
    continued = Signal()

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        feed: SettingsFeed,
        context: Context,
        paths: HostPaths,
        workers: Workers,
        pages: Sequence[tuple[str, str]],
        parent: QWidget | None = None,
    ) -> None:
        """`pages`: keys and titles of those that the user may go to from here."""
        super().__init__(theme, icons, parent)
        self._feed = feed
        self._names = ["start_at_login", *(["vm.memory_mb"] if context.kind == VM else [])]
        self.rows: dict[str, Row] = {}
        self.title.setText(tr("Connect your tools"))
        self.lead.setText(tr("Nothing here is needed, and all of it can be changed later in the settings."))
        self.docker = DockerCard(theme, icons, context, paths, workers)
        self.docker.made.connect(self.made)
        self.content.addWidget(self.docker)
        self.skip.hide()
        self.next.hide()
        links = QHBoxLayout()
        links.setSpacing(16)
        links.addWidget(Label(theme, tr("In the window:"), "body", "text2"))
        for key, title in pages:
            link = Link(theme, title, underlined=True)
            link.clicked.connect(lambda _=False, k=key: self.page_asked.emit(k))
            links.addWidget(link, 0, Qt.AlignmentFlag.AlignVCenter)
        links.addStretch(1)
        self.content.addLayout(links)
        self.go_on = self.add_button(tr("Open the window"), "app-window", "primary")
        self.go_on.clicked.connect(self.continued)
        feed.changed.connect(self._on_reading)
        if feed.reading is not None:
            self._on_reading(feed.reading)

    def come(self) -> None:
        self.docker.look()
        self._feed.read()

    def _on_reading(self, reading: Reading) -> None:
        for number, name in enumerate(self._names, start=1):
            if name not in self.rows:
                row = self.rows[name] = row_for(self.theme, self.icons, name, reading.machine)
                row.chosen.connect(lambda text, n=name: self._feed.set(n, text, lambda why: self.rows[n].refuse(why)))
                row.default_chosen.connect(lambda n=name: self._feed.unset(n, lambda why: self.rows[n].refuse(why)))
                self.content.insertWidget(number, row)
                self.grown.emit()
            self.rows[name].tell(reading.entries[name])
