"""The content of volumes as a whole: exported, imported, cloned; and volumes under another name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from desktop.client import archives, volumes
from desktop.client.api import ApiError
from desktop.client.archives import Filed
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.dialogs import OneField, Question
from desktop.ui.kit.filedialogs import ask_source, ask_target
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.transfers import Transfer, save_stream
from desktop.ui.kit.words import sentence, shortened, tr
from desktop.ui.volumes.model import Volume, wrong_name

PIECE_BYTES = 1 << 18
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")


class Moving:
    """Asks, then does it as a task with progress and a message at the end. `known()` are the volumes there are."""

    def __init__(self, desk: Desk, session: EngineSession, known: Callable[[], Iterable[Volume]]) -> None:
        self._desk, self._session, self._known = desk, session, known

    def _start(self, transfer: Transfer, work: Callable[[], None]) -> None:
        transfer.run(self._desk.tasks, self._session.workers.run_long, work)

    # out and in ------------------------------------------------------------------------------------------------------

    def ask_export(self, volume: Volume) -> None:
        title = tr("Export volume {name}", name=volume.title)
        ask_target(self._desk.window, title, f"{volume.title}.tar", lambda path: self._export(volume, path))

    def _export(self, volume: Volume, path: Path) -> None:
        client, name = self._session.client, shortened(volume.title)
        transfer = Transfer(
            tr("Exporting {name}", name=name),
            tr("Volume {name} was exported to {file}", name=name, file=path.name),
            tr("Volume {name} was not exported", name=name),
            total=volume.size or 0,
        )

        def work() -> None:
            save_stream(transfer, archives.get(client, Filed.volume(volume.name), volumes.CONTENT), path)

        self._start(transfer, work)

    def ask_import(self) -> None:
        """Ask for a tar, then for the name of the volume that gets its content."""
        ask_source(self._desk.window, tr("Import a volume from a tar"), self._ask_name)

    def _ask_name(self, path: Path) -> None:
        desk = self._desk
        OneField(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Import {file}", file=path.name),
            fact=tr(
                "The content of the tar becomes that of a volume. It may be compressed by gzip, bzip2, xz or zstd."
            ),
            hint=tr("Name of the volume"),
            verb=tr("Import"),
            icon="upload-simple",
            sure=lambda name: self._ask_into(path, name),
            wrong=wrong_name,
            text=_name_from(path),
        ).open()

    def _ask_into(self, path: Path, name: str) -> None:
        """Import at once into a new volume; ask before that into one that exists, as the engine says."""
        desk, client = self._desk, self._session.client

        def exists() -> bool:
            try:
                client.volume_inspect(name)
            except ApiError as error:
                if error.status == 404:
                    return False
                raise
            return True

        def failed(error: Exception) -> None:
            title = tr("Volume {name} was not imported", name=shortened(name))
            desk.toasts.tell(title, sentence(str(error)), State.PROBLEM)

        def answered(is_taken: bool) -> None:
            if is_taken:
                self._ask_over(path, name)
            else:
                self._import(path, name, is_new=True)

        self._session.workers.run(exists, answered, failed)

    def _ask_over(self, path: Path, name: str) -> None:
        desk = self._desk
        Question(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Import into volume {name}, which exists?", name=name),
            facts=[
                tr("Files of the same name are replaced, all others stay. This cannot be undone."),
                tr("Another name makes a new volume."),
            ],
            verb=tr("Import into {name}", name=shortened(name)),
            sure=lambda _checked: self._import(path, name, is_new=False),
        ).open()

    def _import(self, path: Path, name: str, *, is_new: bool) -> None:
        client, shown = self._session.client, shortened(name)
        transfer = Transfer(
            tr("Importing {name}", name=shown),
            tr("Volume {name} was imported", name=shown),
            tr("Volume {name} was not imported", name=shown),
        )

        def work() -> None:
            with path.open("rb") as file:
                transfer.total_bytes = path.stat().st_size
                if is_new:
                    client.volume_create(name)
                try:
                    pieces = transfer.counted(iter(lambda: file.read(PIECE_BYTES), b""))
                    archives.put(client, Filed.volume(name), "/", pieces)
                except BaseException:
                    if is_new:
                        client.volume_remove(name)  # nothing half-made is left
                    raise

        transfer.ended.connect(lambda: None if transfer.problem else self._desk.go(Place("volumes", name)))
        self._start(transfer, work)

    # copies and names ------------------------------------------------------------------------------------------------

    def ask_clone(self, volume: Volume) -> None:
        self._ask_new(
            title=tr("Clone volume {name}", name=volume.title),
            fact=tr("The new volume gets a copy of the files. What a container writes meanwhile may be missing in it."),
            verb=tr("Clone"),
            icon="copy-simple",
            text=f"{volume.title}-copy",
            sure=lambda new: self._clone(volume, new),
        )

    def _clone(self, volume: Volume, new: str) -> None:
        client = self._session.client
        transfer = Transfer(
            tr("Cloning {name}", name=shortened(volume.title)),
            tr("{new} is a copy of volume {name}", new=shortened(new), name=shortened(volume.title)),
            tr("Volume {name} was not cloned", name=shortened(volume.title)),
        )

        def work() -> None:
            volumes.clone(client, volume.name, new)
            transfer.count_bytes = volume.size or 0

        transfer.ended.connect(lambda: None if transfer.problem else self._desk.go(Place("volumes", new)))
        self._start(transfer, work)

    def ask_rename(self, volume: Volume) -> None:
        self._ask_new(
            title=tr("Rename volume {name}", name=volume.title),
            fact=tr("Its files stay as they are. Compose files and commands that name it must be changed too."),
            verb=tr("Rename"),
            icon="pencil-simple",
            text=volume.name,
            sure=lambda new: self._rename(volume, new),
        )

    def _rename(self, volume: Volume, new: str) -> None:
        desk, client = self._desk, self._session.client

        def failed(error: Exception) -> None:
            desk.toasts.tell(
                tr("Volume {name} was not renamed", name=shortened(volume.title)), _reason(error), State.PROBLEM
            )

        self._session.workers.run(
            lambda: volumes.rename(client, volume.name, new), lambda _: desk.go(Place("volumes", new)), failed
        )

    def _ask_new(self, *, title: str, fact: str, verb: str, icon: str, text: str, sure: Callable[[str], None]) -> None:
        """Ask for the name of a volume that does not exist."""
        desk = self._desk

        def wrong(name: str) -> str:
            if any(other.name == name for other in self._known()):
                return tr("Volume {name} exists already.", name=shortened(name))
            return wrong_name(name)

        OneField(
            desk.theme, desk.icons, desk.window, title=title, fact=fact, hint=tr("New name"), verb=verb, icon=icon,
            sure=sure, wrong=wrong, text=text,
        ).open()  # fmt: skip


def _reason(error: Exception) -> str:
    if isinstance(error, ApiError) and volumes.is_unknown_call(error):
        return tr("This engine cannot do that: it is not Cove's.")
    return str(error)


def _name_from(path: Path) -> str:
    """A volume's name from a file's name, as far as that can be one."""
    name = next((path.name.removesuffix(end) for end in TAR_ENDINGS if path.name.endswith(end)), path.stem)
    return name if not wrong_name(name) else ""
