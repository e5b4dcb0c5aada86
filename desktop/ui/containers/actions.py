"""Actions on containers, from the table, the page, menus and the tray. Deletion is confirmed first."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QWidget

from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.facts import Container, Doing
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.toasts import Toasts
from desktop.ui.kit.words import counted, shortened, tr

DOING = {
    "start": Doing.STARTING,
    "stop": Doing.STOPPING,
    "restart": Doing.RESTARTING,
    "pause": Doing.PAUSING,
    "resume": Doing.RESUMING,
    "delete": Doing.DELETING,
}
MenuItem = tuple[str, str, str, str]  # key, icon, text, shortcut


class ContainerActions:
    """Start, stop, restart, pause, resume and delete containers. A failure is shown as a toast."""

    def __init__(
        self, theme: Theme, icons: Icons, model: ContainerModel, session: EngineSession, toasts: Toasts, window: QWidget
    ) -> None:
        self._theme, self._icons = theme, icons
        self._model, self._session, self._toasts, self._window = model, session, toasts, window

    def use(self, session: EngineSession) -> None:
        self._session = session

    def ask(self, verb: str, containers: Sequence[Container]) -> None:
        """Do `verb` to each of `containers` whose state allows it; `delete` asks for confirmation first."""
        if verb == "delete":
            self._ask_delete(containers)
            return
        for container in containers:
            if container.lost or container.doing:
                continue
            if verb == "stop" and not container.is_running:
                continue
            if verb == "start" and container.is_running:
                continue
            self._do(verb, container)

    def _do(self, verb: str, container: Container, *, force: bool = False, volumes: bool = False) -> None:
        self._model.ask(container.id, DOING[verb])

        def done() -> None:
            self._model.ask(container.id, None)
            if verb == "delete":
                self._model.drop([container.id])

        def failed(error: Exception) -> None:
            self._model.ask(container.id, None)
            title = {
                "start": tr("{name} could not start", name=container.name),
                "stop": tr("{name} could not be stopped", name=container.name),
                "restart": tr("{name} could not be restarted", name=container.name),
                "pause": tr("{name} could not be paused", name=container.name),
                "resume": tr("{name} could not be resumed", name=container.name),
                "delete": tr("{name} was not deleted", name=container.name),
            }[verb]
            again = (tr("Try again"), lambda: self.ask(verb, [container]))
            self._toasts.tell(title, str(error), State.PROBLEM, [again])

        self._session.act(verb, container, done, failed, force=force, volumes=volumes)

    def _ask_delete(self, containers: Sequence[Container]) -> None:
        if not containers:
            return
        running = [c for c in containers if c.is_running]
        one = containers[0]
        if len(containers) == 1:
            title = tr("Delete container {name}?", name=one.name)
            facts = [
                tr("It is running and is stopped first. Its own files go with it; named volumes and the image stay.")
                if running
                else tr(
                    "Its own files and its log go with it; named volumes and the image {image} stay.", image=one.image
                ),
                tr("This cannot be undone."),
            ]
            verb = tr("Delete {name}", name=shortened(one.name))
        else:
            title = counted(len(containers), "Delete {n} container?", "Delete {n} containers?")
            names = ", ".join(c.name for c in containers[:6]) + (" …" if len(containers) > 6 else "")
            facts = [tr("{names}.", names=names)]
            if running:
                facts.append(
                    counted(
                        len(running),
                        "{n} of them is running and is stopped first.",
                        "{n} of them are running and are stopped first.",
                    )
                )
            facts.append(tr("Their own files and logs go with them. This cannot be undone."))
            verb = counted(len(containers), "Delete {n} container", "Delete {n} containers")

        def sure(with_volumes: bool) -> None:
            for container in containers:
                self._do("delete", container, force=container.is_running, volumes=with_volumes)

        Question(
            self._theme,
            self._icons,
            self._window,
            title=title,
            facts=facts,
            verb=verb,
            sure=sure,
            safe=tr("Keep it") if len(containers) == 1 else tr("Keep them"),
            checkbox=tr("Delete its anonymous volumes too"),
        ).open()

    def menu_items(self, container: Container) -> list[MenuItem | None]:
        """The context menu of `container`; None is a separator."""
        if container.lost:
            return [("copyid", "copy-simple", tr("Copy id"), "")]
        items: list[MenuItem | None] = []
        for number, port in enumerate(container.ports if container.is_running else ()):
            items.append((f"port:{number}", "arrow-square-out", tr("Open {port}", port=port.host_port), ""))
            items.append((f"copyport:{number}", "copy-simple", tr("Copy {where}", where=port.where), ""))
        if items:
            items.append(None)
        items.append(("logs", "article", tr("Logs"), "Ctrl+L"))
        if container.status == "running":
            items.append(("terminal", "terminal-window", tr("Terminal"), "Ctrl+T"))
        items.append(("inspect", "brackets-curly", tr("Inspect"), "Alt+Return"))
        items.append(None)
        if container.status == "paused":
            items.append(("resume", "play", tr("Resume"), ""))
        if container.is_running:
            items.append(("stop", "stop", tr("Stop"), "Ctrl+."))
            items.append(("restart", "arrow-clockwise", tr("Restart"), "Ctrl+Shift+R"))
        else:
            items.append(("start", "play", tr("Start"), "Ctrl+."))
        if container.status == "running":
            items.append(("pause", "pause", tr("Pause"), ""))
        items += [None, ("copyid", "copy-simple", tr("Copy id"), "Ctrl+C"), None]
        items.append(("delete", "trash", tr("Delete…"), "Del"))
        return items

    def menu_of_several(self, containers: Sequence[Container]) -> list[MenuItem | None]:
        """The context menu of `containers` together: only actions that apply to several."""
        items: list[MenuItem | None] = []
        if any(not container.is_running for container in containers):
            items.append(("start", "play", tr("Start"), ""))
        if any(container.is_running for container in containers):
            items.append(("stop", "stop", tr("Stop"), ""))
            items.append(("restart", "arrow-clockwise", tr("Restart"), "Ctrl+Shift+R"))
        items += [None, ("copy", "copy-simple", tr("Copy as text"), "Ctrl+C"), None]
        items.append(("delete", "trash", tr("Delete {n}…", n=len(containers)), "Del"))
        return items
