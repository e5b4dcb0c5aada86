"""The Settings page: each control changes what `cove config get` says, and shows what `cove config set` has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from desktop.client.http import Endpoint
from desktop.context import VM, Context
from desktop.paths import host_paths
from desktop.settings.store import Store
from desktop.settings.table import SETTINGS
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.container import Container
from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.feed.settings import SettingsFeed
from desktop.ui.feed.workers import Workers
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.page import Desk
from desktop.ui.kit.tasks import Tasks
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.toasts import Toasts
from desktop.ui.settings.page import SettingsPage as SettingsView
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.ui.conftest import OpenWindow
from tests.ui.hands import LIMIT_MS
from tests.ui.settings import SettingsPage

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)
MB = 1 << 20


def default(name: str) -> int:
    """What counts on this machine without a value."""
    value = SETTINGS[name].default(Store(host_paths({"COVE_HOME": "/no/such"}, "linux"), {}).machine())
    assert isinstance(value, int)
    return value


def running(cpus: int) -> EngineFacts:
    memory = default("vm.memory_mb") * MB
    return EngineFacts(phase=EnginePhase.RUNNING, kind="vm", cpus=cpus, memory_bytes=memory, accelerator="tcg")


class Config:
    """`cove config` on a home of the test's own."""

    def __init__(self, home: Path, qtbot: QtBot) -> None:
        self._home, self._qtbot = home, qtbot

    def cove(self, *args: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("cove"), "config", *args],
            env={**os.environ, "COVE_HOME": str(self._home), "COVE_WARM": "0"},
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        return (done.stdout or done.stderr).strip()

    def wait_until(self, name: str, value: str) -> None:
        """Wait until `cove config get NAME` says it."""
        seen = ""

        def look() -> bool:
            nonlocal seen
            seen = self.cove("get", name)
            return seen == value

        try:
            self._qtbot.waitUntil(look, timeout=LIMIT_MS)
        except Exception as e:
            raise AssertionError(f"{name} is {seen!r}, not {value!r}") from e


@pytest.fixture
def config(tmp_path: Path, qtbot: QtBot) -> Config:
    return Config(tmp_path / "home", qtbot)


@pytest.fixture
def vm_view(theme: Theme, icons: Icons, qtbot: QtBot, tmp_path: Path) -> Iterator[SettingsView]:
    """The page as a window on a VM has it, beside a VM of the default size that runs one container."""
    workers = Workers()
    paths = host_paths({"COVE_HOME": str(tmp_path / "home")}, "linux")
    window = QWidget()
    window.resize(1000, 700)
    toasts = Toasts(theme, icons, window)
    desk = Desk(theme, icons, window, toasts, Tasks(toasts), lambda _place: None)
    model = ContainerModel()
    model.load([Container(id="a" * 64, name="web", image="busybox", status="running")])
    feed = SettingsFeed(Store(paths, os.environ), workers)
    page = SettingsView(desk, feed, Context(VM, Endpoint.local(paths.engine_socket), "test"), model, window)
    page.resize(window.size())
    page.show_facts(running(default("vm.cpus")))
    page.show_place("", "")
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=LIMIT_MS)
    yield page
    feed.close()
    workers.close()
    window.close()
    window.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def vm_page(vm_view: SettingsView, qtbot: QtBot) -> SettingsPage:
    page = SettingsPage(vm_view, qtbot)
    page.wait_until_read()
    return page


def test_every_setting_has_a_card_with_its_name(vm_page: SettingsPage) -> None:
    assert vm_page.names() == SETTINGS.keys()
    for name in SETTINGS:
        assert name in vm_page.labels(name)


def test_a_number_is_what_cove_config_has(vm_page: SettingsPage, config: Config) -> None:
    vm_page.type("vm.cpus", "1")
    config.wait_until("vm.cpus", "1")
    vm_page.type("vm.save_after_minutes", "2.5")
    config.wait_until("vm.save_after_minutes", "2.5")
    vm_page.press("vm.save_after_minutes", "Use the default")
    config.wait_until("vm.save_after_minutes", "vm.save_after_minutes is not set")
    vm_page.wait_until_shown("vm.save_after_minutes", "5")
    config.cove("set", "vm.memory_mb", "1500")
    vm_page.wait_until_shown("vm.memory_mb", "1500")


def test_a_wrong_value_gets_a_sentence_and_is_not_kept(vm_page: SettingsPage, config: Config) -> None:
    for name, text, words in (
        ("vm.cpus", "many", "A whole number from 1 to 255 is meant."),
        ("vm.memory_mb", "9999999", "This computer has "),
        ("vm.disk_gb", "0", "A whole number from 1 to"),
        ("proxies.http", "ftp://proxy", "A URL is meant, as http://proxy.example:3128."),
        ("certificates", "authorities", "The absolute path of a folder below / is meant, not authorities."),
    ):
        vm_page.type(name, text)
        vm_page.wait_until_refused(name, words)
        assert config.cove("get", name) == f"{name} is not set"
    vm_page.type("vm.cpus", "1")
    config.wait_until("vm.cpus", "1")
    vm_page.wait_until_right("vm.cpus")


def test_a_disk_is_not_made_smaller(vm_page: SettingsPage, config: Config, tmp_path: Path) -> None:
    disk = tmp_path / "home" / "vm" / "data.qcow2"
    disk.parent.mkdir(parents=True)
    disk.write_bytes(b"QFI\xfb" + bytes(20) + (70 << 30).to_bytes(8, "big"))
    vm_page.type("vm.disk_gb", "65")
    vm_page.wait_until_refused("vm.disk_gb", "The disk has 70 GB already, and never shrinks.")
    assert "the disk has 70 GB already" in config.cove("set", "vm.disk_gb", "65")
    vm_page.type("vm.disk_gb", "80")
    config.wait_until("vm.disk_gb", "80")
    vm_page.wait_until_waiting("Disk 70 GB to 80 GB")


def test_sliders_switches_and_words(vm_page: SettingsPage, config: Config) -> None:
    vm_page.slide("vm.memory_mb", Qt.Key.Key_Home)
    config.wait_until("vm.memory_mb", "384")
    vm_page.press("ports.host_network", "Ports of --network host")
    config.wait_until("ports.host_network", "false")
    vm_page.press("ports.publish", "all")
    config.wait_until("ports.publish", "all")
    vm_page.press("vm.accelerator", "kvm")
    config.wait_until("vm.accelerator", "kvm")
    vm_page.press("vm.accelerator", "best")
    config.wait_until("vm.accelerator", "vm.accelerator is not set")


def test_folders_are_added_and_removed(vm_page: SettingsPage, config: Config, tmp_path: Path) -> None:
    home = str(Path.home())
    vm_page.add_folder("relative")
    vm_page.wait_until_refused("folders.shared", "The absolute path of a folder below / is meant, not relative.")
    vm_page.add_folder(str(tmp_path))
    config.wait_until("folders.shared", f"{home},{tmp_path}")
    vm_page.wait_until_says("folders.shared", str(tmp_path))
    vm_page.add_folder("/no/such")
    config.wait_until("folders.shared", f"{home},{tmp_path},/no/such")
    vm_page.wait_until_says("folders.shared", "There is no such folder now.")
    vm_page.press("folders.shared", f"Remove {home}")
    config.wait_until("folders.shared", f"{tmp_path},/no/such")


def test_a_reading_leaves_the_folder_that_is_being_typed(vm_page: SettingsPage, config: Config, tmp_path: Path) -> None:
    vm_page.begin_folder(str(Path.home()))  # which is shared already: the path of a folder in it is being typed
    config.cove("set", "vm.cpus", "1")
    vm_page.wait_until_read_as("vm.cpus", 1)
    assert vm_page.new_folder == str(Path.home())


def test_a_reading_leaves_what_is_selected_to_be_typed_over(
    vm_page: SettingsPage, vm_view: SettingsView, config: Config, qtbot: QtBot
) -> None:
    vm_page.type("proxies.https", "proxy.example:3128")
    config.wait_until("proxies.https", "proxy.example:3128")
    vm_page.wait_until_read_as("proxies.https", "proxy.example:3128")
    vm_page.select("proxies.https")
    config.cove("set", "vm.cpus", "1")
    vm_page.wait_until_read_as("vm.cpus", 1)
    vm_page.type_over("proxies.https", "other.example:1")
    config.wait_until("proxies.https", "other.example:1")
    vm_page.wait_until_read_as("proxies.https", "other.example:1")
    vm_page.select("proxies.https")
    config.cove("set", "proxies.https", "third.example:2")
    vm_page.wait_until_shown("proxies.https", "third.example:2")
    vm_page.type_over("proxies.https", "fourth.example:3")
    config.wait_until("proxies.https", "fourth.example:3")


def test_a_number_that_counts_already_is_shown_as_it_is_kept(vm_page: SettingsPage, config: Config) -> None:
    vm_page.type("vm.save_after_minutes", "7")
    config.wait_until("vm.save_after_minutes", "7")
    vm_page.type("vm.save_after_minutes", "07")
    vm_page.wait_until_shown("vm.save_after_minutes", "7")


def test_a_refused_folder_stays_in_the_field(vm_page: SettingsPage, config: Config, tmp_path: Path) -> None:
    vm_page.add_folder("relative")
    vm_page.wait_until_refused("folders.shared", "The absolute path of a folder below / is meant, not relative.")
    assert vm_page.new_folder == "relative"
    vm_page.add_folder(str(tmp_path))
    vm_page.wait_until_says("folders.shared", str(tmp_path))
    assert vm_page.new_folder == ""


def test_a_broken_file_is_told_until_it_can_be_read(vm_page: SettingsPage, config: Config, tmp_path: Path) -> None:
    vm_page.type("vm.save_after_minutes", "7")
    config.wait_until("vm.save_after_minutes", "7")
    file = tmp_path / "home" / "config.json"
    whole = file.read_text()
    file.write_text("{")
    vm_page.wait_until_waiting("The settings cannot be read.")
    file.write_text(whole)
    vm_page.wait_until_nothing_waits()


def test_a_click_on_a_slider_that_moves_nothing_sets_nothing(
    vm_page: SettingsPage, vm_view: SettingsView, config: Config
) -> None:
    vm_page.click_handle("vm.memory_mb")
    vm_page.slide("vm.cpus", Qt.Key.Key_Home)
    vm_page.type("vm.save_after_minutes", "7")
    config.wait_until("vm.save_after_minutes", "7")
    assert config.cove("get", "vm.memory_mb") == "vm.memory_mb is not set"


def test_proxies_and_certificates(vm_page: SettingsPage, config: Config, tmp_path: Path) -> None:
    vm_page.type("proxies.https", "proxy.example:3128")
    config.wait_until("proxies.https", "proxy.example:3128")
    vm_page.type("proxies.https", "")
    config.wait_until("proxies.https", "proxies.https is not set")
    vm_page.type("certificates", str(tmp_path))
    config.wait_until("certificates", str(tmp_path))


def test_what_needs_a_restart_says_so_and_offers_it(
    vm_page: SettingsPage, vm_view: SettingsView, config: Config, qtbot: QtBot
) -> None:
    before = default("vm.cpus")
    assert vm_page.waiting == ""
    vm_page.type("vm.cpus", str(before + 1))
    vm_page.wait_until_waiting(
        f"CPUs {before} to {before + 1}: after a restart of the VM. 1 container runs in it and is stopped first."
    )
    vm_view.containers.put([Container(id="b" * 64, name="db", image="busybox", status="running")])
    vm_page.wait_until_waiting("2 containers run in it and are stopped first.")
    with qtbot.waitSignal(vm_view.restart_asked):
        vm_page.press_restart()
    vm_view.show_facts(running(before + 1))
    vm_page.wait_until_nothing_waits()


def test_theme_and_zoom_follow_the_page_and_the_command_line(
    engine: NativeEngine, open_window: OpenWindow, theme: Theme, config: Config, qtbot: QtBot
) -> None:
    window = open_window(engine)
    window.go("settings")
    page = window.settings
    page.wait_until_read()
    page.press("window.theme", "dark")
    config.wait_until("window.theme", "dark")
    qtbot.waitUntil(lambda: theme.scheme == "dark", timeout=LIMIT_MS)
    page.slide("window.zoom", Qt.Key.Key_Right)
    config.wait_until("window.zoom", "1")
    qtbot.waitUntil(lambda: theme.zoom == 1, timeout=LIMIT_MS)
    config.cove("set", "window.theme", "light")
    config.cove("set", "window.zoom", "-1")
    qtbot.waitUntil(lambda: (theme.scheme, theme.zoom) == ("light", -1), timeout=LIMIT_MS)
    page.wait_until_shown("window.zoom", "-1")


def test_an_engine_without_a_vm_has_no_settings_of_a_vm(
    engine: NativeEngine, open_window: OpenWindow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: Config
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    window = open_window(engine)
    window.go("settings")
    page = window.settings
    page.wait_until_read()
    assert page.names() == {name for name, setting in SETTINGS.items() if not setting.for_vm}
    assert any("runs without a virtual machine" in text for text in window.texts())


def test_start_at_login_is_the_desktops_own_entry(
    engine: NativeEngine, open_window: OpenWindow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: Config
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    entry = tmp_path / "xdg" / "autostart" / "cove.desktop"
    window = open_window(engine)
    window.go("settings")
    page = window.settings
    page.wait_until_read()
    page.press("start_at_login", "Start Cove at login")
    config.wait_until("start_at_login", "true")
    assert f"Exec={Path(sys.executable).with_name('cove-desktop')} --background\n" in entry.read_text()
    config.cove("set", "start_at_login", "false")
    assert not entry.exists()


def test_every_control_is_named_and_reached_by_tab_as_it_is_read(vm_page: SettingsPage) -> None:
    expected = {
        "General": ["vm", "Start Cove at login", "desktop", "Size of the text", "Size of the text", "desktop"],
        "Resources": ["CPUs", "CPUs", "Memory", "Memory", "Disk", "Rest when idle", "best"],
        "Shared folders": [f"Remove {Path.home()}", "Add the path of a folder", "Add", "Choose"],
        "Network": ["loopback", "Ports of --network host"],
        "Proxies": ["For http://", "For https://", "Without a proxy"],
        "Certificates": ["Certificate authorities", "Choose"],
    }
    for group, stops in expected.items():
        vm_page.choose_group(group)
        assert vm_page.tab_stops() == [group, *stops, group]  # the scrolled column, its cards, and the group's button
    vm_page.type("vm.memory_mb", "400")
    vm_page.wait_until_waiting("Memory")
    vm_page.choose_group("Network")
    assert vm_page.tab_stops() == ["Network", *expected["Network"], "Restart the VM", "Network"]
