"""What is made from containers and images by the window's menus: names, images, tars; and what is killed."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from desktop.cli.platforms import architecture
from tests.support.engine import NativeEngine
from tests.support.registry import htpasswd
from tests.support.registry import registry as start_registry
from tests.ui.conftest import OpenWindow
from tests.ui.hands import LIMIT_MS

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


def test_an_image_is_pushed_under_the_name_that_is_asked_for(
    engine: NativeEngine, open_window: OpenWindow, registry: str
) -> None:
    name = f"{registry}/ui/pushed:3"
    window = open_window(engine)
    window.go("images")
    images = window.images
    images.wait_until_shown("busybox:latest")
    images.choose("busybox:latest")
    images.choose_more("Push…")
    assert any("to Docker Hub" in words for words in window.dialog_words())
    window.answer("Name at the registry", f"{registry}/ui/pushed@sha256:{'0' * 64}", "Push")
    assert "A digest cannot be pushed; name a tag." in window.dialog_words()
    try:
        window.answer("Name at the registry", name, "Push")
        window.wait_until_told(f"{name} was pushed")
        images.wait_until_shown(name)
        engine.docker("rmi", name)
        assert "Downloaded newer image" in engine.docker("pull", name).stdout
    finally:
        engine.docker("rmi", name, check=False)


def test_a_push_that_the_registry_refuses_says_why_and_leads_to_the_logins(
    engine: NativeEngine, open_window: OpenWindow, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with start_registry(tmp_path, auth=htpasswd(tmp_path / "users", ann="secret")) as guarded:
        name = f"{guarded}/ui/refused:1"
        engine.docker("tag", "busybox", name)
        window = open_window(engine)
        try:
            window.go("images")
            window.images.wait_until_shown(name)
            window.images.choose(name)
            window.images.choose_more("Push…")
            window.press("Push")
            qtbot.waitUntil(lambda: any("basic auth" in text for text in window.dialog_texts()), timeout=LIMIT_MS)
            window.press("Close")
            window.press_in_message("Show registries")
            assert window.page == "registries"
        finally:
            engine.docker("rmi", name, check=False)


def test_the_platforms_of_an_image_say_which_are_here(
    engine: NativeEngine, open_window: OpenWindow, registry: str, busybox_tar: Path, qtbot: QtBot
) -> None:
    other = "arm64" if architecture() == "amd64" else "amd64"
    own, foreign, both = (f"{registry}/ui/{name}:1" for name in ("own", "foreign", "both"))
    engine.docker("tag", "busybox", own)
    engine.docker("import", "--platform", f"linux/{other}", str(busybox_tar), foreign)
    for name in (own, foreign):
        engine.docker("push", name)
    engine.cove("manifest", "create", "--insecure", both, own, foreign)
    engine.cove("manifest", "push", "--insecure", both)
    engine.docker("rmi", own, foreign)
    engine.docker("pull", both)
    try:
        window = open_window(engine)
        window.go("images")
        window.images.wait_until_shown(both)
        window.images.choose(both)
        window.images.choose_tab("Platforms")
        qtbot.waitUntil(lambda: len(window.images.platforms()) == 2, timeout=LIMIT_MS)
        said = window.images.platforms()
        assert said[f"linux/{architecture()}"].startswith("here, ")
        assert said[f"linux/{other}"] == "at its registry, not here"
    finally:
        engine.docker("rmi", both, check=False)
