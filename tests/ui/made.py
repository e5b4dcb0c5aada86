"""The pages of the window, made when they are first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from desktop.ui.activity.page import ActivityPage as ActivityView
from desktop.ui.bin.page import BinPage as BinView
from desktop.ui.builds.page import BuildsPage as BuildsView
from desktop.ui.compose.page import ComposePage as ComposeView
from desktop.ui.containers.detail import DetailPage as DetailView
from desktop.ui.containers.page import ContainersPage as ContainersView
from desktop.ui.cost.page import CostPage as CostView
from desktop.ui.images.page import ImagesPage as ImagesView
from desktop.ui.kit.page import Page
from desktop.ui.networks.page import NetworksPage as NetworksView
from desktop.ui.registries.page import RegistriesPage as RegistriesView
from desktop.ui.run.page import RunPage as RunView
from desktop.ui.settings.page import SettingsPage as SettingsView
from desktop.ui.shell.app import Cove
from desktop.ui.troubleshoot.page import TroubleshootPage as TroubleshootView
from desktop.ui.volumes.page import VolumesPage as VolumesView

P = TypeVar("P", bound=Page)
KEYS: Mapping[type[Page], str] = {
    ContainersView: "containers",
    DetailView: "container",
    RunView: "run",
    ImagesView: "images",
    VolumesView: "volumes",
    BinView: "bin",
    ComposeView: "compose",
    TroubleshootView: "troubleshoot",
    SettingsView: "settings",
    RegistriesView: "registries",
    BuildsView: "builds",
    NetworksView: "networks",
    ActivityView: "activity",
    CostView: "cost",
}


def made(cove: Cove, kind: type[P]) -> P:
    """The page of that class, which is made now if nobody has been there."""
    page = cove.window.page(KEYS[kind])
    assert isinstance(page, kind)
    return page
