"""What pages are made of: the models and actions that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from desktop.context import Context
from desktop.paths import HostPaths
from desktop.ui.activity.model import ActivityModel
from desktop.ui.bin.undo import Undo
from desktop.ui.containers.actions import ContainerActions
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.collection import Collection
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.settings import SettingsFeed
from desktop.ui.images.model import ImageModel
from desktop.ui.images.pulls import Pulls
from desktop.ui.kit.page import Desk, Place
from desktop.ui.networks.model import Network
from desktop.ui.run.runs import Runs
from desktop.ui.shell.engine_control import EngineControl
from desktop.ui.volumes.model import Volume


@dataclass(frozen=True, slots=True)
class Parts:
    """One engine's models and actions. `sight_changed()`: other rows are visible, and their usage is wanted.
    `note_place(place)`: the page shown has changed its tab. `set_count(page, n)`: beside its name in the sidebar."""

    context: Context
    paths: HostPaths
    desk: Desk
    session: EngineSession
    control: EngineControl
    undo: Undo
    containers: ContainerModel
    container_actions: ContainerActions
    images: ImageModel
    volumes: Collection[Volume]
    networks: Collection[Network]
    activity: ActivityModel
    runs: Runs
    pulls: Pulls
    sight_changed: Callable[[], None]
    note_place: Callable[[Place], None]
    settings: SettingsFeed
    set_count: Callable[[str, int], None]
