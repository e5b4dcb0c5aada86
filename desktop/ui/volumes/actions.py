"""Creating, deleting and cleaning up volumes. What is deleted was named in a dialog before."""

from __future__ import annotations

from collections.abc import Sequence

from desktop.client import bin
from desktop.client.engine import EngineClient
from desktop.ui.bin.undo import Gone, Undo
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.cleanup import Choice, CleanUp
from desktop.ui.kit.dialogs import OneField, Question
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.words import MOST_NAMED, ago, counted, disk, listed, shortened, tr
from desktop.ui.volumes.model import Volume, wrong_name


class VolumeActions:
    """Acts on volumes. A failure is shown as a message."""

    def __init__(self, desk: Desk, session: EngineSession, undo: Undo) -> None:
        self._desk, self._session, self._undo = desk, session, undo

    def ask_create(self) -> None:
        desk = self._desk
        OneField(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Create a volume"),
            fact=tr("An empty folder kept by the engine. Containers that mount it share it, and it outlives them."),
            hint=tr("Name"),
            verb=tr("Create"),
            icon="plus",
            sure=self._create,
            wrong=wrong_name,
        ).open()

    def _create(self, name: str) -> None:
        client, desk = self._session.client, self._desk

        def failed(error: Exception) -> None:
            desk.toasts.tell(tr("Volume {name} was not created", name=name), str(error), State.PROBLEM)

        self._session.workers.run(
            lambda: client.volume_create(name), lambda _made: desk.go(Place("volumes", name)), failed
        )

    def ask_delete(self, volumes: Sequence[Volume]) -> None:
        """Ask, then delete `volumes`. Those in use are named and stay."""
        if not volumes:
            return
        free = [volume for volume in volumes if not volume.in_use]
        if not free:
            self.explain(volumes, tr("A volume can be deleted when no container has it, not even a stopped one."))
            return
        desk, one = self._desk, free[0]
        used = [volume for volume in volumes if volume.in_use]
        facts = []
        if (size := _size(free)) is not None:
            facts.append(
                counted(
                    len(free), "Its files, {size}, go with it.", "Their files, {size}, go with them.", size=disk(size)
                )
            )
        else:
            facts.append(counted(len(free), "Its files go with it.", "Their files go with them."))
        if used:
            facts.append(
                counted(
                    len(used),
                    "{names} stays: it is in use.",
                    "{names} stay: they are in use.",
                    names=listed([v.title for v in used]),
                )
            )
        facts.append(self._undo.fact)
        many = counted(len(free), "Delete {n} volume", "Delete {n} volumes")
        Question(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Delete volume {name}?", name=one.title) if len(free) == 1 else f"{many}?",
            facts=facts,
            verb=tr("Delete {name}", name=shortened(one.title)) if len(free) == 1 else many,
            safe=tr("Keep it") if len(free) == 1 else tr("Keep them"),
            names=[v.title for v in free] if len(free) > 1 else (),
            sure=lambda _checked: self._delete([volume.name for volume in free]),
        ).open()

    def explain(self, volumes: Sequence[Volume], why: str) -> None:
        """Tell who has `volumes`, and `why` that hinders."""
        desk, one = self._desk, volumes[0]
        user = one.users[0]
        Question(
            desk.theme,
            desk.icons,
            desk.window,
            title=counted(len(volumes), "Volume {name} is in use", "These volumes are in use", name=one.title),
            facts=[
                tr("{volume} belongs to {users}.", volume=volume.title, users=volume.used_by)
                for volume in volumes[:MOST_NAMED]
            ]
            + [why],
            verb=tr("Show {name}", name=shortened(user.name)),
            kind="primary",
            safe=tr("Close"),
            sure=lambda _checked: desk.go(Place("container", user.id)),
        ).open()

    def _delete(self, names: Sequence[str]) -> None:
        client, toasts = self._session.client, self._desk.toasts
        deletion = self._undo.begin(len(names))
        for name in names:

            def failed(error: Exception, name: str = name) -> None:
                deletion.over(None)
                toasts.tell(tr("Volume {name} was not deleted", name=shortened(name)), str(error), State.PROBLEM)

            def done(_none: None, name: str = name) -> None:
                deletion.over(Gone(name, name))

            def job(name: str = name) -> None:
                (bin.remove_volume if deletion.can_undo else EngineClient.volume_remove)(client, name)

            self._session.workers.run(job, done, failed)

    def ask_clean_up(self, volumes: Sequence[Volume]) -> None:
        """List the unused ones among `volumes`; delete those that stay ticked. Named ones are not ticked at first."""
        unused = sorted((v for v in volumes if not v.in_use), key=lambda v: (not v.is_anonymous, v.name))
        if not unused:
            self._desk.toasts.tell(tr("Nothing to clean up"), tr("Every volume is in use."))
            return

        def verb(chosen: Sequence[Choice]) -> str:
            known = [choice.size for choice in chosen if choice.size is not None]
            text = counted(len(chosen), "Delete {n} volume", "Delete {n} volumes")
            return tr("{text}, {size}", text=text, size=disk(sum(known))) if known and chosen else text

        CleanUp(
            self._desk,
            title=tr("Clean up volumes"),
            sentence=tr("No container has these volumes. Named ones may hold data that you want: tick what may go."),
            choices=[
                Choice(
                    key=volume.name,
                    text=volume.title,
                    note=", ".join(part for part in (_kind(volume), ago(volume.created_s)) if part),
                    size=volume.size,
                    ticked=volume.is_anonymous,
                )
                for volume in unused
            ],
            verb=verb,
            sure=self._delete,
            fact=self._undo.fact,
        ).open()


def _kind(volume: Volume) -> str:
    if volume.is_anonymous:
        return tr("anonymous")
    return tr("of project {project}", project=volume.project) if volume.project else ""


def _size(volumes: Sequence[Volume]) -> int | None:
    """The sum of their sizes; None if one of them is not known."""
    sizes = [volume.size for volume in volumes]
    return None if None in sizes else sum(size for size in sizes if size is not None)
