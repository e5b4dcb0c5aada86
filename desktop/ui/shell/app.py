"""Creates the parts of the window for one engine and connects their signals."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from PySide6.QtCore import QObject, QPoint, QSettings, QTimer
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from desktop.context import NATIVE, VM, Context
from desktop.paths import HostPaths
from desktop.settings.store import Store
from desktop.ui.activity.model import ActivityModel
from desktop.ui.bin.undo import Undo
from desktop.ui.containers.actions import ContainerActions
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.collection import Collection
from desktop.ui.feed.container import Container
from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.feed.image import Image
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.settings import SettingsFeed
from desktop.ui.feed.workers import Workers
from desktop.ui.images.model import ImageModel
from desktop.ui.images.pulls import Pulls
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.menus import inside
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.tasks import Tasks
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import ago, short_id, tr
from desktop.ui.networks import model as networks
from desktop.ui.run.edits import Edits
from desktop.ui.run.options import RunWish
from desktop.ui.run.runs import Runs
from desktop.ui.shell.application import Application
from desktop.ui.shell.crash import Crashes
from desktop.ui.shell.engine_control import EngineControl
from desktop.ui.shell.look import Look
from desktop.ui.shell.notices import Notices
from desktop.ui.shell.pages import HOME, PAGES, WELCOME, in_sidebar, spec_of
from desktop.ui.shell.palette import Palette
from desktop.ui.shell.palette_search import Offer
from desktop.ui.shell.parts import Parts
from desktop.ui.shell.tray import Tray
from desktop.ui.shell.window import Window
from desktop.ui.volumes import model as volumes
from desktop.ui.welcome.first import is_first_start, note_seen

PAST_H = 24.0  # what the Activity page shows from before the window opened


class Cove(QObject):
    """The application: one engine, window and tray icon. `open` connects to the engine, `close` ends all threads."""

    def __init__(self, app: Application, theme: Theme, context: Context, paths: HostPaths, settings: QSettings) -> None:
        super().__init__()
        self.app, self.theme, self._settings = app, theme, settings
        self.icons = icons = Icons(theme)
        self.workers = Workers(self)
        kind = {VM: "vm", NATIVE: "native"}.get(context.kind, "other")
        self.session = session = EngineSession(context.endpoint, kind, self.workers, self)
        self.window = window = Window(theme, icons, settings)
        self.settings = SettingsFeed(Store(paths, os.environ), self.workers, self)
        self.look = Look(theme, self.settings, window.toasts, self)
        self.tasks = Tasks(window.toasts, self)
        desk = Desk(theme, icons, window, window.toasts, self.tasks, window.go)
        self.model, self.image_model = ContainerModel(self), ImageModel(self)
        self.crashes = Crashes(desk, self)
        self.control = EngineControl(context, paths, session, self.model, desk, self)
        self.undo = Undo(desk, session)
        edits = Edits(
            desk, session, lambda thing: self._is_seen(replace(window.place, page="container", thing=thing)), self
        )
        self.actions = ContainerActions(desk, self.model, session, edits.ask, self.undo)
        self.runs = Runs(desk, session, self.model, self._image_names, settings, self._is_seen, self)
        self._sight = QTimer(self)
        self._sight.setSingleShot(True)
        self._sight.setInterval(50)
        self._sight.timeout.connect(self._measure)
        self.parts = Parts(
            context=context,
            paths=paths,
            desk=desk,
            session=session,
            control=self.control,
            undo=self.undo,
            containers=self.model,
            container_actions=self.actions,
            images=self.image_model,
            volumes=session.add(volumes.collection()),
            networks=session.add(networks.collection()),
            activity=ActivityModel(self._name_of, self._probe_of, self),
            runs=self.runs,
            settings=self.settings,
            pulls=Pulls(desk, session, self),
            sight_changed=self._sight.start,
            note_place=window.replace_place,
            set_count=lambda key, count: window.sidebar.model.set_count(key, count or None),
        )
        window.make_page = lambda key: spec_of(key).make(self.parts)
        self.notices = Notices(session, window.toasts, lambda: window.isVisible() and window.isActiveWindow(), self)
        self.notices.told.connect(self._notify)
        self.palette = self._make_palette(window)
        self.quick: Palette | None = None
        self.tray: Tray | None = None
        self._is_closed = self._has_past = self._has_loaded = False
        self._connect()
        window.go(WELCOME if is_first_start(settings, paths) else HOME)

    def _make_palette(self, parent: Window | None) -> Palette:
        palette = Palette(self.theme, self.icons, self._offer, parent)
        palette.run_chosen.connect(self._on_quick_run)
        palette.options_asked.connect(self.ask_run)
        return palette

    def _connect(self) -> None:
        session, model, window = self.session, self.model, self.window
        session.loaded.connect(self._on_loaded)
        session.changed.connect(model.put)
        session.dropped.connect(self._on_dropped)
        session.images.connect(self._on_images)
        for collection in (self.parts.volumes, self.parts.networks):
            collection.changed.connect(partial(self._count_of, collection))
        session.happened.connect(self.parts.activity.add)
        session.measured.connect(model.set_usage)
        session.facts.connect(self._on_contact)
        self.control.facts_changed.connect(self._show_facts)
        for signal in (model.rowsInserted, model.rowsRemoved):
            signal.connect(self._count)
        window.run_asked.connect(lambda: self.ask_run(RunWish(image="")))
        window.palette_asked.connect(lambda: self.palette.open_over(window))
        window.undo_asked.connect(self.undo.last)
        window.bell_asked.connect(self._on_bell)
        window.placed.connect(lambda _place: self._sight.start())
        window.seen.connect(self._on_seen)
        window.closing.connect(self.app.quit)
        self.app.quitting.connect(self._on_quitting)
        window.hidden_to_tray.connect(self._on_hidden)
        switch = window.sidebar.switch
        switch.opening.connect(lambda: self.control.build_menu(switch.menu))
        window.status.task.clicked.connect(self._on_task)
        self.tasks.changed.connect(self._show_task)

    # life ------------------------------------------------------------------------------------------------------------

    def open(self, *, quick_run: bool = False, background: bool = False) -> None:
        """Connect to the engine and show the window, or only the palette; `background`: nothing but the icon in the
        tray, where there is a tray."""
        self._show_facts(self.control.facts)
        self.settings.read()
        self.control.open()
        if Tray.is_available():
            self.tray = Tray(self.theme, self.icons, self.model, self.runs.recent, self)
            self.tray.asked.connect(self._on_tray)
            self.tray.run_asked.connect(self.runs.start)
            self.tray.container_asked.connect(self._on_tray_container)
            self.tray.show_facts(self.control.facts)
            self.tray.show()
            self.window.keeps_alive = True
        if quick_run:
            self.quick_run()
        elif not background or self.tray is None:
            self.show_window()

    def _on_quitting(self) -> None:
        self.window.keeps_alive = False

    def close(self) -> None:
        """End every thread and stream. Qt deletes the window later."""
        self._is_closed = True
        self.crashes.close()
        for page in self.window.pages():
            page.leave()
        self.tasks.close()
        self.control.close()
        self.settings.close()
        self.workers.close()
        self.session.client.close()  # last: the workers have returned their connections to it by now
        if self.tray is not None:
            self.tray.icon.hide()

    def show_window(self) -> None:
        if not self.window.isVisible():
            self.window.show()
        elif not self.window.isActiveWindow():
            self.window.raise_()
            self.window.activateWindow()

    def quick_run(self) -> None:
        """Show the palette as a window of its own."""
        if self.quick is None:
            self.quick = self._make_palette(None)
        self.quick.open_alone()

    # the engine ------------------------------------------------------------------------------------------------------

    def _on_loaded(self, containers: list[Container]) -> None:
        if containers and self.window.place == WELCOME and not self._has_loaded and not self.runs.all():
            self.window.go(HOME)  # this engine is known here, from the command line
        self._has_loaded = True
        self.model.load(containers)
        self._count()

    def _on_dropped(self, ids: list[str]) -> None:
        known = {i: c for i in ids if (c := self.model.container(i)) is not None}
        self.model.drop(ids)
        for container_id in ids:
            was_shown = self.window.forget(container_id)
            container = known.get(container_id)
            if was_shown and container is not None and container.doing is None:  # not by this window
                self.window.toasts.tell(tr("{name} was deleted", name=container.name), state=State.STOPPED)

    def _on_images(self, images: list[Image]) -> None:
        self.image_model.load_images(images)
        self.window.sidebar.model.set_count("images", len(images) or None)
        self.window.status.set_disk(self.image_model.total_bytes)

    def _count_of(self, collection: Collection[Any]) -> None:
        self.window.sidebar.model.set_count(collection.key, len(collection.items or ()) or None)

    def _count(self) -> None:
        containers = self.model.containers()
        self.window.sidebar.model.set_count("containers", len(containers) or None)
        self.window.sidebar.model.set_count("compose", len({c.project for c in containers if c.project}) or None)
        if self.tray is not None:
            self.tray.refresh()

    def _on_contact(self, facts: EngineFacts) -> None:
        if facts.phase is EnginePhase.RUNNING and not self._has_past:
            self._has_past = True  # asked for once; a failure leaves the list with what happens from now on
            self.workers.run(
                lambda: self.session.past(PAST_H),
                lambda past: self.parts.activity.add_past(past.happenings, past.probes),
                lambda _error: None,
            )
        self.model.set_lost(None if facts.phase is EnginePhase.RUNNING else facts.since_s)

    def _show_facts(self, facts: EngineFacts) -> None:
        self.window.sidebar.switch.show_facts(facts)
        self.window.status.show_facts(facts)
        self.window.top.run.setEnabled(facts.phase.is_usable)
        if self.tray is not None:
            self.tray.show_facts(facts)

    def _on_seen(self, seen: bool) -> None:
        self._sight.start()
        if seen:
            note_seen(self._settings)  # the welcome, or that there was no need of it
        self._watch(seen)

    def _watch(self, seen: bool) -> None:
        """Ask the engine for signs of life while the window is visible. A VM without running containers is left alone:
        it may go to sleep, and a question would wake it."""
        may_sleep = self.session.kind == "vm" and not any(c.is_running for c in self.model.containers())
        self.session.watch(seen and not may_sleep)

    def _measure(self) -> None:
        """Measure the usage and the traffic that are visible now."""
        if self._is_closed:
            return
        seen, page = self.window.isVisible(), self.window.page(self.window.place.page)
        self._watch(seen)
        self.session.measure_traffic(seen and page.shows_traffic)
        self.session.measure(page.visible_ids() if seen else ())

    # running ---------------------------------------------------------------------------------------------------------

    def ask_run(self, wish: RunWish) -> None:
        """Open the run dialog, filled in with `wish`."""
        self.show_window()
        self.runs.ask(wish)

    def _image_names(self) -> list[str]:
        return [row.tag for row in self.image_model.items() if row.tag]

    def _is_seen(self, place: Place) -> bool:
        return self.window.place == place and self.window.isVisible()

    def _on_quick_run(self, wish: RunWish, follow: bool) -> None:
        run = self.runs.start(wish)
        self.show_window()
        if follow and run is not None:

            def show_log() -> None:
                if run.container_id and run.error is None:
                    self.window.go(Place("container", run.container_id, "logs"))

            run.ended.connect(show_log)

    def _on_task(self) -> None:
        if (task := self.tasks.current) is not None:
            task.show()

    def _show_task(self) -> None:
        """Show the newest running task in the status bar."""
        line, task = self.window.status.task, self.tasks.current
        if task is None:
            line.tell("", None)
        else:
            line.tell(task.title, task.fraction)

    def _probe_of(self, container_id: str) -> str | None:
        container = self.model.container(container_id)
        return container.probe if container is not None and container.started_s is not None else None

    def _name_of(self, container_id: str) -> str:
        container = self.model.container(container_id)
        return container.name if container else short_id(container_id)

    # palette ---------------------------------------------------------------------------------------------------------

    def _offer(self) -> Offer:
        window = self.window

        def go(place: Place) -> None:
            self.show_window()
            window.go_by_key(place)

        def act(verb: str, container: Container) -> None:
            self.actions.ask(verb, [container])

        actions = [
            (tr("Run an image…"), "", "play", lambda: self.ask_run(RunWish(image=""))),
            (tr("Use the light theme"), "", "sun", lambda: self.theme.set_scheme("light")),
            (tr("Use the dark theme"), "", "moon", lambda: self.theme.set_scheme("dark")),
            (tr("Use the desktop's theme"), "", "laptop", lambda: self.theme.set_scheme(None)),
            (tr("Quit Cove"), "", "sign-out", self.app.quit),
        ]
        if self.control.host is not None:
            actions.insert(1, (tr("Stop the VM…"), "", "power", lambda: self.control.ask("stop")))
            actions.insert(1, (tr("Start the VM"), "", "play", lambda: self.control.ask("start")))
        for number, (title, icon, call) in enumerate(self._page_commands(), start=1):
            actions.insert(number, (title, "", icon, call))
        return Offer(
            recent=self.runs.recent(),
            images=self._image_names(),
            containers=self.model.containers(),
            pages=[(tr(spec.title), spec.icon, partial(go, Place(spec.key))) for spec in in_sidebar()],
            actions=actions,
            open_container=lambda container_id: go(Place("container", container_id)),
            act=act,
        )

    def _page_commands(self) -> list[tuple[str, str, Callable[[], None]]]:
        """The commands of all pages; the window is shown first."""

        def then(call: Callable[[], object]) -> None:
            self.show_window()
            call()

        return [(c.title, c.icon, partial(then, c.call)) for spec in PAGES for c in spec.commands(self.parts)]

    def _on_bell(self) -> None:
        menu = QMenu(self.window)
        messages = self.window.toasts.messages
        if not messages:
            menu.addAction(tr("No messages")).setEnabled(False)
        for message in reversed(messages[-12:]):
            icon = (
                self.icons.icon("warning", "bad")
                if message.state is State.PROBLEM
                else self.icons.icon("check-circle", "run")
            )
            text = f"{message.title}   {ago(message.at_s)}"
            action = menu.addAction(icon, text.replace("&", "&&"))
            action.setToolTip(message.fact)
            if message.actions:
                action.triggered.connect(lambda _=False, call=message.actions[0][1]: call())
        menu.setToolTipsVisible(True)
        bell = self.window.top.bell
        menu.popup(inside(bell, menu, bell.mapToGlobal(QPoint(0, bell.height() + 4))))

    # tray ------------------------------------------------------------------------------------------------------------

    def on_wish(self, wish: str) -> None:
        """Do what a second start of `cove-desktop` requests: one of `WISHES`."""
        self._on_tray(wish)

    def _on_hidden(self) -> None:
        """Show once that Cove still runs in the tray after its window was closed."""
        if self.tray is not None and not self._settings.value("tray/told", False, bool):
            self._settings.setValue("tray/told", True)
            self.tray.icon.showMessage(
                tr("Cove is still running"), tr("Containers keep running. To quit Cove, use its menu in the tray.")
            )

    def _notify(self, message: Message) -> None:
        """Hand a message to the desktop, where there is a tray."""
        if self.tray is not None:
            kinds = QSystemTrayIcon.MessageIcon
            kind = kinds.Warning if message.state is State.PROBLEM else kinds.Information
            self.tray.icon.showMessage(message.title, message.fact, kind)

    def _on_tray(self, key: str) -> None:
        match key:
            case "quick-run":
                self.quick_run()
            case "open":
                self.show_window()
            case "quit":
                self.app.quit()
            case "vm-start":
                self.control.ask_vm("start")
            case "vm-stop":
                self.show_window()
                self.control.ask("stop")

    def _on_tray_container(self, key: str, container: Container) -> None:
        if key in ("logs", "terminal"):
            self.show_window()
            self.window.go(Place("container", container.id, key))
        else:
            self.actions.ask(key, [container])
