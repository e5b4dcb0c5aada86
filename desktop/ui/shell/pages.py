"""All pages of the window, in one table: window, sidebar, palette, shortcuts and tests read it.

A new page is a package of its own and one entry here. Its code is loaded when the page is made: most starts see few.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from desktop.ui.containers.page import ContainersPage
from desktop.ui.kit.page import Command, Page, Place
from desktop.ui.kit.words import tr
from desktop.ui.run.options import RunWish
from desktop.ui.shell.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSpec:
    """One page. `title` is translated where it is shown. A page with a `parent` has no entry in the sidebar: the
    parent's is marked. `commands` are its entries in the palette. `gap` leaves room above the entry; `foot` puts it to
    the sidebar's lower end. A `whole` one takes the place of sidebar and bars, too."""

    key: str
    title: str
    icon: str
    make: Callable[[Parts], Page]
    commands: Callable[[Parts], Sequence[Command]] = lambda _parts: ()
    parent: str = ""
    gap: bool = False
    foot: bool = False
    whole: bool = False


def _containers(parts: Parts) -> Page:
    page = ContainersPage(parts.desk, parts.containers, parts.container_actions, parts.session)
    page.run_asked.connect(lambda image: parts.runs.start(RunWish(image=image)) if image else parts.runs.ask_image(""))
    page.retry_asked.connect(parts.control.retry)
    page.sight_changed.connect(parts.sight_changed)
    parts.control.facts_changed.connect(page.show_facts)
    page.show_facts(parts.control.facts)
    return page


def _container(parts: Parts) -> Page:
    from desktop.ui.containers.detail import DetailPage

    page = DetailPage(parts.desk, parts.containers, parts.container_actions, parts.session)
    page.tab_changed.connect(lambda tab: parts.note_place(Place("container", page.container_id, tab)))
    return page


def _run(parts: Parts) -> Page:
    from desktop.ui.run.page import RunPage

    page = RunPage(parts.desk, parts.session, parts.containers, parts.runs)
    page.options_asked.connect(parts.runs.ask)
    page.again_asked.connect(parts.runs.start)

    def delete(container_id: str) -> None:
        if container := parts.containers.container(container_id):
            parts.container_actions.ask("delete", [container])

    page.delete_asked.connect(delete)
    return page


def _images(parts: Parts) -> Page:
    from desktop.ui.images.page import ImagesPage

    page = ImagesPage(parts.desk, parts.session, parts.images, parts.containers, parts.pulls, parts.undo)
    page.run_asked.connect(parts.runs.ask_image)
    parts.control.facts_changed.connect(lambda facts: page.pull.setEnabled(facts.phase.is_usable))
    page.pull.setEnabled(parts.control.facts.phase.is_usable)
    return page


def _image_commands(parts: Parts) -> Sequence[Command]:
    return (Command(tr("Pull an image…"), "download-simple", parts.pulls.ask),)


def _compose(parts: Parts) -> Page:
    from desktop.ui.compose.page import ComposePage

    return ComposePage(parts.desk, parts.session, parts.containers, parts.container_actions)


def _volumes(parts: Parts) -> Page:
    from desktop.ui.volumes.page import VolumesPage

    return VolumesPage(parts.desk, parts.session, parts.volumes, parts.containers, parts.undo)


def _volume_commands(parts: Parts) -> Sequence[Command]:
    from desktop.ui.volumes.actions import VolumeActions

    create = VolumeActions(parts.desk, parts.session, parts.undo).ask_create
    return (Command(tr("Create a volume…"), "plus", create),)


def _bin(parts: Parts) -> Page:
    from desktop.ui.bin.page import BinPage

    return BinPage(parts.desk, parts.session, parts.undo)


def _bin_commands(parts: Parts) -> Sequence[Command]:
    return (
        Command(tr("Undo the last deletion"), "arrow-counter-clockwise", parts.undo.last),
        Command(tr("Show the bin"), "trash", lambda: parts.desk.go(Place("bin"))),
    )


def _networks(parts: Parts) -> Page:
    from desktop.ui.networks.page import NetworksPage

    page = NetworksPage(parts.desk, parts.session, parts.networks, parts.containers)
    page.sight_changed.connect(parts.sight_changed)
    return page


def _network_commands(parts: Parts) -> Sequence[Command]:
    from desktop.ui.networks.actions import NetworkActions

    return (Command(tr("Create a network…"), "plus", NetworkActions(parts.desk, parts.session).ask_create),)


def _builds(parts: Parts) -> Page:
    from desktop.ui.builds.page import BuildsPage

    return BuildsPage(parts.desk, parts.session)


def _registries(parts: Parts) -> Page:
    from desktop.ui.registries.page import RegistriesPage

    return RegistriesPage(parts.desk, parts.session, os.environ)


def _activity(parts: Parts) -> Page:
    from desktop.ui.activity.page import ActivityPage

    return ActivityPage(parts.desk, parts.activity)


def _cost(parts: Parts) -> Page:
    from desktop.ui.cost.page import CostPage

    page = CostPage(parts.desk, parts.session, parts.containers, lambda: parts.images.unused_bytes)
    parts.control.facts_changed.connect(page.show_facts)
    page.show_facts(parts.control.facts)
    return page


def _troubleshoot(parts: Parts) -> Page:
    from desktop.ui.troubleshoot.page import TroubleshootPage

    page = TroubleshootPage(parts.desk, parts.session, parts.context, parts.paths)
    page.found.connect(lambda bad: parts.set_count("troubleshoot", bad))
    return page


def _settings(parts: Parts) -> Page:
    from desktop.ui.settings.page import SettingsPage

    page = SettingsPage(parts.desk, parts.settings, parts.context, parts.containers)
    page.restart_asked.connect(lambda: parts.control.ask("restart"))
    parts.control.facts_changed.connect(page.show_facts)
    page.show_facts(parts.control.facts)
    return page


def _welcome(parts: Parts) -> Page:
    from desktop.ui.welcome.page import WelcomePage

    specs = [spec_of(key) for key in ("images", "compose", "settings", "troubleshoot")]
    pages = [(spec.key, tr(spec.title)) for spec in specs]
    page = WelcomePage(
        parts.desk, parts.session, parts.containers, parts.runs, parts.settings, parts.context, parts.paths, HOME, pages
    )
    page.retry_asked.connect(lambda: parts.control.retry(True))
    page.finished.connect(parts.desk.go)
    parts.control.facts_changed.connect(page.show_facts)
    page.show_facts(parts.control.facts)
    return page


def _welcome_commands(parts: Parts) -> Sequence[Command]:
    return (Command(tr("Show the welcome"), "info", lambda: parts.desk.go(WELCOME)),)


PAGES: Final = (
    PageSpec(key="containers", title="Containers", icon="cube", make=_containers),
    PageSpec(key="container", title="Container", icon="cube", make=_container, parent="containers"),
    PageSpec(key="run", title="Run", icon="play", make=_run, parent="containers"),
    PageSpec(key="compose", title="Compose", icon="squares-four", make=_compose),
    PageSpec(key="images", title="Images", icon="stack", make=_images, commands=_image_commands),
    PageSpec(key="volumes", title="Volumes", icon="database", make=_volumes, commands=_volume_commands),
    PageSpec(key="bin", title="Bin", icon="trash", make=_bin, commands=_bin_commands, parent="volumes"),
    PageSpec(key="networks", title="Networks", icon="share-network", make=_networks, commands=_network_commands),
    PageSpec(key="builds", title="Builds", icon="wrench", make=_builds, gap=True),
    PageSpec(key="registries", title="Registries", icon="archive-box", make=_registries),
    PageSpec(key="activity", title="Activity", icon="activity", make=_activity, gap=True),
    PageSpec(key="cost", title="Cost", icon="scales", make=_cost),
    PageSpec(key="troubleshoot", title="Troubleshoot", icon="first-aid-kit", make=_troubleshoot, foot=True),
    PageSpec(key="settings", title="Settings", icon="gear-six", make=_settings, foot=True),
    PageSpec(
        key="welcome", title="Welcome", icon="info", make=_welcome, commands=_welcome_commands, parent="containers",
        whole=True,
    ),
)  # fmt: skip
HOME: Final = Place("containers")
WELCOME: Final = Place("welcome")


def in_sidebar() -> tuple[PageSpec, ...]:
    return tuple(spec for spec in PAGES if not spec.parent)


def spec_of(key: str) -> PageSpec:
    return next(spec for spec in PAGES if spec.key == key)
