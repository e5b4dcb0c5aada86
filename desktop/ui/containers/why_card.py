"""Why a container ended, or is a problem: in a sentence, with the actions that help."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from desktop.ui.feed.container import Container
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import Card
from desktop.ui.kit.glyphs import StateGlyph
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import counted, duration, memory, plain_error, sentence, tr


class WhyCard(Card):
    """A card above the log that explains why a container failed, with what helps.

    Signals: asked(key): start, restart, stop, more-memory, limit, stats.
    """

    asked = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(theme, "bad", parent)
        self._icons = icons
        self._offered: list[tuple[str, str, str]] = []
        row = QHBoxLayout(self)
        row.setContentsMargins(24, 14, 16, 14)
        row.setSpacing(14)
        self.glyph = StateGlyph(theme, State.PROBLEM, 14)
        row.addWidget(self.glyph, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(4)
        self.title = Label(theme, "", "heading")
        self.sentence = Label(theme, "", "body", "text2")
        self.sentence.setWordWrap(True)
        column.addWidget(self.title)
        column.addWidget(self.sentence)
        self._buttons = QHBoxLayout()
        self._buttons.setContentsMargins(0, 8, 0, 0)
        self._buttons.setSpacing(8)
        column.addLayout(self._buttons)
        row.addLayout(column, 1)

    def tell(self, container: Container) -> None:
        """Say why `container` ended or is a problem, from its exit status (128 + n: killed by signal n), the OOM flag,
        who stopped it, and its health check."""
        self._offer(container)
        code, name = container.exit_code, container.title
        self.set_edge("stop" if container.ended_by else "bad")
        self.glyph.set_state(State.STOPPED if container.ended_by else State.PROBLEM)
        if container.is_running:
            self._tell_running(container)
            return
        ran = ""
        if container.started_s and container.finished_s:
            ran = tr("It ran for {time}.", time=duration(container.finished_s - container.started_s))
        if container.error:
            title, why = tr("{name} could not start", name=name), sentence(plain_error(container.error))
        elif container.ended_by:
            title = tr("{name} was stopped", name=name)
            why = tr(
                "It was killed (SIGKILL, exit status 137): at once on request, or because it ignored the signal to "
                "stop until its time was over."
            )
        elif container.oom_killed:
            title = tr("{name} ran out of memory", name=name)
            limit = memory(container.memory_limit) if container.memory_limit else tr("the machine's memory")
            why = tr(
                "It needed more than {limit}, so the kernel killed one of its processes (SIGKILL, exit status {code}).",
                limit=limit,
                code=code,
            )
        elif code == 126:
            title, why = (
                tr("{name}'s command cannot be executed", name=name),
                tr("Exit status 126: no permission, or not a program."),
            )
        elif code == 127:
            title, why = (
                tr("{name}'s command was not found", name=name),
                tr("Exit status 127: there is no such program in the image."),
            )
        elif code > 128:
            title = tr("{name} was ended by signal {n}", name=name, n=code - 128)
            why = tr("Exit status {code} is 128 + {n}.", code=code, n=code - 128)
        else:
            title = tr("{name} ended with status {code}", name=name, code=code)
            why = tr("The program itself returned this status; its last lines are below.")
        self.title.setText(title)
        self.sentence.setText(" ".join(part for part in (why, ran) if part))

    def _offer(self, container: Container) -> None:
        """The buttons that fit; they stay as they are while they are the same, so that none moves under the pointer."""
        offered: list[tuple[str, str, str]] = []
        if container.is_crash_loop:
            offered.append(("stop", "stop", tr("Stop")))
        elif container.is_running:
            offered.append(("restart", "arrow-clockwise", tr("Restart")))
        elif container.oom_killed and container.memory_limit:
            more = memory(2 * container.memory_limit)
            offered.append(("more-memory", "play", tr("Start with {limit}", limit=more)))
            offered.append(("limit", "pencil-simple", tr("Edit limit…")))
        else:
            offered.append(("start", "play", tr("Start")))
        if container.oom_killed:
            offered.append(("stats", "chart-line", tr("Show memory")))
        offered.append(("copy", "copy-simple", tr("Copy as text")))
        if offered == self._offered:
            return
        self._offered = offered
        while item := self._buttons.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        for number, (key, icon, text) in enumerate(offered):
            button = Button(self._theme, self._icons, text, icon, kind="soft" if not number else "plain", height=28)
            button.clicked.connect(lambda _=False, k=key: self._on_button(k))
            self._buttons.addWidget(button)
        self._buttons.addStretch(1)

    def _on_button(self, key: str) -> None:
        if key == "copy":
            QGuiApplication.clipboard().setText(f"{self.title.text()}\n{self.sentence.text()}")
        else:
            self.asked.emit(key)

    def _tell_running(self, container: Container) -> None:
        """An unhealthy container, or one that is restarted again and again."""
        if container.is_crash_loop:
            self.title.setText(tr("{name} ends again and again", name=container.title))
            why = tr("It was restarted {n} times. Its last lines are below.", n=container.restart_count)
            if container.has_last_status:
                why = tr(
                    "It was restarted {n} times; its last exit status was {code}. Its last lines are below.",
                    n=container.restart_count,
                    code=container.exit_code,
                )
        else:
            self.title.setText(tr("{name}'s health check fails", name=container.title))
            why = counted(container.health_failures, "It failed {n} time in a row.", "It failed {n} times in a row.")
            if container.health_output:
                why = tr("{times} It said: {output}", times=why, output=container.health_output)
        self.sentence.setText(why)
