"""Naming, saving, loading and deleting images; the last after a question that names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from desktop.client import bin, reference
from desktop.ui.bin.undo import Gone, Undo
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.container import Container
from desktop.ui.feed.image import wrong_reference
from desktop.ui.feed.session import EngineSession
from desktop.ui.images.model import NamedImage
from desktop.ui.kit.dialogs import OneField, Question
from desktop.ui.kit.filedialogs import ask_sources, ask_target
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.transfers import Transfer, save_stream
from desktop.ui.kit.words import counted, disk, listed, sentence, tr


class ImageActions:
    """Acts on images. A failure is shown as a message."""

    def __init__(self, desk: Desk, session: EngineSession, containers: ContainerModel, undo: Undo) -> None:
        self._desk, self._session, self._containers, self._undo = desk, session, containers, undo

    def _running_from(self, row: NamedImage) -> list[Container]:
        return [c for c in self._containers.containers() if c.image_id == row.image.id and c.is_running]

    def ask_delete(self, rows: Sequence[NamedImage]) -> None:
        """Ask, then delete the names `rows`. An image with several names stays as long as it has one."""
        if len(rows) == 1:
            self._ask_one(rows[0])
        elif rows:
            self._ask_several(rows)

    def _ask_one(self, row: NamedImage) -> None:
        image, desk = row.image, self._desk
        others = [tag for tag in image.tags if tag != row.tag]
        running = [] if others else self._running_from(row)
        name = "".join(row.title)
        if running:
            first = running[0]
            Question(
                desk.theme,
                desk.icons,
                desk.window,
                title=tr("Image {name} is in use", name=name),
                facts=[
                    counted(
                        len(running),
                        "{names} runs from it. An image cannot be deleted while a container runs from it.",
                        "{names} run from it. An image cannot be deleted while a container runs from it.",
                        names=listed([c.name for c in running]),
                    )
                ],
                verb=tr("Show {name}", name=first.name),
                kind="primary",
                safe=tr("Close"),
                sure=lambda _checked: desk.go(Place("container", first.id)),
            ).open()
            return
        facts = []
        if others:
            facts.append(tr("The image stays, under {names}.", names=", ".join(others)))
        elif not self._undo.can:
            facts.append(
                tr("Up to {size} of layers is freed; layers that other images share stay.", size=disk(image.size))
            )
        if image.used_by and not others:
            facts.append(tr("Stopped containers were made from it: {names}.", names=", ".join(image.used_by)))
        facts.append(
            self._undo.fact
            if self._undo.can
            else tr("This cannot be undone; it can be pulled again if a registry has it.")
        )
        Question(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Delete image {name}?", name=name),
            facts=facts,
            verb=tr("Delete image"),
            sure=lambda force: self._delete([row], force=force),
            checkbox=tr("Delete it even if stopped containers use it") if image.used_by and not others else "",
        ).open()

    def _ask_several(self, rows: Sequence[NamedImage]) -> None:
        desk = self._desk
        facts = []
        used = [row for row in rows if row.in_use]
        if used:
            facts.append(
                counted(
                    len(used),
                    "{n} of them is used by a container and stays, unless it has another name.",
                    "{n} of them are used by containers and stay, unless they have other names.",
                )
            )
        facts.append(
            tr("They can be brought back from the bin for 24 hours, and take their space until then.")
            if self._undo.can
            else tr("This cannot be undone; they can be pulled again if a registry has them.")
        )
        Question(
            desk.theme,
            desk.icons,
            desk.window,
            title=counted(len(rows), "Delete {n} image?", "Delete {n} images?"),
            facts=facts,
            verb=counted(len(rows), "Delete {n} image", "Delete {n} images"),
            safe=tr("Keep them"),
            names=[row.tag or "".join(row.title) for row in rows],
            sure=lambda _checked: self._delete(rows, force=False),
        ).open()

    # names and files ------------------------------------------------------------------------------------------------

    def ask_tag(self, row: NamedImage) -> None:
        """Ask for another name of the image."""
        desk, name = self._desk, "".join(row.title)
        OneField(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Give {name} another name", name=name),
            fact=tr("Both names are of the same image. To push it, begin with the registry: registry.example/app:1."),
            hint=tr("Name of the image"),
            verb=tr("Add the name"),
            icon="plus",
            sure=lambda text: self._tag(row, text),
            wrong=wrong_reference,
            text=row.tag,
        ).open()

    def _tag(self, row: NamedImage, text: str) -> None:
        client, wanted = self._session.client, reference.parse(text)

        def failed(error: Exception) -> None:
            self._desk.toasts.tell(tr("{name} was not added", name=text), sentence(str(error)), State.PROBLEM)

        self._session.workers.run(lambda: client.tag(row.key, wanted.repository, wanted.version), None, failed)

    def ask_save(self, rows: Sequence[NamedImage]) -> None:
        """Ask for a file, then write `rows` into it, as `docker load` reads it."""
        name = "images.tar" if len(rows) > 1 else rows[0].key.rpartition("/")[2].replace(":", "-") + ".tar"
        ask_target(self._desk.window, tr("Save images"), name, lambda path: self._save(rows, path))

    def _save(self, rows: Sequence[NamedImage], path: Path) -> None:
        client, names = self._session.client, listed(["".join(row.title) for row in rows])
        transfer = Transfer(
            tr("Saving {names}", names=names),
            tr("{names}: saved", names=names),
            tr("{names}: not saved", names=names),
        )
        run, keys = self._session.workers.run_long, [row.key for row in rows]
        transfer.run(self._desk.tasks, run, lambda: save_stream(transfer, client.save(keys), path))

    def ask_load(self) -> None:
        """Ask for files that `save` has written, then load their images."""
        ask_sources(self._desk.window, tr("Load images"), self._load)

    def _load(self, paths: Sequence[Path]) -> None:
        client = self._session.client
        for path in paths:
            transfer = Transfer(
                tr("Loading {name}", name=path.name),
                tr("{name} was loaded", name=path.name),
                tr("{name} was not loaded", name=path.name),
                total=path.stat().st_size,
            )

            def work(path: Path = path, transfer: Transfer = transfer) -> None:
                with path.open("rb") as file:
                    pieces = transfer.counted(iter(lambda: file.read(1 << 18), b""))
                    for _line in client.load(pieces):
                        pass  # a line that tells a failure is raised

            transfer.run(self._desk.tasks, self._session.workers.run_long, work)

    def _delete(self, rows: Sequence[NamedImage], *, force: bool) -> None:
        client, toasts = self._session.client, self._desk.toasts
        deletion = self._undo.begin(len(rows))
        for row in rows:

            def failed(error: Exception, row: NamedImage = row) -> None:
                deletion.over(None)
                toasts.tell(tr("{name} was not deleted", name="".join(row.title)), str(error), State.PROBLEM)

            def done(_none: None, row: NamedImage = row) -> None:
                deletion.over(Gone(row.key, "".join(row.title)))

            def job(key: str = row.key) -> None:
                if deletion.can_undo:
                    bin.remove_image(client, key, force=force)
                else:
                    client.image_remove(key, force=force)

            self._session.workers.run(job, done, failed)
