"""The Builds page: the history at the left, one build at the right with its steps, output, and where it failed."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from desktop.client import builds
from desktop.client.builds import Build, Failure, Report
from desktop.ui.builds.actions import BuildActions
from desktop.ui.builds.failure import FailureView
from desktop.ui.builds.feed import BuildReports, BuildsFeed
from desktop.ui.builds.log import BuildLog
from desktop.ui.builds.model import about, columns, segments, title
from desktop.ui.builds.steps import StepsView
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import FactsView
from desktop.ui.kit.detail import DetailCard
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.menus import Act
from desktop.ui.kit.page import Desk
from desktop.ui.kit.table_page import TablePage
from desktop.ui.kit.words import ago, counted, tr

NOW_MS = 1_000  # between two looks at the clock while a build runs
STEPS, LOG, FAILURE, OVERVIEW = range(4)


class BuildDetail(DetailCard):
    """One build. It reads the build's reports while it is visible."""

    def __init__(
        self, desk: Desk, session: EngineSession, actions: BuildActions, parent: QWidget | None = None
    ) -> None:
        self.steps = StepsView(desk.theme, desk.icons)
        self.log = BuildLog(desk.theme, self.steps.name_of)
        self.failure = FailureView(desk.theme)
        self.facts = FactsView(desk.theme, desk.icons, "info", tr("What was built"))
        views = (
            (tr("Steps"), self.steps),
            (tr("Log"), self.log),
            (tr("Where it failed"), self.failure),
            (tr("Overview"), self.facts),
        )
        super().__init__(desk, views, tr("Views of the build"), parent)
        self._session = session
        self._reports = BuildReports(session, self.log.again, self._on_report, self._on_end)
        self._latest = Latest(session.workers)
        self._build: Build | None = None
        self._read = ""  # the build whose reports are read
        self.cancel = Button(desk.theme, desk.icons, tr("Cancel"), "x")
        self.cancel.clicked.connect(lambda: self._build and actions.cancel(self._build))
        self.add_button(self.cancel)
        self.delete = Button(desk.theme, desk.icons, tr("Delete…"), "trash", kind="danger")
        self.delete.clicked.connect(lambda: self._build and actions.ask_delete([self._build]))
        self.add_button(self.delete)
        self.steps.opened.connect(self._on_step)

    def show_build(self, build: Build) -> None:
        before, self._build = self._build, build
        self.tell(title(build), code=build.id[:12], copied=build.id, about=about(build))
        self.cancel.setVisible(build.state == "running")
        self.delete.setVisible(build.state != "running")
        facts = [(tr("Names"), "\n".join(build.names) or tr("none"), True), (tr("Dockerfile"), build.dockerfile, True)]
        facts += [
            (name, value, True)
            for name, value in (
                (tr("Image"), build.image_id), (tr("Target"), build.target), (tr("Platform"), build.platform)
            )
            if value
        ]  # fmt: skip
        facts.append((tr("Begun"), ago(build.started_s), False))
        if build.warnings:
            facts.append((tr("Warnings"), str(build.warnings), False))
        self.facts.tell(facts)
        if before is None or before.id != build.id or before.state != build.state:
            self._show_failure(build)
        if self._read != build.id:
            self._read = build.id
            self.steps.clear()
            self.log.clear()
            self._reports.show(build.id)

    def leave(self) -> None:
        """Read no longer."""
        self._reports.close()
        self.steps.stop()
        self._read = ""

    def _show_failure(self, build: Build) -> None:
        failed = build.state == "failed"
        self.tabs.setTabVisible(FAILURE, failed)
        self.failure.tell(build.error, None)
        if failed:
            self.tabs.setCurrentIndex(FAILURE)
            client = self._session.client

            def told(failure: Failure | None) -> None:
                self.failure.tell(build.error, failure)

            self._latest.run(lambda: builds.failure(client, build.id), told, lambda _error: None)
        elif self.tabs.currentIndex() == FAILURE:
            self.tabs.setCurrentIndex(STEPS)

    def _on_report(self, report: Report) -> None:
        self.steps.add(report.steps)
        self.log.add(report.output)

    def _on_end(self) -> None:
        self.steps.stop()
        self.log.finish()

    def _on_step(self, step: str) -> None:
        self.log.choose(step)
        self.tabs.setCurrentIndex(LOG)
        self.log.view.setFocus()


class BuildsPage(TablePage[Build]):
    """All builds that the engine remembers, and those that run."""

    def __init__(self, desk: Desk, session: EngineSession, parent: QWidget | None = None) -> None:
        self._feed = BuildsFeed(session)
        self._actions = BuildActions(desk, session)
        self.card = BuildDetail(desk, session, self._actions)
        empty = EmptyPage(
            desk.theme,
            desk.icons,
            tr("No builds yet"),
            tr("What docker, Compose and Cove build from Dockerfiles is listed here, step by step."),
            (),
            "cove build -t hello .",
        )
        super().__init__(
            desk,
            title=tr("Builds"),
            columns=columns(),
            segments=segments(),
            which=tr("Which builds"),
            hint=tr("Filter by name"),
            key=lambda build: build.id,
            haystack=lambda build: "\n".join((*build.names, build.id, build.target)),
            empty=empty,
            detail=self.card,
            bulk=(Act("delete", "trash", tr("Delete…"), "Del"),),
            parent=parent,
        )
        self.view.sortByColumn(2, self.view.header().sortIndicatorOrder().DescendingOrder)
        self.clean_up = Button(desk.theme, desk.icons, tr("Clean up the cache…"), "recycle")
        self.clean_up.clicked.connect(self._actions.ask_clean_up)
        self.add_button(self.clean_up)
        self.follow(self._feed.changed)
        self._clock = QTimer(self)
        self._clock.setInterval(NOW_MS)
        self._clock.timeout.connect(self._on_clock)

    def show_place(self, thing: str, tab: str) -> None:
        super().show_place(thing, tab)
        self._feed.open()
        self._clock.start()
        self.refresh()

    def leave(self) -> None:
        self._feed.close()
        self.card.leave()
        self._clock.stop()

    def load(self) -> None:
        self.rows.load(self._feed.builds.values())

    def _on_clock(self) -> None:
        """Times go on while a build runs."""
        if any(build.state == "running" for build in self._feed.builds.values()):
            self.view.viewport().update()
            if (build := self.view.current()) is not None:
                self.card.show_build(build)

    # TablePage -------------------------------------------------------------------------------------------------------

    def summarize(self) -> str:
        items = self.rows.items()
        running = sum(build.state == "running" for build in items)
        failed = sum(build.state == "failed" for build in items)
        if not items:
            return ""
        parts = [counted(len(items), "{n} build", "{n} builds")]
        if running:
            parts.append(counted(running, "{n} running", "{n} running"))
        if failed:
            parts.append(counted(failed, "{n} failed", "{n} failed"))
        return ", ".join(parts)

    def no_match_title(self, text: str) -> str:
        return tr("No build matches “{text}”", text=text) if text else tr("No build here")

    def acts(self, items: Sequence[Build]) -> Sequence[Act | None]:
        copy = Act("copy", "copy-simple", tr("Copy the name") if len(items) == 1 else tr("Copy the names"), "Ctrl+C")
        if len(items) == 1 and items[0].state == "running":
            return (copy, None, Act("cancel", "x", tr("Cancel")))
        delete = tr("Delete…") if len(items) == 1 else tr("Delete {n}…", n=len(items))
        return (copy, None, Act("delete", "trash", delete, "Del"))

    def do(self, key: str, items: Sequence[Build]) -> None:
        if key == "copy":
            QGuiApplication.clipboard().setText("\n".join(title(build) for build in items))
        elif key == "cancel":
            self._actions.cancel(items[0])
        elif key == "delete":
            self._actions.ask_delete(items)

    def show_detail(self, item: Build) -> None:
        if self.isVisible():
            self.card.show_build(item)
