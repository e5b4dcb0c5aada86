"""Controls that other tests do not use: each does what its label says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from PySide6.QtCore import QObject, Qt, QUrl, Slot
from PySide6.QtGui import QDesktopServices

from desktop.client.engine import ApiError
from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow
from tests.ui.hands import CONTROL

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


class Browser(QObject):
    """Records the addresses that the desktop would open."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    @Slot(QUrl)
    def take(self, url: QUrl) -> None:
        self.opened.append(url.toString())


@pytest.fixture
def browser() -> Iterator[Browser]:
    browser = Browser()
    QDesktopServices.setUrlHandler("http", browser, "take")  # type: ignore[arg-type]  # the stub says bytes
    yield browser
    QDesktopServices.unsetUrlHandler("http")


@pytest.fixture
def image(engine: NativeEngine, busybox_tar: Path) -> Iterator[str]:
    """An image that only this test uses, so that it can be deleted."""
    name = "ui-image:1"
    engine.docker("import", "-c", "ENV PATH=/bin", str(busybox_tar), name)
    yield name
    with suppress(ApiError), engine.client() as client:
        client.image_remove(name, force=True)


def test_the_activity_filter_keeps_one_kind(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    window = open_window(engine)
    named("ui-seen", "true")
    window.go("activity")
    window.activity.wait_until_happened("ui-seen started")
    engine.docker("volume", "create", "ui-volume")
    engine.docker("volume", "rm", "ui-volume")
    window.activity.wait_until_happened("ui-volume was deleted")
    window.activity.choose_segment("Volumes")
    assert "ui-volume was deleted" in window.activity.lines()
    assert "ui-seen started" not in window.activity.lines()
    window.activity.choose_segment("Containers")
    assert "ui-seen started" in window.activity.lines()
    assert "ui-volume was deleted" not in window.activity.lines()


def test_del_on_an_image_asks_and_deletes(engine: NativeEngine, open_window: OpenWindow, image: str) -> None:
    window = open_window(engine)
    window.go("images")
    window.images.wait_until_shown(image)
    window.images.choose(image)
    window.images.press(Qt.Key.Key_Delete)
    assert f"Delete image {image}?" in window.dialog_words()
    window.press("Delete image")
    window.images.wait_until_gone(image)
    assert image not in engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()


def test_an_image_of_a_running_container_is_not_offered_for_deletion(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], image: str
) -> None:
    named("ui-user", "sleep", "1000", image=image)
    window = open_window(engine)
    window.containers.wait_until_says("ui-user", "running")
    window.go("images")
    window.images.wait_until_used(image)
    window.images.choose(image)
    window.images.press(Qt.Key.Key_Delete)
    assert f"Image {image} is in use" in window.dialog_words()
    assert any(words.startswith("ui-user runs from it.") for words in window.dialog_words())
    window.press("Show ui-user")
    assert window.page == "container"
    assert window.container.name == "ui-user"


def test_an_image_of_a_stopped_container_is_deleted_only_with_the_box_ticked(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], image: str
) -> None:
    named("ui-user", "true", image=image)
    window = open_window(engine)
    window.containers.wait_until_says("ui-user", "Exited 0")
    window.go("images")
    window.images.wait_until_used(image)
    window.images.choose(image)
    window.images.press(Qt.Key.Key_Delete)
    window.press("Delete image")
    window.wait_until_told(f"{image} was not deleted")
    window.images.press(Qt.Key.Key_Delete)
    window.press("Delete it even if stopped containers use it")
    window.press("Delete image")
    window.images.wait_until_gone(image)


def test_back_and_forward(engine: NativeEngine, open_window: OpenWindow) -> None:
    window = open_window(engine)
    window.go("images")
    window.go("activity")
    window.press_button("Back")
    assert window.page == "images"
    window.key(Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert window.page == "containers"
    window.press_button("Forward")
    assert window.page == "images"


def test_a_port_is_opened_in_the_row_by_its_key_in_the_menu_and_on_the_page(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], browser: Browser
) -> None:
    named("ui-port", "sleep", "1000", flags=("-p", "127.0.0.1:18474:80"))
    address = "http://127.0.0.1:18474"
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-port", "running")
    page.click("ui-port", "port")
    assert browser.opened == [address]
    page.press_on("ui-port", Qt.Key.Key_O, CONTROL)
    assert browser.opened == [address] * 2
    page.menu_on("ui-port")
    page.choose("Open 18474")
    assert browser.opened == [address] * 3
    page.click("ui-port", "port", modifiers=CONTROL)
    assert window.clipboard == "127.0.0.1:18474"
    window.open_container("ui-port", "logs").click_port(18474)
    assert browser.opened == [address] * 4
