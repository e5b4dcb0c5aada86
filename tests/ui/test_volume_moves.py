"""Volumes as a whole: their files, exported, imported, cloned, renamed, by mouse and keyboard."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

FILL = "mkdir /v/deep; echo first line > /v/deep/text; echo top > /v/top; chown 7:8 /v/top"
NAMES = ("mv-data", "mv-copy", "mv-late", "mv-in")


@pytest.fixture
def filled(engine: NativeEngine) -> Iterator[str]:
    """A volume with files; it and those that tests make of it are removed after the test."""
    engine.docker("run", "--rm", "-v", f"{NAMES[0]}:/v", "busybox:latest", "sh", "-c", FILL)
    yield NAMES[0]
    engine.docker("volume", "rm", "-f", *NAMES)


def content(engine: NativeEngine, name: str) -> str:
    look = "cat /v/deep/text /v/top; stat -c %u:%g /v/top"
    return engine.docker("run", "--rm", "-v", f"{name}:/v", "busybox:latest", "sh", "-c", look).stdout


def names(engine: NativeEngine) -> set[str]:
    return set(engine.docker("volume", "ls", "-q").stdout.split()) & set(NAMES)


def test_the_files_of_a_volume_are_looked_at_fetched_and_put(
    engine: NativeEngine, open_window: OpenWindow, filled: str, tmp_path: Path
) -> None:
    window = open_window(engine)
    page = window.volumes
    window.go("volumes")
    page.wait_until_shown(filled)
    page.choose(filled)
    page.wait_until_in_folder("/", "deep", "top")
    page.choose_file("top")
    page.wait_until_previewed("top")
    page.press_in_files("Download")
    window.save_as(tmp_path / "top")
    assert (tmp_path / "top").read_text() == "top\n"
    page.open_file("deep")
    page.wait_until_in_folder("/deep", "text")
    (tmp_path / "put").write_text("from here")
    page.press_in_files("Upload")
    window.choose_file(tmp_path / "put")
    page.wait_until_in_folder("/deep", "put", "text")
    page.choose_file("put")
    page.wait_until_previewed("from here")
    window.go("images")
    engine.docker("run", "--rm", "-v", f"{filled}:/v", "busybox:latest", "touch", "/v/later")
    window.go("volumes")
    page.wait_until_in_folder("/", "later")
    assert engine.docker("ps", "-aq", "--filter", f"volume={filled}").stdout == ""


def test_a_volume_is_exported_and_imported_under_another_name(
    engine: NativeEngine, open_window: OpenWindow, filled: str, tmp_path: Path
) -> None:
    wanted = content(engine, filled)
    window = open_window(engine)
    page = window.volumes
    window.go("volumes")
    page.wait_until_shown(filled)
    page.choose(filled)
    page.choose_more("Export…")
    file = tmp_path / "mv-in.tar"
    window.save_as(file)
    window.wait_until_told(f"Volume {filled} was exported to mv-in.tar")
    with tarfile.open(file) as tar:
        assert {name.removeprefix("./") for name in tar.getnames()} >= {"deep", "deep/text", "top"}
    page.press_button("Import")
    window.choose_file(file)
    window.press("Import")  # the name comes from the file's
    window.wait_until_told("Volume mv-in was imported")
    page.wait_until_shown("mv-in")
    assert content(engine, "mv-in") == wanted
    page.press_button("Import")
    window.choose_file(file)
    window.press("Import")
    window.wait_until_asked()
    assert "Import into volume mv-in, which exists?" in window.dialog_words()
    window.press("Keep it")
    late = tmp_path / "mv-copy.tar"
    file.rename(late)
    page.press_button("Import")
    window.choose_file(late)
    engine.docker("volume", "create", "mv-copy")  # which the window's list does not have yet
    window.press("Import")
    window.wait_until_asked()
    assert "Import into volume mv-copy, which exists?" in window.dialog_words()
    window.press("Import into mv-copy")
    window.wait_until_told("Volume mv-copy was imported")
    assert content(engine, "mv-copy") == wanted
    engine.docker("volume", "rm", "mv-copy")
    broken = tmp_path / "mv-late.tar"
    broken.write_bytes(b"?" * 2000)
    page.press_button("Import")
    window.choose_file(broken)
    window.press("Import")
    window.wait_until_told("Volume mv-late was not imported")
    assert names(engine) == {filled, "mv-in"}, "nothing half-made is left"


def test_a_volume_is_cloned_and_renamed_unless_a_container_has_it(
    engine: NativeEngine, open_window: OpenWindow, filled: str, named: Callable[..., str]
) -> None:
    wanted = content(engine, filled)
    window = open_window(engine)
    page = window.volumes
    window.go("volumes")
    page.wait_until_shown(filled)
    page.choose(filled)
    page.press_on_card("Clone…")
    window.answer("New name", filled, "Clone")
    assert window.has_dialog, "that is the volume itself"
    window.answer("New name", "mv-copy", "Clone")
    window.wait_until_told(f"mv-copy is a copy of volume {filled}")
    page.wait_until_shown("mv-copy")
    assert content(engine, "mv-copy") == wanted
    page.choose("mv-copy")
    page.press(Qt.Key.Key_F2)
    window.answer("New name", filled, "Rename")
    assert f"Volume {filled} exists already." in window.dialog_words()
    window.answer("New name", "mv-late", "Rename")
    page.wait_until_shown("mv-late")
    assert names(engine) == {filled, "mv-late"}
    assert content(engine, "mv-late") == wanted
    named("mv-owner", "true", flags=("-v", "mv-late:/d"))
    page.wait_until_says("mv-late", "mv-owner")
    page.choose("mv-late")
    page.press(Qt.Key.Key_F2)
    assert "Volume mv-late is in use" in window.dialog_words()
    window.press("Close")
    assert "mv-late" in names(engine)
