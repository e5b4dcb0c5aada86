"""Editing a container: asks how it shall be, then changes it or puts a new one in its place, as a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject

from desktop.client.api import ApiError
from desktop.client.engine import ConnectionFailed, EngineClient
from desktop.client.recreate import LeftAside, NotRecreated, Recreation, body_of
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.tasks import Task
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import sentence, tr
from desktop.ui.run.edit_dialog import EditDialog
from desktop.ui.run.editing import edited, needs_new, update_of, wish_of
from desktop.ui.run.options import RunWish


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of a container before it is edited: its inspect data, that of the image which its image name leads
    to now, if there is one, the Config of the image that it was made from, and the number of its own files."""

    data: Mapping[str, Any]
    named: Mapping[str, Any] | None
    image: Mapping[str, Any]
    own_files: int


def look(client: EngineClient, container_id: str) -> Looked:
    """Blocks. Raises ApiError, ConnectionFailed."""
    data = client.inspect(container_id)
    named, own = _image(client, str(data["Config"]["Image"])), _image(client, str(data["Image"]))
    mounted = {
        str(mount.get("Destination")) for mount in data.get("Mounts") or ()
    }  # their folders are among the changes
    paths = {str(change["Path"]) for change in client.changes(container_id) if change.get("Kind") != 2} - mounted
    files = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
    return Looked(data, named, (own or {}).get("Config") or {}, len(files))


def _image(client: EngineClient, name: str) -> Mapping[str, Any] | None:
    try:
        return client.image_inspect(name)
    except ApiError as e:
        if e.status != 404:
            raise
        return None


class EditTask(Task):
    """One change of a container."""

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.left = ""  # the name that the old container has kept, if it could not be deleted or put back
        self.is_back = False  # it failed, and everything is as before

    @property
    def title(self) -> str:
        return tr("Changing {name}", name=self._name)

    def report(self) -> Message:
        if not self.problem:
            if self.left:
                fact = tr("The old container could not be deleted; it is called {old}.", old=self.left)
                return Message(tr("{name} was changed", name=self._name), fact, State.PROBLEM)
            return Message(tr("{name} was changed", name=self._name))
        title = tr("{name} was not changed", name=self._name)
        if self.left:
            left = tr("It is stopped and called {old}.", old=self.left)
            return Message(title, f"{self.problem} {left}", State.PROBLEM)
        if self.is_back:
            return Message(title, tr("{problem} It is as before.", problem=self.problem), State.PROBLEM)
        return Message(title, self.problem, State.PROBLEM)


class Edits(QObject):
    """Edits containers of this window."""

    def __init__(self, desk: Desk, session: EngineSession, is_shown: Callable[[str], bool], parent: QObject) -> None:
        """`is_shown(id)`: the page of that container is shown."""
        super().__init__(parent)
        self._desk, self._session, self._is_shown = desk, session, is_shown
        self._latest = Latest(session.workers)

    def ask(self, container: Container) -> None:
        """Look at the container, then ask how it shall be."""
        if self._latest.is_waiting:
            return
        client, desk = self._session.client, self._desk

        def looked(found: Looked) -> None:
            EditDialog(
                desk.theme,
                desk.icons,
                desk.window,
                wish=wish_of(found.data, found.image),
                own_files=found.own_files,
                is_running=container.is_running,
                project=container.project,
                edit=lambda after: self._edit(container, found, after),
            ).open()

        def failed(error: Exception) -> None:
            title = tr("{name} cannot be edited", name=container.name)
            desk.toasts.tell(title, sentence(str(error)), State.PROBLEM)

        self._latest.run(lambda: look(client, container.id), looked, failed)

    def _edit(self, container: Container, found: Looked, after: RunWish) -> None:
        before, client = wish_of(found.data, found.image), self._session.client
        task = EditTask(container.name, self)
        self._desk.tasks.add(task)
        if not needs_new(before, after):
            body = update_of(found.data, before, after)
            self._session.workers.run(
                lambda: client.update(container.id, body),
                lambda _none: task.end(),
                lambda error: task.end(sentence(str(error))),
            )
            return
        body = edited(body_of(found.data, found.named), found.image, found.data, before, after)
        self._put_new(container, Recreation(client, found.data, body), task)

    def _put_new(self, container: Container, recreation: Recreation, task: EditTask) -> None:
        def deleted(_none: None) -> None:
            task.end()

        def not_deleted(_error: Exception) -> None:
            task.left = recreation.old_name
            task.end()

        def made(fresh: Container) -> None:
            self._session.put(fresh)
            if self._is_shown(container.id):
                self._desk.go(Place("container", fresh.id))
            self._session.workers.run(recreation.finish, deleted, not_deleted)

        def failed(error: Exception) -> None:
            task.left = error.name if isinstance(error, LeftAside) else ""
            task.is_back = isinstance(error, NotRecreated)
            task.end(sentence(str(error)))

        self._session.workers.run(lambda: self._recreate(recreation), made, failed)

    def _recreate(self, recreation: Recreation) -> Container:
        made = recreation.run()
        try:
            return self._session.inspect(made)
        except (ApiError, ConnectionFailed):  # it runs; the list tells of it later
            return Container(id=made, name=recreation.name, image="")
