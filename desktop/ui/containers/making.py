"""What is made from a container: another name, an image of its changes, a tar of its files."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from desktop.client import reference
from desktop.ui.feed.container import Container
from desktop.ui.feed.image import wrong_reference
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.dialogs import OneField
from desktop.ui.kit.filedialogs import ask_target
from desktop.ui.kit.menus import Act
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.transfers import Transfer, save_stream
from desktop.ui.kit.words import sentence, tr

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def wrong_name(text: str) -> str:
    """Why `text` cannot be a container's name; empty if it can."""
    if NAME.fullmatch(text):
        return ""
    return tr("A name has letters, digits, and “_”, “.”, “-” after the first character; two at least.")


def making_acts() -> tuple[Act, ...]:
    return (
        Act("rename", "pencil-simple", tr("Rename…")),
        Act("commit", "stack", tr("Make an image of it…")),
        Act("export", "export", tr("Export its files…")),
    )


class Making:
    """Asks for what is needed, then does it. A failure is shown as a message."""

    def __init__(self, desk: Desk, session: EngineSession) -> None:
        self._desk, self._session = desk, session

    def ask(self, key: str, container: Container) -> None:
        """`key` is that of one of `making_acts`."""
        {"rename": self._ask_rename, "commit": self._ask_commit, "export": self._ask_export}[key](container)

    def _ask_rename(self, container: Container) -> None:
        desk = self._desk
        OneField(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Rename {name}", name=container.name),
            fact=tr("It goes on meanwhile. Other containers of its networks find it by the new name."),
            hint=tr("Name"),
            verb=tr("Rename"),
            icon="pencil-simple",
            sure=lambda name: self._rename(container, name),
            wrong=wrong_name,
            text=container.name,
        ).open()

    def _rename(self, container: Container, name: str) -> None:
        client = self._session.client

        def failed(error: Exception) -> None:
            title = tr("{name} was not renamed", name=container.name)
            self._desk.toasts.tell(title, sentence(str(error)), State.PROBLEM)

        self._session.workers.run(lambda: client.rename(container.id, name), None, failed)

    def _ask_commit(self, container: Container) -> None:
        desk = self._desk
        OneField(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Make an image of {name}", name=container.name),
            fact=tr("Its image with what it has written since. Volumes are not part of it. It is paused meanwhile."),
            hint=tr("Name of the image"),
            verb=tr("Make image"),
            icon="stack",
            sure=lambda name: self._commit(container, name),
            wrong=wrong_reference,
            text=f"{container.name.lower()}:latest",
        ).open()

    def _commit(self, container: Container, name: str) -> None:
        client, desk = self._session.client, self._desk
        wanted = reference.parse(name)

        def told(_image_id: str) -> None:
            show = (tr("Show image"), lambda: desk.go(Place("images", name)))
            desk.toasts.tell(tr("Image {name} was made", name=name), "", State.DONE, [show])

        def failed(error: Exception) -> None:
            desk.toasts.tell(tr("Image {name} was not made", name=name), sentence(str(error)), State.PROBLEM)

        self._session.workers.run(lambda: client.commit(container.id, wanted.repository, wanted.version), told, failed)

    def _ask_export(self, container: Container) -> None:
        name = f"{container.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar"
        ask_target(
            self._desk.window,
            tr("Export the files of {name}", name=container.name),
            name,
            lambda path: self._export(container, path),
        )

    def _export(self, container: Container, path: Path) -> None:
        client, name = self._session.client, container.name
        transfer = Transfer(
            tr("Exporting {name}", name=name),
            tr("{name} was exported", name=name),
            tr("{name} was not exported", name=name),
        )
        run = self._session.workers.run_long
        transfer.run(self._desk.tasks, run, lambda: save_stream(transfer, client.export(container.id), path))
