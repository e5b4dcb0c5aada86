"""Compose files brought up from the window: read and compared in a worker, asked, then done."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from desktop.client.engine import EngineClient
from desktop.ui.compose.failures import FailedBuild
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.tasks import Task
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import counted, sentence, shortened, tr

if TYPE_CHECKING:  # compose is loaded when a file is read: the window starts without it
    from desktop.compose.differences import Difference
    from desktop.compose.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A project's files; `texts` stand for what some of them have on the disk; `name` is empty for the files' own."""

    files: tuple[str, ...]
    name: str = ""
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What became of reading: the project's name, what an `up` would change, warnings; or a problem with its line."""

    name: str = ""
    differences: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: str = ""
    file: str = ""
    line: int = 0


def load(asked: Asked, texts: Mapping[str, str], warn: Callable[[str], None]) -> Project:
    """The project with all its services; `texts` as those of `asked`. Raises ComposeError."""
    from desktop.compose import project

    folder = os.path.dirname(asked.files[0])
    options = project.Options(
        folder=folder, environ=os.environ, files=asked.files, name=asked.name, texts=texts, warn=warn
    )
    return project.load(options).select(())


def check(client: EngineClient, asked: Asked) -> Checked:
    """Read and compare. Raises ApiError, ConnectionFailed."""
    from desktop.compose.differences import differences
    from desktop.compose.errors import ComposeError

    warned: dict[str, None] = {}
    try:
        project = load(asked, asked.texts, warned.setdefault)
        project.check_runnable()
        found = differences(client, project, _before(asked))
    except ComposeError as e:
        mark = e.mark
        return Checked(problem=str(e), file=mark.file if mark else "", line=mark.line if mark else 0)
    return Checked(name=project.name, differences=tuple(_said(one) for one in found), warnings=tuple(warned))


def _before(asked: Asked) -> Project | None:
    """The project as it is on the disk, None if it is no valid one."""
    from desktop.compose.errors import ComposeError

    try:
        return load(asked, {}, lambda _told_already: None) if asked.texts else None
    except ComposeError:
        return None


def _said(one: Difference) -> str:
    words = {
        "create": tr("{what} is made: {why}", what=one.what, why=one.why),
        "recreate": tr("{what} is made anew: {why}", what=one.what, why=one.why),
        "remove": tr("{what} is removed: {why}", what=one.what, why=one.why),
        "restart": tr("{what} is restarted: {why}", what=one.what, why=one.why),
        "start": tr("{what} is started: {why}", what=one.what, why=one.why),
    }
    return words[one.change]


class BringUp(Task):
    """Writes the texts to their files, then brings the project to what they say."""

    def __init__(self, desk: Desk, session: EngineSession, asked: Asked, name: str) -> None:
        super().__init__(session)
        self._desk, self._session, self._asked, self._name = desk, session, asked, name
        self._failed = ""  # the id of the build that has failed, if the engine tells of builds
        self._warned: dict[str, None] = {}

    @property
    def title(self) -> str:
        return tr("Bringing up {name}", name=self._name)

    def start(self) -> None:
        client = self._session.client
        self._session.workers.run_long(lambda: self._work(client), self.end, lambda e: self.end(str(e)))

    def _work(self, client: EngineClient) -> str:
        """Returns the problem; empty for success."""
        from desktop.compose.converge import Up, UpOptions
        from desktop.compose.errors import ComposeError
        from desktop.compose.images import EngineImages

        write(self._asked.texts)
        failed = FailedBuild(client)
        try:
            project = load(self._asked, {}, self._warned.setdefault)
            images = EngineImages(client, project, _nothing, lambda _line: None)
            options = UpOptions(remove_orphans=True)
            Up(client, project, options, images, _nothing, self._warned.setdefault).run()
        except ComposeError as e:
            place = failed.place()
            self._failed = failed.id
            return f"{e}{place}"
        return ""

    def report(self) -> Message:
        if self.problem:
            title = tr("Project {name} was not brought up", name=self._name)
            shown = (tr("Show the build"), lambda: self._desk.go(Place("builds", self._failed)))
            return Message(title, sentence(self.problem), State.PROBLEM, (shown,) if self._failed else ())
        return Message(tr("Project {name} is up", name=self._name), " ".join(map(sentence, self._warned)))


def _nothing(_what: str, _status: str) -> None:
    """Nobody watches the single steps."""


def write(texts: Mapping[str, str]) -> None:
    """With the line ends that the files have. Raises OSError."""
    for path, text in texts.items():
        with open(path, newline="", encoding="utf-8") as file:
            ends = "\r\n" if "\r\n" in file.read() else "\n"
        Path(path).write_text(text, encoding="utf-8", newline=ends)


class Applying(QObject):
    """Asks about compose files, and brings their projects up. Signals: brought_up(name of a project)."""

    brought_up = Signal(str)

    def __init__(self, desk: Desk, session: EngineSession) -> None:
        super().__init__(session)
        self._desk, self._session = desk, session
        self._latest = Latest(session.workers)

    def open(self, paths: Sequence[Path]) -> None:
        """Files that the user has chosen or dropped, later ones over earlier ones: one project."""
        if paths:
            self.ask(Asked(files=tuple(str(path) for path in paths), texts={}))

    def ask(self, asked: Asked, problem: Callable[[Checked], None] | None = None) -> None:
        """Read, show the differences, and do it if the user wants. `problem` gets what is wrong, not a message."""
        client, desk = self._session.client, self._desk

        def done(checked: Checked) -> None:
            if checked.problem and problem is not None:
                problem(checked)
            elif checked.problem:
                desk.toasts.tell(tr("This compose file is not brought up"), sentence(checked.problem), State.PROBLEM)
            elif checked.differences:
                self._question(asked, checked)
            else:
                self._bring_up(asked, checked.name)

        def failed(error: Exception) -> None:
            desk.toasts.tell(tr("The compose file was not compared"), sentence(str(error)), State.PROBLEM)

        self._latest.run(lambda: check(client, asked), done, failed)

    def _question(self, asked: Asked, checked: Checked) -> None:
        desk, count = self._desk, len(checked.differences)
        facts = [
            counted(
                count,
                "This one change is made; the rest stays as it is.",
                "These {n} changes are made; the rest stays as it is.",
            )
        ]
        facts += map(sentence, checked.warnings)
        if asked.texts:
            facts.append(tr("The file is saved first."))
        Question(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Bring up project {name}?", name=checked.name),
            facts=facts,
            verb=tr("Bring up {name}", name=shortened(checked.name)),
            safe=tr("Cancel"),
            kind="primary",
            names=checked.differences,
            between="\n",
            sure=lambda _checked: self._bring_up(asked, checked.name),
        ).open()

    def _bring_up(self, asked: Asked, name: str) -> None:
        task = BringUp(self._desk, self._session, asked, name)
        self._desk.tasks.add(task)
        task.ended.connect(lambda: None if task.problem else self._on_up(name))
        task.start()

    def _on_up(self, name: str) -> None:
        self.brought_up.emit(name)
        self._desk.go(Place("compose", name))
