"""What the pictures show: places to go to, and what floats over them. Each scene goes to its place itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu

from desktop.client import bin
from desktop.ui.bin.page import BinPage
from desktop.ui.builds.page import BuildsPage
from desktop.ui.compose.page import ComposePage
from desktop.ui.containers.detail import TABS, DetailPage
from desktop.ui.containers.page import ContainersPage
from desktop.ui.feed.container import Container
from desktop.ui.images.page import ImagesPage
from desktop.ui.kit.detail import DetailCard
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.menus import open_menu
from desktop.ui.kit.page import Page
from desktop.ui.kit.states import State
from desktop.ui.kit.table_page import TablePage
from desktop.ui.networks.page import NetworksPage
from desktop.ui.registries.page import RegistriesPage
from desktop.ui.run.edit_dialog import EditDialog
from desktop.ui.run.options import MountWish, PortWish, RunWish
from desktop.ui.settings.page import SettingsPage
from desktop.ui.shell.crash import CrashDialog
from desktop.ui.shell.pages import in_sidebar
from desktop.ui.shell.tray import Tray
from desktop.ui.volumes.page import VolumesPage
from tests.ui.gallery.camera import Camera
from tests.ui.gallery.stage import LONG, failing_build
from tests.ui.hands import CONTROL, NONE
from tests.ui.made import KEYS
from tests.ui.monkey.stage import COMPOSE_FILE, CONTAINERS, IMAGE, PROJECT, project_folder

P = TypeVar("P", bound=Page)
LONG_CONTAINER = next(name for name, _, _ in CONTAINERS if len(name) > 60)
OTHER = "networks: {a-network-between-the-oven-and-the-shelf: {}}\n"
TRACE = """\
Traceback (most recent call last):
  File "/usr/lib/cove/desktop/ui/containers/model.py", line 212, in put
    self._rows[container.id].show(container)
  File "/usr/lib/cove/desktop/ui/containers/row_painter.py", line 118, in show
    raise LookupError(f"no column is called {name!r} in a table whose columns are {sorted(self._columns)}")
LookupError: no column is called 'memory' in a table whose columns are ['cpu', 'image', 'name', 'ports', 'uptime']
"""


def container(camera: Camera, name: str) -> Container:
    return next(c for c in camera.cove.model.containers() if c.name == name)


def page(camera: Camera, kind: type[P], key: str, thing: str = "", tab: str = "") -> P:
    """Go to that page."""
    shown = camera.go(key, thing, tab)
    assert isinstance(shown, kind)
    return shown


# pages and tabs ------------------------------------------------------------------------------------------------------


def pages(camera: Camera) -> None:
    for key in (*(spec.key for spec in in_sidebar()), "bin", "welcome"):
        camera.go(key)
        camera.take(key)


def lists(camera: Camera, count: int) -> None:
    """All pages of an engine with `count` containers and volumes."""
    for key in (*(spec.key for spec in in_sidebar()), "bin") if not count else ("containers", "volumes", "cost"):
        camera.go(key)
        camera.rest()
        camera.take(f"{count}-{key}")
    if count > 1:
        camera.go("containers")
        camera.cove.actions.ask("delete", camera.cove.model.containers())
        camera.take(f"{count}-delete-all")


def tabs_of(name: str) -> Callable[[Camera], None]:
    def show(camera: Camera) -> None:
        for tab in TABS:
            page(camera, DetailPage, "container", container(camera, name).id, tab)
            camera.take(f"{name[:20]}-{tab}")

    show.__name__ = f"tabs_of_{name[:20]}"
    return show


def cards(camera: Camera) -> None:
    """Each tab of the cards beside the lists."""
    for kind, key, thing in (
        (ImagesPage, "images", "shop/web:2"),
        (VolumesPage, "volumes", "spare-data"),
        (NetworksPage, "networks", ""),
        (ComposePage, "compose", PROJECT),
        (BuildsPage, "builds", ""),
    ):
        shown = page(camera, kind, key, thing)
        assert isinstance(shown, TablePage)
        assert isinstance(shown.detail, DetailCard)
        camera.rest()
        tabs = shown.detail.tabs
        for number in range(tabs.count()):
            tabs.setCurrentIndex(number)
            camera.take(f"{key}-tab{number}")
        tabs.setCurrentIndex(0)


def settings(camera: Camera) -> None:
    shown = page(camera, SettingsPage, "settings")
    for number in range(shown.stack.count()):
        shown.stack.setCurrentIndex(number)
        camera.take(f"settings{number}")
    shown.stack.setCurrentIndex(0)


def files_of_a_volume(camera: Camera) -> None:
    """Of one with a long name: its root, a folder below, a preview, the menu of a file."""
    files = page(camera, VolumesPage, "volumes", LONG).card.files
    camera.until(lambda: files.rows.rowCount() > 0)
    camera.take("volume-files")
    files.go("/logs", "access.log")
    camera.until(lambda: "access.log" in files.preview.title.text())
    camera.take("volume-file")
    files._on_menu(files.view.mapToGlobal(files.view.rect().center()))
    camera.take("volume-file-menu")
    camera.clear()
    files._ask_download(files.view.current())
    camera.take("volume-file-download")


# lists ---------------------------------------------------------------------------------------------------------------


def selection(camera: Camera) -> None:
    """Rows that are ticked, with their bar; a filter without hits."""
    for kind, key in ((VolumesPage, "volumes"), (ImagesPage, "images"), (BinPage, "bin")):
        shown = page(camera, kind, key)
        assert isinstance(shown, TablePage)
        press(camera, shown, Qt.Key.Key_A, CONTROL)
        camera.take(f"{key}-selected")
        press(camera, shown, Qt.Key.Key_Escape)
        shown.search.setText("nothing-is-called-so")
        camera.take(f"{key}-no-match")
        shown.search.clear()
    listed = page(camera, ContainersPage, "containers")
    press(camera, listed, Qt.Key.Key_A, CONTROL)
    camera.take("containers-selected")
    press(camera, listed, Qt.Key.Key_Escape)


def press(camera: Camera, where: Page, key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE) -> None:
    camera.window.activateWindow()
    where.first_focus().setFocus()
    QTest.keyClick(camera.window.windowHandle(), key, modifiers)


def menus(camera: Camera) -> None:
    cove, icons = camera.cove, camera.cove.icons
    listed = page(camera, ContainersPage, "containers")
    camera.rest()
    corner = listed.mapToGlobal(listed.rect().bottomRight())
    for name in ("sleeper", LONG_CONTAINER, "frozen"):
        open_menu(listed, icons, cove.actions.acts_on_one(container(camera, name)), lambda _key: None, corner)
        camera.take(f"menu-{name[:20]}")
        camera.clear()
    for shown in (
        page(camera, ImagesPage, "images", "shop/web:2"),
        page(camera, VolumesPage, "volumes", LONG),
        page(camera, ComposePage, "compose", PROJECT),
    ):
        camera.go(KEYS[type(shown)])
        camera.rest()
        shown.card.more.click()
        camera.take(f"menu-{KEYS[type(shown)]}")
        camera.clear()
    camera.window.sidebar.switch.click()
    camera.take("menu-engine")
    camera.clear()
    camera.window.top.bell.click()
    camera.take("menu-messages")
    camera.clear()
    tray = Tray(camera.theme, icons, cove.model, cove.runs.recent, cove)
    tray.show_facts(cove.control.facts)
    tray.build()
    tray.menu.popup(camera.window.mapToGlobal(camera.window.rect().center() / 3))
    camera.take("menu-tray")
    inner = next(a.menu() for a in tray.menu.actions() if a.menu() is not None)
    assert isinstance(inner, QMenu)
    tray.menu.close()
    inner.popup(camera.window.mapToGlobal(camera.window.rect().center() / 3))
    camera.take("menu-tray-container")
    inner.close()
    tray.icon.hide()
    tray.deleteLater()


# dialogs -------------------------------------------------------------------------------------------------------------


def deletions(camera: Camera) -> None:
    """The questions before deletions, of one thing and of all."""
    cove = camera.cove
    containers = cove.model.containers()
    asks: list[tuple[str, str, Callable[[], object]]] = [
        ("one", "containers", lambda: cove.actions.ask("delete", [container(camera, LONG_CONTAINER)])),
        ("all", "containers", lambda: cove.actions.ask("delete", containers)),
        ("kill", "containers", lambda: cove.actions.ask("end", [container(camera, "sleeper")])),
    ]
    for key in ("compose", "volumes", "images", "networks", "builds", "bin"):
        asks.append((key, key, lambda: delete_all(camera)))
    page(camera, NetworksPage, "networks").way.choose(1)  # a list
    for name, key, ask in asks:
        camera.go(key)
        camera.rest()
        ask()
        camera.rest()
        camera.take(f"dialog-delete-{name}")
        camera.clear()
    page(camera, NetworksPage, "networks").way.choose(0)
    volumes = page(camera, VolumesPage, "volumes", LONG)
    volumes.do("delete", [v for v in volumes.rows.items() if v.name == LONG])
    camera.take("dialog-delete-volume")
    camera.clear()
    volumes.clean_up.click()
    camera.take("dialog-clean-up-volumes")
    camera.clear()
    builds = page(camera, BuildsPage, "builds")
    builds.clean_up.click()
    camera.until(lambda: bool(camera.dialogs()) or bool(camera.window.toasts.shown()))
    camera.take("dialog-clean-up-builds")


def delete_all(camera: Camera) -> None:
    shown = camera.window.page(camera.window.place.page)
    press(camera, shown, Qt.Key.Key_A, CONTROL)
    press(camera, shown, Qt.Key.Key_Delete)


def run_dialogs(camera: Camera) -> None:
    cove = camera.cove
    camera.go("containers")
    cove.ask_run(RunWish(image=IMAGE))
    camera.take("dialog-run")
    camera.clear()
    full = RunWish(
        image="registry.example/team/a-tool-with-a-long-name:1.2.3",
        name=LONG_CONTAINER,
        command="sh -c 'while :; do echo tick; sleep 1; done'",
        ports=[PortWish(host_port="127.0.0.1:8080", port="80"), PortWish(host_port="", port="53", protocol="udp")],
        mounts=[MountWish(source=LONG, target="/var/lib/orders", read_only=True)],
        environment=[("API_TOKEN", "s3cret"), ("COLOUR", "blue")],
    )
    cove.ask_run(full)
    camera.take("dialog-run-full")
    camera.clear()
    for name, words in (("palette", ""), ("palette-found", "s"), ("palette-commands", ">"), ("palette-unknown", "zz")):
        cove.palette.open_over(camera.window)
        QTest.keyClicks(cove.palette.field, words)
        camera.take(f"dialog-{name}")
        camera.clear()


def edit(camera: Camera) -> None:
    """Limits only; another command, which makes a new container; of a project; with a field that is wrong."""
    changes = (
        ("none", "sleeper", "sleep 100000", ""),
        ("limits", "limited", "sleep 100000", "128"),
        ("new", "sleeper", "sleep 5", "64"),
        ("project", "shop-web-1", "sleep 5", ""),
        ("long", LONG_CONTAINER, "sh -c 'sleep 5; exec sleep 100000'", ""),
        ("wrong", "limited", "sleep 100000", "much"),
    )
    camera.go("containers")
    for name, of, command, memory in changes:
        camera.cove.actions.ask("edit", [container(camera, of)])
        camera.until(lambda: bool(camera.dialogs()))
        [dialog] = camera.dialogs()
        assert isinstance(dialog, EditDialog)
        dialog.form.command.setText(command)
        dialog.form.memory.setText(memory)
        if name == "wrong":
            dialog.act.click()
        camera.take(f"dialog-edit-{name}")
        camera.clear()


def exchanges(camera: Camera) -> None:
    """Pull and push: asked for, and failed."""
    cove = camera.cove
    images = page(camera, ImagesPage, "images", "shop/web:2")
    camera.rest()
    [row] = [row for row in images.rows.items() if row.tag == "shop/web:2"]
    cove.parts.pulls.ask()
    camera.take("dialog-pull")
    camera.clear()
    images.do("push", [row])
    camera.take("dialog-push")
    camera.clear()
    starts: tuple[tuple[str, Callable[[], None]], ...] = (
        ("pull", lambda: cove.parts.pulls.start("registry.example/team/a-tool-with-a-long-name:9")),
        ("push", lambda: images._pushes.start(row.key, "127.0.0.1:1/shop/web:2")),
    )
    for name, start in starts:
        start()
        camera.until(lambda: any(toast.title for toast in camera.window.toasts.shown()))
        camera.take(f"dialog-{name}-failed")
        camera.clear()
    for key in ("tag", "save"):
        images.do(key, [row])
        camera.take(f"dialog-image-{key}")
        camera.clear()


def volumes(camera: Camera) -> None:
    """Import, also into a volume that exists; export; clone; rename, also of one in use and to a name that is taken."""
    shown = page(camera, VolumesPage, "volumes", LONG)
    camera.rest()
    by_name = {volume.name: volume for volume in shown.rows.items()}
    moving = shown._moving
    asks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("import-file", moving.ask_import),
        ("import", lambda: moving._ask_name(Path("/home/me/Backups/orders-of-2026-until-november.tar.zst"))),
        ("import-into", lambda: moving._ask_into(Path("/home/me/x.tar"), LONG)),
        ("export", lambda: shown.do("export", [by_name[LONG]])),
        ("clone", lambda: shown.do("clone", [by_name[LONG]])),
        ("rename", lambda: shown.do("rename", [by_name["spare-data"]])),
        ("rename-used", lambda: shown.do("rename", [by_name["data"]])),
        ("create", shown.create_button.click),
    )
    for name, ask in asks:
        ask()
        camera.take(f"dialog-volume-{name}")
        camera.clear()
    shown.do("rename", [by_name["spare-data"]])
    [dialog] = camera.dialogs()
    dialog.field.setText("data")  # type: ignore[attr-defined]  # OneField
    dialog.act.click()  # type: ignore[attr-defined]
    camera.take("dialog-volume-rename-taken")


def others(camera: Camera) -> None:
    """The crash dialog; a network's and a registry's; the bin's."""
    desk = camera.cove.parts.desk
    camera.go("containers")
    CrashDialog(desk, TRACE).open()
    camera.take("dialog-crash")
    camera.clear()
    page(camera, NetworksPage, "networks").create_button.click()
    camera.take("dialog-network-create")
    camera.clear()
    page(camera, RegistriesPage, "registries").log_in.click()
    camera.take("dialog-login")
    camera.clear()
    shown = page(camera, BinPage, "bin")
    camera.rest()
    entries = shown.rows.items()
    shown.do("rename", entries[:1])
    camera.take("dialog-bin-name")
    camera.clear()
    shown.do("delete", entries[:1])
    camera.take("dialog-bin-delete")
    camera.clear()
    shown.empty_button.click()
    camera.take("dialog-bin-empty")


# messages and work ---------------------------------------------------------------------------------------------------


def undo(camera: Camera) -> None:
    """What is told after deletions: with Undo, back again, and not back because the name is taken."""
    cove = camera.cove
    camera.go("containers")
    gone = container(camera, "done")
    cove.actions.ask("delete", [gone])
    confirm(camera)
    told(camera)
    camera.take("undo")
    camera.engine.docker("run", "-d", "--name", "done", IMAGE, "true")
    cove.undo.last()
    camera.until(lambda: any(message.state is State.PROBLEM for message in camera.window.toasts.shown()))
    camera.take("undo-refused")
    camera.engine.docker("rm", "-f", "done")
    with camera.engine.client() as client:
        bin.restore(client, gone.id)
    camera.clear()
    shown = page(camera, VolumesPage, "volumes")
    two = [v for v in shown.rows.items() if not v.in_use][:2]
    shown.do("delete", two)
    confirm(camera)
    told(camera)
    camera.take("undo-volumes")
    camera.clear()
    cove.undo.last()
    told(camera)
    camera.take("undone")
    camera.until(lambda: any(c.name == "done" for c in cove.model.containers()))


def confirm(camera: Camera) -> None:
    [question] = camera.dialogs()
    assert isinstance(question, Question)
    question.act.click()


def told(camera: Camera) -> None:
    camera.until(lambda: bool(camera.window.toasts.shown()))


def build(camera: Camera) -> None:
    """A project's build: at work, done, failed, and the steps of that; what bringing it up would change."""
    shown = page(camera, ComposePage, "compose", PROJECT)
    camera.rest()
    shown.card.build.click()
    camera.take("build-running")
    told(camera)
    camera.take("build-done")
    camera.clear()
    with failing_build(camera.engine):
        shown.card.build.click()
        told(camera)
        camera.take("build-failed")
        camera.window.toasts.shown()[0].actions[0][1]()
        camera.clear()
        camera.take("build-failed-steps")
    folder = project_folder(camera.engine)
    other = folder / "other.yaml"
    other.write_text(f"name: {PROJECT}\n" + COMPOSE_FILE.replace("sleep 100000", "sleep 200000") + OTHER)
    page(camera, ComposePage, "compose", PROJECT)._applying.open([other])
    camera.until(lambda: bool(camera.dialogs()))
    camera.take("dialog-bring-up")


def runs(camera: Camera) -> None:
    """The five steps, done and failed."""
    cove = camera.cove
    for name, wish in (
        ("done", RunWish(image=IMAGE, command="echo hello")),
        ("name-taken", RunWish(image=IMAGE, name="sleeper", command="sleep 5")),
        ("port-taken", RunWish(image=IMAGE, command="sleep 5", ports=[PortWish(host_port="8080", port="80")])),
        ("no-registry", RunWish(image="registry.example/team/a-tool-with-a-long-name:9")),
    ):
        run = cove.runs.start(wish)
        assert run is not None
        camera.until(lambda run=run: run.is_over)  # type: ignore[misc]
        camera.take(f"run-{name}")
        if run.container_id:
            camera.engine.docker("rm", "-f", run.container_id, check=False)


def lost(camera: Camera) -> None:
    """The pages while the engine does not answer."""
    pid = camera.engine.pid_of("cove-engine")
    camera.go("containers")
    os.kill(pid, signal.SIGSTOP)
    try:
        camera.until(lambda: not camera.cove.control.facts.phase.is_usable)
        for key in ("containers", "volumes", "bin", "cost"):
            camera.go(key)
            camera.take(f"lost-{key}")
    finally:
        os.kill(pid, signal.SIGCONT)
    camera.until(lambda: camera.cove.control.facts.phase.is_usable)


SCENES: Iterable[Callable[[Camera], None]] = (
    pages,
    tabs_of("sleeper"),
    cards,
    settings,
    files_of_a_volume,
    selection,
    menus,
    deletions,
    run_dialogs,
    edit,
    exchanges,
    volumes,
    others,
    undo,
    build,
    runs,
    lost,
)
ONCE: Iterable[Callable[[Camera], None]] = (tabs_of("failed"), tabs_of(LONG_CONTAINER))
