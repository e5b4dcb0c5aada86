"""What is deleted in the window is brought back: by the message's Undo, by Ctrl+Z, and from the bin."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import Qt

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.ui.conftest import OpenWindow
from tests.ui.hands import CONTROL

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

WRITE = "echo mine > /own; exec sleep 1000"


@pytest.fixture
def empty_bin(engine: NativeEngine) -> Iterator[None]:
    """The bin of the session's engine is empty before and after."""
    engine.cove("bin", "empty", "-f")
    yield
    engine.cove("bin", "empty", "-f")


def ids(engine: NativeEngine) -> dict[str, str]:
    lines = engine.docker("ps", "-a", "--no-trunc", "--format", "{{.Names}} {{.ID}}").stdout.splitlines()
    return dict(line.split(" ") for line in lines if line.startswith("un-"))


def own(engine: NativeEngine, name: str) -> str:
    return engine.docker("cp", f"{name}:/own", "-").stdout


@pytest.mark.usefixtures("empty_bin")
def test_deleted_containers_come_back_by_undo_and_by_ctrl_z(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    for name in ("un-a", "un-b"):
        named(name, "sh", "-c", WRITE)
    before = ids(engine)
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("un-a", "running")
    page.wait_until_says("un-b", "running")
    page.menu_on("un-a")
    page.choose("Delete…")
    assert any("brought back from the bin for 24 hours" in words for words in window.dialog_words())
    window.press("Delete un-a")
    window.wait_until_told("un-a was deleted")
    assert set(ids(engine)) == {"un-b"}
    window.press_in_message("Undo")
    window.wait_until_told("un-a: back again")
    page.wait_until_says("un-a", "Stopped")
    assert ids(engine) == before
    assert "mine" in own(engine, "un-a")
    page.filter("un-")
    page.check("un-a", "un-b")
    page.press_on("un-a", Qt.Key.Key_Delete)
    window.press("Delete 2 containers")
    window.wait_until_told("2 were deleted")
    assert ids(engine) == {}
    window.key(Qt.Key.Key_Z, CONTROL)
    window.wait_until_told("un-a, un-b: back again")
    page.wait_until_says("un-b", "Stopped")
    assert ids(engine) == before


@pytest.mark.usefixtures("empty_bin")
def test_a_container_whose_name_is_taken_comes_back_under_another_one(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("un-a", "sh", "-c", WRITE)
    [container] = ids(engine).values()
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("un-a", "running")
    page.menu_on("un-a")
    page.choose("Delete…")
    window.press("Delete un-a")
    window.wait_until_told("un-a was deleted")
    named("un-a", "true")
    window.press_in_message("Undo")
    window.wait_until_told("un-a was not brought back")
    assert any("there is a container un-a now" in fact.lower() for fact in window.message_facts())
    window.press_in_message("Another name…")
    window.answer("Name", "un-c", "Bring it back")
    page.wait_until_says("un-c", "Stopped")
    assert ids(engine)["un-c"] == container
    engine.docker("rm", "un-c")


@pytest.mark.usefixtures("empty_bin")
def test_of_several_those_that_can_come_back_do_and_the_others_are_named(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    wanted = ("un-a", "un-b", "un-c", "un-d")
    for name in wanted:
        named(name, "sh", "-c", WRITE)
    engine.docker("rm", "-f", "un-a")
    named("un-a", "sh", "-c", WRITE, flags=("--network", "container:un-b"))  # so it needs un-b, which comes later
    window = open_window(engine)
    page = window.containers
    for name in wanted:
        page.wait_until_says(name, "running")
    page.filter("un-")
    page.check(*wanted)
    page.press_on("un-a", Qt.Key.Key_Delete)
    window.press("Delete 4 containers")
    window.wait_until_told("4 were deleted")
    engine.cove("bin", "rm", "un-c")
    named("un-d", "true")
    window.key(Qt.Key.Key_Z, CONTROL)
    window.wait_until_told("un-a, un-b: back again")
    window.wait_until_told("2 were not brought back")
    assert "4 were deleted" not in window.toasts(), "its Undo is done"
    facts = " ".join(window.message_facts())
    assert "un-c: It is no longer in the bin" in facts
    assert "un-d: There is a container un-d now" in facts
    page.wait_until_says("un-a", "Stopped")
    assert ids(engine).keys() == {"un-a", "un-b", "un-d"}


def test_an_undo_that_the_engine_does_not_answer_is_tried_again(
    open_window: OpenWindow, own_engine: NativeEngine
) -> None:
    for name in ("un-a", "un-b"):
        own_engine.docker("run", "-d", "--name", name, "busybox", "sh", "-c", WRITE)
    window = open_window(own_engine)
    page = window.containers
    for name in ("un-a", "un-b"):
        page.wait_until_says(name, "running")
    page.filter("un-")
    page.check("un-a", "un-b")
    page.press_on("un-a", Qt.Key.Key_Delete)
    window.press("Delete 2 containers")
    window.wait_until_told("2 were deleted")
    assert own_engine.process is not None
    own_engine.process.terminate()
    own_engine.process.wait(HANG_S)
    window.wait_until_lost()
    window.key(Qt.Key.Key_Z, CONTROL)
    window.wait_until_told("2 were not brought back")
    own_engine.start()
    window.wait_until_connected()
    window.press_in_message("Try again")
    window.wait_until_told("un-a, un-b: back again")
    assert ids(own_engine).keys() == {"un-a", "un-b"}


@pytest.mark.usefixtures("empty_bin")
def test_the_bin_brings_back_and_deletes_for_good_what_is_chosen(engine: NativeEngine, open_window: OpenWindow) -> None:
    for name in ("un-v1", "un-v2", "un-v3", "un-v4"):
        engine.docker("run", "--rm", "-v", f"{name}:/v", "busybox:latest", "sh", "-c", f"echo {name} > /v/own")

    def volumes() -> set[str]:
        return {name for name in engine.docker("volume", "ls", "-q").stdout.split() if name.startswith("un-")}

    engine.docker("volume", "create", "stays")

    window = open_window(engine)
    page, bin_page = window.volumes, window.bin
    window.go("volumes")
    page.wait_until_shown("un-v4")
    page.filter("un-")
    page.choose("un-v1")
    page.press(Qt.Key.Key_A, CONTROL)
    page.press(Qt.Key.Key_Delete)
    window.press("Delete 4 volumes")
    window.wait_until_told("4 were deleted")
    assert volumes() == set()
    page.wait_until_bin_has(4)
    page.press_button("Bin 4")
    assert window.page == "bin"
    bin_page.wait_until_shown("un-v4")
    bin_page.choose("un-v1")
    bin_page.press(Qt.Key.Key_Return)
    window.wait_until_told("un-v1: back again")
    bin_page.wait_until_gone("un-v1")
    assert volumes() == {"un-v1"}
    bin_page.menu_on("un-v2")
    bin_page.choose_in_menu("Bring back under another name…")
    window.answer("Name", "un-other", "Bring it back")
    bin_page.wait_until_gone("un-v2")
    assert engine.docker("run", "--rm", "-v", "un-other:/v", "busybox:latest", "cat", "/v/own").stdout == "un-v2\n"
    bin_page.choose("un-v3")
    bin_page.press(Qt.Key.Key_Delete)
    assert "Delete un-v3 for good?" in window.dialog_words()
    window.press("Keep it")
    assert "un-v3" in engine.cove("bin", "ls").stdout
    bin_page.press(Qt.Key.Key_Delete)
    window.press("Delete un-v3")
    bin_page.wait_until_gone("un-v3")
    bin_page.press_button("Empty the bin…")
    window.press("Delete un-v4")
    bin_page.wait_until_gone("un-v4")
    assert engine.cove("bin", "ls", "-q").stdout == ""
    assert volumes() == {"un-v1", "un-other"}
    engine.docker("volume", "rm", "un-v1", "un-other", "stays")


@pytest.mark.usefixtures("empty_bin")
def test_the_palette_undoes_and_shows_the_bin(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("un-a", "sh", "-c", WRITE)
    before = ids(engine)
    window = open_window(engine)
    window.containers.wait_until_says("un-a", "running")
    window.containers.menu_on("un-a")
    window.containers.choose("Delete…")
    window.press("Delete un-a")
    window.wait_until_told("un-a was deleted")
    for text, key in (("Show the bin", "bin"), ("Undo the last deletion", "bin")):
        window.key(Qt.Key.Key_K, CONTROL)
        window.palette.type(f">{text}")
        window.palette.press(Qt.Key.Key_Return)
        assert window.page == key
    window.wait_until_told("un-a: back again")
    assert ids(engine) == before


def test_deleted_images_come_back_by_undo_by_ctrl_z_and_from_the_bin(
    engine: NativeEngine, open_window: OpenWindow
) -> None:
    def tags() -> dict[str, str]:
        told = engine.docker("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").stdout
        return {name: image for name, image in (line.split() for line in told.splitlines()) if name.startswith("un-")}

    for name in ("un-one:1", "un-two:1"):
        engine.docker("import", "-c", f"LABEL of={name}", "-", name, input="\0" * 10240)
    engine.docker("tag", "un-two:1", "un-two:2")
    before = tags()
    assert len(set(before.values())) == 2
    try:
        window = open_window(engine)
        page = window.images
        window.go("images")
        page.wait_until_shown("un-one:1")
        page.choose("un-one:1")
        page.press(Qt.Key.Key_Delete)
        assert any("brought back from the bin for 24 hours" in words for words in window.dialog_words())
        window.press("Delete image")
        window.wait_until_told("un-one:1 was deleted")
        page.wait_until_gone("un-one:1")
        assert "un-one:1" not in tags()
        window.press_in_message("Undo")
        window.wait_until_told("un-one:1: back again")
        page.wait_until_shown("un-one:1")
        assert tags() == before
        page.filter("un-")
        page.check("un-one:1", "un-two:1", "un-two:2")
        page.press_in_bar("Delete")
        window.press("Delete 3 images")
        window.wait_until_told("3 were deleted")
        assert tags() == {}
        window.key(Qt.Key.Key_Z, CONTROL)
        window.wait_until_told("un-one:1, un-two:1, un-two:2: back again")
        assert tags() == before
        page.filter("")
        page.wait_until_shown("un-one:1")
        page.choose("un-one:1")
        page.press(Qt.Key.Key_Delete)
        window.press("Delete image")
        page.wait_until_gone("un-one:1")
        engine.docker("tag", "un-two:1", "un-one:1")
        window.palette.type("Show the bin")
        window.palette.press(Qt.Key.Key_Return)
        window.bin.wait_until_shown("un-one:1")
        window.bin.choose_segment("Images")
        window.bin.choose("un-one:1")
        window.bin.press(Qt.Key.Key_Return)
        window.wait_until_told("un-one:1 was not brought back")
        window.press_in_message("Another name…")
        window.answer("Name", "un-one:old", "Bring it back")
        window.bin.wait_until_gone("un-one:1")
        assert tags()["un-one:old"] == before["un-one:1"]
    finally:
        engine.cove("bin", "empty", "-f")
        engine.docker("rmi", "-f", *tags(), check=False)
