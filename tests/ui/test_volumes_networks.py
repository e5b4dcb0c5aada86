"""Volumes and networks: the lists follow the engine, and nothing is deleted that a dialog did not name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import Qt

from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow
from tests.ui.hands import CONTROL
from tests.ui.window import Window

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture
def volume(engine: NativeEngine) -> Iterator[Callable[[str], str]]:
    """Create a volume with the docker CLI; all of them are removed after the test."""
    made: list[str] = []

    def create(name: str) -> str:
        made.append(name)
        engine.docker("volume", "create", name)
        return name

    yield create
    for name in made:
        engine.docker("volume", "rm", "-f", name, check=False)


def volumes_of(engine: NativeEngine) -> set[str]:
    return set(engine.docker("volume", "ls", "-q").stdout.split())


def networks_of(engine: NativeEngine) -> set[str]:
    return set(engine.docker("network", "ls", "--format", "{{.Name}}").stdout.split())


def test_a_volume_shows_its_size_and_its_users_and_follows_the_engine(
    engine: NativeEngine, open_window: OpenWindow, volume: Callable[[str], str], named: Callable[..., str]
) -> None:
    volume("ui-data")
    named("ui-writer", "sh", "-c", "dd if=/dev/zero of=/d/x bs=1000 count=3000; sleep 1000", flags=("-v", "ui-data:/d"))
    window = open_window(engine)
    page = window.volumes
    window.go("volumes")
    page.wait_until_says("ui-data", "ui-writer")
    page.wait_until_measured("ui-data", 3_000_000)
    engine.docker("rm", "-f", "ui-writer")
    page.wait_until_says("ui-data", "nobody")
    page.choose_segment("In use")
    assert "ui-data" not in page.names()
    page.choose_segment("All")
    engine.docker("volume", "rm", "ui-data")
    page.wait_until_gone("ui-data")


def test_what_changed_behind_a_hidden_window_is_there_when_it_is_shown(
    engine: NativeEngine, open_window: OpenWindow, volume: Callable[[str], str], named: Callable[..., str]
) -> None:
    volume("ui-late")
    window = open_window(engine)
    window.go("volumes")
    window.volumes.wait_until_says("ui-late", "nobody")
    window.hide()
    named("ui-unseen", "true", flags=("-v", "ui-late:/d"))
    window.containers.wait_until_says("ui-unseen", "Exited 0")
    window.show()
    window.volumes.wait_until_says("ui-late", "ui-unseen")


def test_a_volume_is_created_and_deleted_by_the_dialog_that_names_it(
    engine: NativeEngine, open_window: OpenWindow, volume: Callable[[str], str]
) -> None:
    volume("ui-first")
    window = open_window(engine)
    page = window.volumes
    window.go("volumes")
    page.wait_until_shown("ui-first")
    page.press_button("Create volume")
    window.answer("Name", "no spaces here", "Create")
    assert window.has_dialog, "a name that the engine would refuse is refused at once"
    window.answer("Name", "ui-new", "Create")
    page.wait_until_shown("ui-new")
    assert "ui-new" in volumes_of(engine)
    page.choose("ui-new")
    page.press(Qt.Key.Key_Delete)
    assert "Delete volume ui-new?" in window.dialog_words()
    window.press("Keep it")
    assert "ui-new" in volumes_of(engine)
    page.press(Qt.Key.Key_Delete)
    window.press("Delete ui-new")
    page.wait_until_gone("ui-new")
    assert "ui-new" not in volumes_of(engine)


def test_a_used_volume_is_kept_and_the_dialog_says_who_has_it(
    engine: NativeEngine, open_window: OpenWindow, volume: Callable[[str], str], named: Callable[..., str]
) -> None:
    volume("ui-used")
    named("ui-owner", "true", flags=("-v", "ui-used:/d"))
    volume("ui-free")
    volume("ui-hidden")
    window = open_window(engine)
    page = window.volumes
    window.go("volumes")
    page.wait_until_says("ui-used", "ui-owner")
    page.choose("ui-used")
    page.press(Qt.Key.Key_Delete)
    assert "Volume ui-used is in use" in window.dialog_words()
    window.press("Close")
    page.filter("ui-")
    page.check("ui-used", "ui-free")
    assert page.bulk_text == "2 selected"
    page.press_in_bar("Delete")
    assert "Delete volume ui-free?" in window.dialog_words()
    assert any("ui-used stays" in words for words in window.dialog_words())
    window.press("Delete ui-free")
    page.wait_until_gone("ui-free")
    assert {"ui-used", "ui-hidden"} <= volumes_of(engine)


def ask_to_delete_all(window: Window, filtered: str, *, first: str, last_made: str) -> None:
    """Filter the volumes once `last_made` is shown, choose all that are left, of which `first` is one, and press
    Delete."""
    page = window.volumes
    window.go("volumes")
    page.wait_until_shown(last_made)
    page.filter(filtered)
    page.choose(first)
    page.press(Qt.Key.Key_A, CONTROL)
    page.press(Qt.Key.Key_Delete)


def test_select_all_and_delete_take_only_the_volumes_in_sight(
    engine: NativeEngine, open_window: OpenWindow, volume: Callable[[str], str]
) -> None:
    for name in ("ui-a1", "ui-a2", "ui-b1"):
        volume(name)
    window = open_window(engine)
    page = window.volumes
    ask_to_delete_all(window, "ui-a", first="ui-a1", last_made="ui-b1")
    assert "Delete 2 volumes?" in window.dialog_words()
    window.press("Delete 2 volumes")
    page.wait_until_gone("ui-a2")
    page.filter("")
    page.wait_until_shown("ui-b1")
    assert volumes_of(engine) & {"ui-a1", "ui-a2", "ui-b1"} == {"ui-b1"}


def test_the_question_names_all_that_would_be_deleted(
    engine: NativeEngine, open_window: OpenWindow, volume: Callable[[str], str]
) -> None:
    names = {volume(f"ui-many-{number}") for number in range(40)}
    window = open_window(engine)
    ask_to_delete_all(window, "ui-many", first="ui-many-0", last_made="ui-many-39")
    said = window.dialog_words()
    assert "Delete 40 volumes?" in said
    listed = [set(words.split(", ")) for words in said if words.startswith("ui-many-")]
    assert listed == [names], said
    window.press("Keep them")


def test_a_clean_up_of_volumes_deletes_what_is_ticked_and_nothing_else(
    engine: NativeEngine, open_window: OpenWindow, volume: Callable[[str], str]
) -> None:
    for name in ("ui-keep", "ui-go"):
        volume(name)
    anonymous = engine.docker("volume", "create").stdout.strip()
    window = open_window(engine)
    page = window.volumes
    window.go("volumes")
    page.wait_until_shown("ui-go")
    page.wait_until_shown(anonymous[:12])
    page.press_button("Clean up")
    assert {"ui-keep", "ui-go", anonymous[:12]} <= set(window.ticks())
    assert any("can be brought back from the bin" in words for words in window.dialog_words())
    assert "This cannot be undone." not in window.dialog_words()
    assert [name for name, on in window.ticks().items() if on and name.startswith("ui-")] == []
    for name, on in window.ticks().items():
        if on != (name in ("ui-go", anonymous[:12])):
            window.tick(name)
    window.press_verb("Delete 2 volumes")
    page.wait_until_gone("ui-go")
    page.wait_until_gone(anonymous[:12])
    assert "ui-keep" in volumes_of(engine)
    assert anonymous not in volumes_of(engine)


def test_a_network_is_created_joined_left_and_deleted(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-member", "sleep", "1000")
    window = open_window(engine)
    page = window.networks
    window.go("networks")
    page.show_list()
    page.press_button("Create network")
    window.answer("Name", "ui-net", "Create", {"Subnet, e.g. 172.30.0.0/24; empty: the engine chooses": "10.77.1.0/33"})
    assert window.has_dialog, "that is no subnet"
    window.answer("Name", "ui-net", "Create", {"Subnet, e.g. 172.30.0.0/24; empty: the engine chooses": "10.77.1.0/24"})
    page.wait_until_shown("ui-net")
    try:
        assert "10.77.1.0/24" in page.row("ui-net")
        page.choose("ui-net")
        page.join("ui-member")
        page.wait_until_says("ui-net", "ui-member")
        page.wait_until_member("ui-member", "10.77.1.2")
        page.choose_tab("Inspect")
        page.wait_until_inspected("ui-member")
        page.choose_tab("Containers")
        page.choose("ui-net")
        page.press(Qt.Key.Key_Delete)
        assert "Network ui-net has containers" in window.dialog_words()
        window.press("Close")
        page.leave("ui-member")
        page.wait_until_says("ui-net", "nobody")
        assert "ui-net" not in engine.docker("inspect", "ui-member").stdout
        page.choose("ui-net")
        page.press(Qt.Key.Key_Delete)
        window.press("Delete ui-net")
        page.wait_until_gone("ui-net")
        assert "ui-net" not in networks_of(engine)
    finally:
        engine.docker("network", "rm", "-f", "ui-net", check=False)


def test_the_engines_own_networks_are_never_offered_for_deletion(engine: NativeEngine, open_window: OpenWindow) -> None:
    engine.docker("network", "create", "ui-own")
    try:
        window = open_window(engine)
        page = window.networks
        window.go("networks")
        page.show_list()
        page.wait_until_shown("ui-own")
        page.press_button("Clean up")
        assert set(window.ticks()) & {"bridge", "host", "none", "ui-own"} == {"ui-own"}
        window.press("Cancel")
        page.choose("bridge")
        page.press(Qt.Key.Key_A, CONTROL)
        page.press(Qt.Key.Key_Delete)
        assert "Delete network ui-own?" in window.dialog_words()
        window.press("Delete ui-own")
        page.wait_until_gone("ui-own")
        assert {"bridge", "host", "none"} <= networks_of(engine)
    finally:
        engine.docker("network", "rm", "-f", "ui-own", check=False)
