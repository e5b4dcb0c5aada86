"""Creates the parts of the window for one engine and connects their signals."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from PySide6.QtCore import QObject, QPoint, QSettings, QTimer
from PySide6.QtWidgets import QMenu

from desktop.context import NATIVE, VM, Context
from desktop.paths import HostPaths
from desktop.ui.activity.model import ActivityModel
from desktop.ui.activity.page import ActivityPage
from desktop.ui.containers.actions import ContainerActions
from desktop.ui.containers.detail import DetailPage
from desktop.ui.containers.model import ContainerModel
from desktop.ui.containers.page import ContainersPage
from desktop.ui.feed.facts import Container, EngineFacts, EnginePhase, Image
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Workers
from desktop.ui.images.model import ImageModel, NamedImage
from desktop.ui.images.page import ImagesPage
from desktop.ui.images.pulls import Pulls
from desktop.ui.kit.dialogs import OneField, Question
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import ago, disk, short_id, tr
from desktop.ui.run.dialog import RunDialog
from desktop.ui.run.options import BadOption, RunWish
from desktop.ui.run.page import RunPage
from desktop.ui.run.recent import RecentRuns
from desktop.ui.run.run import Run, UsualTimes
from desktop.ui.shell.application import Application
from desktop.ui.shell.engine_control import EngineControl
from desktop.ui.shell.palette import Palette
from desktop.ui.shell.palette_search import Offer
from desktop.ui.shell.tray import Tray
from desktop.ui.shell.window import Place, Window


class Cove(QObject):
    """The application: one engine, window and tray icon. `open` connects to the engine, `close` ends all threads."""

    def __init__(self, app: Application, theme: Theme, context: Context, paths: HostPaths, settings: QSettings) -> None:
        super().__init__()
        self.app, self.theme, self.context, self.paths = app, theme, context, paths
        self.icons = icons = Icons(theme)
        self.workers = Workers(self)
        kind = {VM: "vm", NATIVE: "native"}.get(context.kind, "other")
        self.session = session = EngineSession(context.endpoint, kind, self.workers, self)
        self._settings = settings
        self.usual, self.recent = UsualTimes(settings), RecentRuns(settings)
        self.window = window = Window(theme, icons, settings)
        self.model, self.image_model = ContainerModel(self), ImageModel(self)
        self.activity = ActivityModel(self._name_of, self)
        self.control = EngineControl(context, paths, session, self.model, window, self)
        self.actions = ContainerActions(theme, icons, self.model, session, window.toasts, window)
        self.containers_page = ContainersPage(theme, icons, self.model, self.actions)
        self.detail_page = DetailPage(theme, icons, self.model, self.actions, session)
        self.images_page = ImagesPage(theme, icons, self.image_model, session)
        self.run_page = RunPage(theme, icons, session, self.model)
        self.activity_page = ActivityPage(theme, icons, self.activity)
        self.pulls = Pulls(theme, icons, session, window.toasts, window)
        for key, page in (
            ("containers", self.containers_page),
            ("container", self.detail_page),
            ("images", self.images_page),
            ("run", self.run_page),
            ("activity", self.activity_page),
        ):
            window.add_page(key, page)
        self.palette = self._make_palette(window)
        self.quick: Palette | None = None
        self.tray: Tray | None = None
        self._shown_run: Run | None = None
        self._is_closed = False
        self._sight = QTimer(self)
        self._sight.setSingleShot(True)
        self._sight.setInterval(50)
        self._sight.timeout.connect(self._measure)
        self._connect()
        window.go(Place("containers"))

    def _make_palette(self, parent: Window | None) -> Palette:
        palette = Palette(self.theme, self.icons, self._offer, parent)
        palette.run_chosen.connect(self._on_quick_run)
        palette.options_asked.connect(lambda wish: self.ask_run(wish))
        return palette

    def _connect(self) -> None:
        session, model, window = self.session, self.model, self.window
        session.loaded.connect(self._on_loaded)
        session.changed.connect(model.put)
        session.dropped.connect(self._on_dropped)
        session.images.connect(self._on_images)
        session.happened.connect(self.activity.add)
        session.measured.connect(model.set_usage)
        session.facts.connect(self._on_contact)
        self.control.facts_changed.connect(self._show_facts)
        for signal in (model.rowsInserted, model.rowsRemoved):
            signal.connect(self._count)
        page = self.containers_page
        page.sight_changed.connect(self._sight.start)
        page.opened.connect(lambda i, tab: window.go(Place("container", i, tab)))
        page.run_asked.connect(self._on_page_run)
        page.retry_asked.connect(self.control.retry)
        self.detail_page.tab_changed.connect(
            lambda tab: window.replace_place(Place("container", self.detail_page.container_id, tab))
        )
        images = self.images_page
        images.run_asked.connect(lambda name: self.ask_run(self.recent.of(name) or RunWish(image=name)))
        images.pull_asked.connect(self.ask_pull)
        images.delete_asked.connect(self._ask_delete_image)
        images.container_asked.connect(self._go_to_container)
        self.activity_page.container_asked.connect(self._go_to_container)
        run = self.run_page
        run.options_asked.connect(self.ask_run)
        run.again_asked.connect(self.run)
        run.container_asked.connect(lambda i: window.go(Place("container", i, "logs")))
        run.delete_asked.connect(self._on_delete_leftover)
        run.left.connect(lambda: window.go(Place("containers")))
        window.run_asked.connect(lambda: self.ask_run(RunWish(image="")))
        window.palette_asked.connect(lambda: self.palette.open_over(window))
        window.bell_asked.connect(self._on_bell)
        window.placed.connect(self._on_placed)
        window.seen.connect(lambda _seen: self._sight.start())
        window.closing.connect(self.app.quit)
        self.app.quitting.connect(self._on_quitting)
        window.hidden_to_tray.connect(self._on_hidden)
        window.sidebar.switch.opening.connect(self.control.build_menu)
        window.status.task.clicked.connect(self._on_task)
        self.pulls.changed.connect(self._show_task)

    # life ------------------------------------------------------------------------------------------------------------

    def open(self, *, quick_run: bool = False) -> None:
        """Connect to the engine and show the window, or only the palette."""
        self._show_facts(self.control.facts)
        self.control.open()
        if Tray.is_available():
            self.tray = Tray(self.theme, self.icons, self.model, self._recent, self)
            self.tray.asked.connect(self._on_tray)
            self.tray.run_asked.connect(self.run)
            self.tray.container_asked.connect(self._on_tray_container)
            self.tray.show_facts(self.control.facts)
            self.tray.show()
            self.window.keeps_alive = True
        if quick_run:
            self.quick_run()
        else:
            self.show_window()

    def _on_quitting(self) -> None:
        self.window.keeps_alive = False

    def close(self) -> None:
        """End every thread and stream. Qt deletes the window later."""
        self._is_closed = True
        self.detail_page.leave()
        self.run_page.leave()
        self.control.close()
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
        self.model.load(containers)
        self._count()

    def _on_dropped(self, ids: list[str]) -> None:
        self.model.drop(ids)
        for container_id in ids:
            self.window.forget(container_id)

    def _on_images(self, images: list[Image]) -> None:
        self.image_model.load(images)
        self.window.sidebar.model.set_count("images", len(images) or None)
        self.window.status.set_disk(self.image_model.total_bytes)

    def _count(self) -> None:
        self.window.sidebar.model.set_count("containers", len(self.model.containers()) or None)
        if self.tray is not None:
            self.tray.refresh()

    def _on_contact(self, facts: EngineFacts) -> None:
        self.model.set_lost(None if facts.phase is EnginePhase.RUNNING else facts.since_s)

    def _show_facts(self, facts: EngineFacts) -> None:
        self.window.sidebar.switch.show_facts(facts)
        self.window.status.show_facts(facts)
        self.containers_page.show_facts(facts)
        up = facts.phase.is_usable
        self.window.top.run.setEnabled(up)
        self.images_page.pull.setEnabled(up)
        if self.tray is not None:
            self.tray.show_facts(facts)

    def _measure(self) -> None:
        if self._is_closed:
            return
        on_page = self.window.isVisible() and self.window.place.page == "containers"
        self.session.measure(self.containers_page.visible_ids() if on_page else ())

    # running ---------------------------------------------------------------------------------------------------------

    def ask_run(self, wish: RunWish, focus: str = "") -> None:
        """Open the run dialog, filled in with `wish`."""
        self.show_window()
        known = wish.image and self.recent.of(wish.image)
        note = (
            tr("filled in from your last run")
            if known and wish.ports == known.ports and known != RunWish(image=wish.image)
            else ""
        )
        names = [row.tag for row in self.image_model.rows() if row.tag]
        RunDialog(
            self.theme, self.icons, self.window, wish=wish, images=names, run=self.run, focus=focus, note=note
        ).open()

    def _on_page_run(self, image: str) -> None:
        if image:
            self.run(RunWish(image=image))
        else:
            self.ask_run(RunWish(image=""))

    def _on_quick_run(self, wish: RunWish, follow: bool) -> None:
        self.run(wish)
        self.show_window()
        if follow and self._shown_run is not None:
            run = self._shown_run

            def show_log() -> None:
                if run.container_id and run.error is None:
                    self.window.go(Place("container", run.container_id, "logs"))

            run.ended.connect(show_log)

    def run(self, wish: RunWish) -> None:
        """Run an image and show its five steps."""
        run = Run(self.session, wish, self.usual, self)
        try:
            run.start()
        except BadOption:
            self.ask_run(wish)
            return
        self.run_page.add(run)
        self._shown_run = run
        run.changed.connect(self._show_task)
        run.ended.connect(lambda: self._on_run_ended(run))
        self.window.go(Place("run", run.key))

    def _on_run_ended(self, run: Run) -> None:
        self._show_task()
        if run.error is None and not run.is_cancelled:
            self.recent.add(run.wish)
        if self.window.place == Place("run", run.key) and self.window.isVisible():
            return
        if run.error is not None:
            show = (tr("Show"), lambda: self.window.go(Place("run", run.key)))
            self.window.toasts.tell(
                tr("{image} did not run", image=run.wish.image), str(run.error), State.PROBLEM, [show]
            )
        elif not run.is_cancelled:
            opened = (tr("Open"), lambda: self.window.go(Place("container", run.container_id, "logs")))
            self.window.toasts.tell(tr("{image} runs", image=run.wish.image), actions=[opened])

    def _on_delete_leftover(self, container_id: str) -> None:
        if container := self.model.container(container_id):
            self.actions.ask("delete", [container])

    def _show_task(self) -> None:
        """Show the newest running pull or run in the status bar."""
        task = self.window.status.task
        running = [run for run in self.run_page.runs() if run.is_running]
        if running:
            run = running[-1]
            pulling = run.current == "pull"
            text = (
                tr("Pulling {image}", image=run.wish.image) if pulling else tr("Running {image}", image=run.wish.image)
            )
            task.tell(text, run.fraction if pulling else None)
        elif pull := self.pulls.current:
            task.tell(tr("Pulling {image}", image=pull.reference), pull.fraction)
        else:
            task.tell("", None)

    def _on_task(self) -> None:
        running = [run for run in self.run_page.runs() if run.is_running]
        if running:
            self.window.go(Place("run", running[-1].key))
        elif self.pulls.current is not None:
            self.pulls.show()

    # images ----------------------------------------------------------------------------------------------------------

    def ask_pull(self) -> None:
        OneField(
            self.theme,
            self.icons,
            self.window,
            title=tr("Pull an image"),
            fact=tr("Its layers are fetched from its registry, and every digest is checked."),
            hint="debian:trixie",
            verb=tr("Pull"),
            icon="download-simple",
            sure=self.pulls.start,
        ).open()

    def _ask_delete_image(self, row: NamedImage) -> None:
        image = row.image
        others = [tag for tag in image.tags if tag != row.tag]
        facts = []
        if others:
            facts.append(tr("The image stays, under {names}.", names=", ".join(others)))
        else:
            facts.append(
                tr("Up to {size} of layers is freed; layers that other images share stay.", size=disk(image.size))
            )
        if image.used_by and not others:
            facts.append(tr("Used by {names}.", names=", ".join(image.used_by)))
        facts.append(tr("This cannot be undone; it can be pulled again if a registry has it."))
        client = self.session.client

        def sure(force: bool) -> None:
            self.workers.run(lambda: client.image_remove(row.key, force=force), None, lambda e: failed(str(e)))

        def failed(message: str) -> None:
            self.window.toasts.tell(tr("{name} was not deleted", name=row.key), message, State.PROBLEM)

        Question(
            self.theme,
            self.icons,
            self.window,
            title=tr("Delete image {name}?", name="".join(row.title)),
            facts=facts,
            verb=tr("Delete image"),
            sure=sure,
            checkbox=tr("Delete it even if stopped containers use it") if image.used_by and not others else "",
        ).open()

    def _recent(self) -> list[RunWish]:
        """The last runs. A name that a container has now is removed, because a second container cannot have it."""
        taken = {container.name for container in self.model.containers()}
        return [replace(wish, name="") if wish.name in taken else wish for wish in self.recent.all()]

    def _name_of(self, container_id: str) -> str:
        container = self.model.container(container_id)
        return container.name if container else short_id(container_id)

    # places ----------------------------------------------------------------------------------------------------------

    def _go_to_container(self, which: str) -> None:
        for container in self.model.containers():
            if which in (container.id, container.name):
                self.window.go(Place("container", container.id))

    def _on_placed(self, place: Place) -> None:
        if place.page != "container":
            self.detail_page.leave()
        if place.page != "run":
            self.run_page.leave()
        self._sight.start()

    def _offer(self) -> Offer:
        window = self.window

        def go(page: str) -> None:
            self.show_window()
            window.go(Place(page))

        def act(verb: str, container: Container) -> None:
            self.actions.ask(verb, [container])

        def open_container(container_id: str) -> None:
            self.show_window()
            window.go(Place("container", container_id))

        actions = [
            (tr("Run an image…"), "", "play", lambda: self.ask_run(RunWish(image=""))),
            (tr("Pull an image…"), "", "download-simple", self.ask_pull),
            (tr("Use the light theme"), "", "sun", lambda: self.theme.set_scheme("light")),
            (tr("Use the dark theme"), "", "moon", lambda: self.theme.set_scheme("dark")),
            (tr("Use the desktop's theme"), "", "laptop", lambda: self.theme.set_scheme(None)),
            (tr("Quit Cove"), "", "sign-out", self.app.quit),
        ]
        if self.control.host is not None:
            actions.insert(2, (tr("Stop the VM…"), "", "power", lambda: self.control.ask("stop")))
            actions.insert(2, (tr("Start the VM"), "", "play", lambda: self.control.ask("start")))
        return Offer(
            recent=self._recent(),
            images=[row.tag for row in self.image_model.rows() if row.tag],
            containers=self.model.containers(),
            pages=[(e.title, e.icon, partial(go, e.key)) for e in window.sidebar.model.pages],
            actions=actions,
            open_container=open_container,
            act=act,
        )

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
        menu.popup(bell.mapToGlobal(QPoint(0, bell.height() + 4)))

    # tray ------------------------------------------------------------------------------------------------------------

    def on_wish(self, wish: str) -> None:
        """Do what a second start of `cove-desktop` requests: `open` or `quick-run`."""
        self._on_tray(wish)

    def _on_hidden(self) -> None:
        """Show once that Cove still runs in the tray after its window was closed."""
        if self.tray is not None and not self._settings.value("tray/told", False, bool):
            self._settings.setValue("tray/told", True)
            self.tray.icon.showMessage(
                tr("Cove is still running"), tr("Containers keep running. To quit Cove, use its menu in the tray.")
            )

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
