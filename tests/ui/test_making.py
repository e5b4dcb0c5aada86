"""What is made from containers and images by the window's menus: names, images, tars; and what is killed."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def test_a_container_is_renamed_made_an_image_of_exported_and_killed(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], tmp_path: Path
) -> None:
    named("ui-made", "sh", "-c", "trap '' TERM; echo mine > /made; while :; do sleep 0.1; done")
    window = open_window(engine)
    list_page = window.containers
    list_page.wait_until_says("ui-made", "running")
    try:
        list_page.menu_on("ui-made")
        list_page.choose("Rename…")
        window.answer("Name", "x", "Rename")
        assert any("two at least" in words for words in window.dialog_words())
        window.answer("Name", "ui-renamed", "Rename")
        list_page.wait_until_says("ui-renamed", "running")
        list_page.menu_on("ui-renamed")
        list_page.choose("Make an image of it…")
        window.answer("Name of the image", "ui-own:2", "Make image")
        window.wait_until_told("Image ui-own:2 was made")
        assert engine.docker("run", "--rm", "ui-own:2", "cat", "/made").stdout == "mine\n"
        page = window.open_container("ui-renamed", "overview")
        page.choose_more("Export its files…")
        window.save_as(tmp_path / "all.tar")
        window.wait_until_told("ui-renamed was exported")
        with tarfile.open(tmp_path / "all.tar") as tar:
            assert "made" in tar.getnames()
        page.choose_more("Kill…")
        assert "Kill ui-renamed?" in window.dialog_words()
        window.press("Kill ui-renamed")
        list_page.wait_until_says("ui-renamed", "Stopped, by force")
    finally:
        engine.docker("rm", "-f", "ui-renamed", check=False)
        engine.docker("rmi", "ui-own:2", check=False)


def test_an_image_gets_a_name_is_saved_and_loaded(
    engine: NativeEngine, open_window: OpenWindow, tmp_path: Path
) -> None:
    window = open_window(engine)
    window.go("images")
    images = window.images
    images.wait_until_shown("busybox:latest")
    images.choose("busybox:latest")
    images.choose_more("Add a name…")
    window.answer("Name of the image", "Bad Name", "Add the name")
    assert any("invalid reference" in words.lower() for words in window.dialog_words())
    window.answer("Name of the image", "ui-named:7", "Add the name")
    images.wait_until_shown("ui-named:7")
    images.choose("ui-named:7")
    images.choose_more("Save…")
    window.save_as(tmp_path / "saved.tar")
    window.wait_until_told("ui-named:7: saved")
    engine.docker("rmi", "ui-named:7")
    images.wait_until_gone("ui-named:7")
    images.press_button("Load")
    window.choose_file(tmp_path / "saved.tar")
    images.wait_until_shown("ui-named:7")
    (tmp_path / "bad.tar").write_bytes(b"no tar" * 1000)
    images.press_button("Load")
    window.choose_file(tmp_path / "bad.tar")
    window.wait_until_told("bad.tar was not loaded")
    engine.docker("rmi", "ui-named:7")
