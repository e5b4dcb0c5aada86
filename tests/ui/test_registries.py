"""The Registries page on real registries: its logins are those of `cove login` and docker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from tests.support.description import conforms
from tests.support.engine import NativeEngine, native_engine
from tests.support.registry import htpasswd
from tests.support.registry import registry as start_registry
from tests.support.sockets import free_port
from tests.ui.conftest import OpenWindow
from tests.ui.hands import LIMIT_MS
from tests.ui.held import held
from tests.ui.window import Window
from vmagent.images.hosts import RegistryHosts

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture
def docker_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """docker's configuration of the test's own, on a machine without a keyring."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return tmp_path / "docker" / "config.json"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A real registry that lets in ann, whose password is secret."""
    with start_registry(tmp_path, auth=htpasswd(tmp_path / "users", ann="secret")) as address:
        yield address


def kept(file: Path) -> set[str]:
    return set(json.loads(file.read_text())["auths"]) if file.exists() else set()


def fill_in(window: Window, address: str, password: str) -> None:
    fields = {"User": "ann", "Password or access token": password}
    window.answer("Registry, e.g. ghcr.io; empty: Docker Hub", address, "Log in", fields)


def test_a_login_is_refused_or_kept_and_removed(
    engine: NativeEngine, open_window: OpenWindow, docker_file: Path, guarded: str, qtbot: QtBot
) -> None:
    window = open_window(engine)
    window.go("registries")
    page = window.registries
    page.wait_until_says("no logins")
    page.press("Log in…")
    fill_in(window, guarded, "wrong")
    qtbot.waitUntil(lambda: any("401 Unauthorized" in text for text in window.dialog_words()), timeout=LIMIT_MS)
    assert kept(docker_file) == set()
    fill_in(window, guarded, "secret")
    qtbot.waitUntil(lambda: not window.has_dialog, timeout=LIMIT_MS)
    page.wait_until_says("1 login")
    page.wait_until_says("ann")
    assert kept(docker_file) == {guarded}
    assert f"unencrypted in {docker_file}" in page.texts()
    assert not any("secret" in text for text in window.texts())
    assert engine.cove("login", guarded).stdout.startswith("Authenticating with existing credentials")

    page.press(f"Log out of {guarded}")
    assert f"Log out of {guarded}?" in window.dialog_words()
    window.press("Stay logged in")
    assert kept(docker_file) == {guarded}
    page.press(f"Log out of {guarded}")
    window.press("Log out")
    page.wait_until_says("no logins")
    assert kept(docker_file) == set()


def test_a_login_whose_dialog_was_closed_too_early_is_told(
    engine: NativeEngine, open_window: OpenWindow, docker_file: Path, guarded: str, qtbot: QtBot
) -> None:
    window = open_window(engine)
    window.go("registries")
    window.registries.wait_until_says("no logins")
    with held(guarded) as (address, _asked, go_on):
        for password, title in (("secret", "Logged in"), ("wrong", "Not logged in")):
            window.registries.press("Log in…")
            fill_in(window, address, password)
            window.press("Cancel")
            qtbot.waitUntil(lambda: not window.has_dialog, timeout=LIMIT_MS)
            go_on.set()
            window.wait_until_told(title)
            go_on.clear()
    assert kept(docker_file) == {address}


def test_tab_goes_through_the_page_as_it_is_read(
    engine: NativeEngine, open_window: OpenWindow, docker_file: Path, guarded: str
) -> None:
    engine.cove("login", "-u", "ann", "-p", "secret", guarded)
    window = open_window(engine)
    window.go("registries")
    window.registries.wait_until_says("1 login")
    assert window.registries.tab_stops() == [
        "Log in",
        "Logins, a test, and what the engine has",
        f"Test {guarded}",
        f"Log out of {guarded}",
        "Registry, e.g. ghcr.io; empty: Docker Hub",
        "Test",
    ]


def test_a_registry_is_tested_with_and_without_a_login(
    engine: NativeEngine, open_window: OpenWindow, docker_file: Path, guarded: str, tmp_path: Path
) -> None:
    window = open_window(engine)
    window.go("registries")
    page = window.registries
    page.wait_until_read()
    page.test(guarded)
    page.wait_until_says("no basic auth credentials")
    engine.cove("login", "-u", "ann", "-p", "secret", guarded)
    page.test(guarded)
    page.wait_until_says(f"{guarded} answers, and lets your login in.")
    (tmp_path / "open").mkdir()
    with start_registry(tmp_path / "open") as everybodys:
        page.test(everybodys)
        page.wait_until_says(f"{everybodys} answers, and lets anybody in.")
    nobody = f"127.0.0.1:{free_port()}"
    page.test(nobody)
    page.wait_until_says("connection refused")


def test_what_the_engine_has_for_registries_is_shown(open_window: OpenWindow, docker_file: Path) -> None:
    flags = ("--insecure-registry=plain.example:5000", "--insecure-registry=10.9.0.0/16")
    with native_engine(*flags, "--registry-mirror=https://mirror.example") as engine:
        with engine.client() as client:
            told = client.json_object("GET", "/cove/v1/registries")
        conforms(told, "GET", "/cove/v1/registries", 200)
        info = engine.docker("info").stdout
        for line in ("plain.example:5000", "10.9.0.0/16", "https://mirror.example/"):
            assert line in info
        window = open_window(engine)
        window.go("registries")
        window.registries.wait_until_says("plain.example:5000")
        assert {"10.9.0.0/16", "https://mirror.example"} <= set(window.registries.texts())


def test_certificates_are_listed_by_registry(tmp_path: Path) -> None:
    first, second = tmp_path / "docker", tmp_path / "cove"
    for file in (
        first / "a.example:5000" / "ca.crt",
        second / "a.example:5000" / "own.cert",
        second / "b.example" / "x",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    hosts = RegistryHosts(certificates=(first, second, tmp_path / "absent"))
    assert hosts.certified() == [
        {"host": "a.example:5000", "files": [f"{first}/a.example:5000/ca.crt", f"{second}/a.example:5000/own.cert"]},
        {"host": "b.example", "files": [f"{second}/b.example/x"]},
    ]
