"""Actions on containers, from the table, the page, menus and the tray. Deletion is confirmed first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from desktop.ui.bin.undo import Deletion, Gone, Undo
from desktop.ui.containers.limits import Limits
from desktop.ui.containers.making import Making, making_acts
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.container import Container, Doing
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.menus import Act
from desktop.ui.kit.page import Desk
from desktop.ui.kit.states import State
from desktop.ui.kit.words import counted, shortened, tr

DOING = {
    "start": Doing.STARTING,
    "stop": Doing.STOPPING,
    "restart": Doing.RESTARTING,
    "pause": Doing.PAUSING,
    "resume": Doing.RESUMING,
    "delete": Doing.DELETING,
    "kill": Doing.STOPPING,
}


class ContainerActions:
    """Start, stop, restart, pause, resume, kill and delete containers. A failure is shown as a toast."""

    def __init__(
        self, desk: Desk, model: ContainerModel, session: EngineSession, edit: Callable[[Container], None], undo: Undo
    ) -> None:
        """`edit(container)` asks how its settings shall be."""
        self._undo = undo
        self._theme, self._icons, self._toasts, self._window = desk.theme, desk.icons, desk.toasts, desk.window
        self._model, self._session = model, session
        self._making, self._limits, self._edit = Making(desk, session), Limits(desk, session), edit

    def ask(self, verb: str, containers: Sequence[Container]) -> None:
        """Do `verb` to each of `containers` whose state allows it; `delete` asks for confirmation first."""
        if verb == "delete":
            self._ask_delete(containers)
            return
        if verb == "end":
            self._ask_kill(containers)
            return
        if verb == "edit":
            for container in containers[:1]:
                self._edit(container)
            return
        if verb in ("more-memory", "limit"):
            for container in containers[:1]:
                (self._limits.start_with_more if verb == "more-memory" else self._limits.ask)(container)
            return
        if verb in (act.key for act in making_acts()):
            for container in containers[:1]:
                self._making.ask(verb, container)
            return
        for container in containers:
            if fits(verb, container):
                self._do(verb, container)

    def _delete(self, containers: Sequence[Container], *, volumes: bool) -> None:
        deletion = self._undo.begin(len(containers))
        for container in containers:
            self._do("delete", container, force=container.is_running, volumes=volumes, deletion=deletion)

    def _do(
        self,
        verb: str,
        container: Container,
        *,
        force: bool = False,
        volumes: bool = False,
        deletion: Deletion | None = None,
    ) -> None:
        self._model.ask(container.id, DOING[verb])

        def done() -> None:
            self._model.ask(container.id, None)
            if verb == "delete":
                self._model.drop([container.id])
            if deletion is not None:
                deletion.over(Gone(container.id, container.name))

        def failed(error: Exception) -> None:
            self._model.ask(container.id, None)
            if deletion is not None:
                deletion.over(None)
            title = {
                "start": tr("{name} could not start", name=container.name),
                "stop": tr("{name} could not be stopped", name=container.name),
                "restart": tr("{name} could not be restarted", name=container.name),
                "pause": tr("{name} could not be paused", name=container.name),
                "resume": tr("{name} could not be resumed", name=container.name),
                "kill": tr("{name} could not be killed", name=container.name),
                "delete": tr("{name} was not deleted", name=container.name),
            }[verb]
            again = (tr("Try again"), lambda: self.ask(verb, [container]))
            self._toasts.tell(title, str(error), State.PROBLEM, [again])

        can_undo = deletion is not None and deletion.can_undo
        self._session.act(verb, container, done, failed, force=force, volumes=volumes, restorable=can_undo)

    def _ask_kill(self, containers: Sequence[Container]) -> None:
        """Ask before what cannot be undone: the program gets no time for its own end."""
        container = next((container for container in containers if fits("end", container)), None)
        if container is not None:
            Question(
                self._theme,
                self._icons,
                self._window,
                title=tr("Kill {name}?", name=container.name),
                facts=[tr("SIGKILL ends it at once. What it has not written yet is lost; Stop lets it end by itself.")],
                verb=tr("Kill {name}", name=shortened(container.name)),
                sure=lambda _checked: self._do("kill", container),
                safe=tr("Let it run"),
            ).open()

    def more_on_one(self, container: Container) -> list[Act | None]:
        """What a menu has below the verbs: edit, rename, commit, export, kill."""
        acts: list[Act | None] = [*making_acts()]
        if fits("edit", container):
            acts.insert(0, Act("edit", "sliders-horizontal", tr("Edit…")))
        if fits("end", container):
            acts.append(Act("end", "lightning-slash", tr("Kill…")))
        return acts

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
                self._undo.fact,
            ]
            verb = tr("Delete {name}", name=shortened(one.name))
        else:
            title = counted(len(containers), "Delete {n} container?", "Delete {n} containers?")
            facts = []
            if running:
                facts.append(
                    counted(
                        len(running),
                        "{n} of them is running and is stopped first.",
                        "{n} of them are running and are stopped first.",
                    )
                )
            facts += [tr("Their own files and logs go with them."), self._undo.fact]
            verb = counted(len(containers), "Delete {n} container", "Delete {n} containers")

        def sure(with_volumes: bool) -> None:
            self._delete(containers, volumes=with_volumes)

        Question(
            self._theme,
            self._icons,
            self._window,
            title=title,
            facts=facts,
            verb=verb,
            sure=sure,
            safe=tr("Keep it") if len(containers) == 1 else tr("Keep them"),
            checkbox=counted(len(containers), "Delete its anonymous volumes too", "Delete their anonymous volumes too"),
            names=[c.name for c in containers] if len(containers) > 1 else (),
        ).open()

    def acts_on_one(self, container: Container) -> list[Act | None]:
        """The menu of `container`; None is a separator."""
        if container.lost:
            return [Act("copyid", "copy-simple", tr("Copy id"))]
        acts: list[Act | None] = []
        for number, port in enumerate(container.ports if container.is_running else ()):
            acts.append(Act(f"port:{number}", "arrow-square-out", tr("Open {port}", port=port.host_port)))
            acts.append(Act(f"copyport:{number}", "copy-simple", tr("Copy {where}", where=port.where)))
        if acts:
            acts.append(None)
        acts.append(Act("logs", "article", tr("Logs"), "Ctrl+L"))
        if container.status == "running":
            acts.append(Act("terminal", "terminal-window", tr("Terminal"), "Ctrl+T"))
        acts.append(Act("inspect", "brackets-curly", tr("Inspect"), "Alt+Return"))
        acts.append(None)
        acts += self.verbs([container])
        acts += [None, *self.more_on_one(container)]
        acts += [None, Act("copyid", "copy-simple", tr("Copy id"), "Ctrl+C")]
        acts += [Act("copyname", "copy-simple", tr("Copy name")), None]
        acts.append(Act("delete", "trash", tr("Delete…"), "Del"))
        return acts

    def acts_on_several(self, containers: Sequence[Container]) -> list[Act | None]:
        """The menu of `containers` together: only actions that apply to several."""
        acts: list[Act | None] = [*self.verbs(containers)]
        acts += [None, Act("copy", "copy-simple", tr("Copy as text"), "Ctrl+C"), None]
        acts.append(Act("delete", "trash", tr("Delete {n}…", n=len(containers)), "Del"))
        return acts

    @staticmethod
    def verbs(containers: Sequence[Container]) -> list[Act]:
        """The verbs that fit the state of at least one of `containers`."""
        return [act for act in verbs() if any(fits(act.key, container) for container in containers)]


def verbs() -> tuple[Act, ...]:
    """All verbs on containers, in the order of menus and bars."""
    return (
        Act("resume", "play", tr("Resume")),
        Act("start", "play", tr("Start"), "Ctrl+."),
        Act("stop", "stop", tr("Stop"), "Ctrl+."),
        Act("restart", "arrow-clockwise", tr("Restart"), "Ctrl+Shift+R"),
        Act("pause", "pause", tr("Pause")),
        Act("kill", "lightning-slash", tr("Kill now")),
    )


def fits(verb: str, container: Container) -> bool:
    """Whether `verb` makes sense in the container's state, with what it is doing."""
    if container.lost:
        return False
    match verb:
        case "kill":
            return container.is_running and container.doing in (Doing.STOPPING, Doing.RESTARTING)
        case "end":
            return container.is_running and container.doing is None
        case "delete":
            return container.doing is None
        case "edit":  # one that deletes itself at its end could not be put back
            return container.doing is None and not container.auto_remove
        case "start":
            return not container.is_running and container.doing is None
        case "resume":
            return container.status == "paused" and container.doing is None
        case "pause":
            return container.status == "running" and container.doing is None
        case _:
            return container.is_running and container.doing is None
