"""The images of a project's services, built from its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

FILE = """\
name: ui-made
services:
  web: {build: web, init: true, command: sleep 1000}
  db: {build: db, init: true, command: sleep 1000}
  plain: {image: busybox, init: true, command: sleep 1000}
"""
DOCKERFILE = "FROM busybox\nRUN echo one > /made\n"


@pytest.fixture
def made(own_engine: NativeEngine, tmp_path: Path) -> Iterator[Path]:
    """The folder of a project of which two services are built; nothing of it is there yet."""
    folder = tmp_path / "project"
    for service in ("web", "db"):
        (folder / service).mkdir(parents=True)
        (folder / service / "Dockerfile").write_text(DOCKERFILE)
    (folder / "compose.yaml").write_text(FILE)
    yield folder
    own_engine.cove("compose", "-p", "ui-made", "down", "-t", "0", "--remove-orphans")


def content(engine: NativeEngine, service: str) -> str:
    return engine.docker("exec", f"ui-made-{service}-1", "cat", "/made").stdout


def test_a_project_that_is_opened_is_built_first(own_engine: NativeEngine, open_window: OpenWindow, made: Path) -> None:
    window = open_window(own_engine)
    window.go("compose")
    window.compose.drop(made / "compose.yaml")
    window.wait_until_asked()
    assert "ui-made-web-1 is made: there is none; ui-made-web is built" in " ".join(window.dialog_words())
    window.press("Bring up ui-made")
    window.wait_until_told("Project ui-made is up")
    window.compose.wait_until_says("ui-made", "3 of 3 running")
    assert [content(own_engine, service) for service in ("web", "db")] == ["one\n", "one\n"]


def test_a_build_that_fails_on_the_way_up_is_told_with_its_line(
    own_engine: NativeEngine, open_window: OpenWindow, made: Path
) -> None:
    (made / "db" / "Dockerfile").write_text(DOCKERFILE + "RUN cat /missing\n")
    window = open_window(own_engine)
    window.go("compose")
    window.compose.drop(made / "compose.yaml")
    window.wait_until_asked()
    window.press("Bring up ui-made")
    window.wait_until_told("Project ui-made was not brought up")
    assert any("(Dockerfile:3)" in fact for fact in window.message_facts()), window.message_facts()
    window.press_in_message("Show the build")
    assert window.page == "builds"
    window.builds.wait_until_marked("RUN cat /missing")


def test_images_are_built_by_the_button_and_containers_get_them_by_an_up(
    own_engine: NativeEngine, open_window: OpenWindow, made: Path
) -> None:
    own_engine.cove("compose", "up", "-d", cwd=made)
    (made / "web" / "Dockerfile").write_text(DOCKERFILE.replace("one", "two"))
    window = open_window(own_engine)
    page = window.open_project("ui-made", "3 of 3 running")
    page.press_button("Build")
    window.wait_until_told("ui-made is built")
    assert "New images: db, web. Containers get them when the project is brought up." in window.message_facts()
    assert content(own_engine, "web") == "one\n"
    window.press_in_message("Bring up…")
    window.wait_until_asked()
    words = " ".join(window.dialog_words())
    assert "ui-made-web-1 is made anew: ui-made-web is another image now" in words
    assert "ui-made-db-1" not in words
    window.press("Bring up ui-made")
    window.wait_until_told("Project ui-made is up")
    assert content(own_engine, "web") == "two\n"


def test_a_build_is_followed_and_its_failing_line_is_told(
    own_engine: NativeEngine, open_window: OpenWindow, made: Path
) -> None:
    own_engine.cove("compose", "up", "-d", cwd=made)
    (made / "db" / "Dockerfile").write_text(DOCKERFILE + "# the next one fails\nRUN cat /missing\n")
    window = open_window(own_engine)
    page = window.open_project("ui-made", "3 of 3 running")
    page.choose_in_menu_by_keys("Build")
    window.wait_until_told("ui-made was not built")
    (fact,) = [fact for fact in window.message_facts() if "db" in fact]
    assert "Step 3/3 : RUN cat /missing" in fact, fact
    assert "(Dockerfile:4)" in fact, fact
    window.press_in_message("Show the build")
    assert window.page == "builds"
    window.builds.wait_until_marked("RUN cat /missing")
    assert page.names() == ["ui-made"]


def test_a_build_in_progress_tells_its_step_and_ends_with_a_cancel(
    own_engine: NativeEngine, open_window: OpenWindow, made: Path
) -> None:
    own_engine.cove("compose", "up", "-d", cwd=made)
    (made / "db" / "Dockerfile").write_text(DOCKERFILE + "RUN sleep 1000\n")
    window = open_window(own_engine)
    page = window.open_project("ui-made", "3 of 3 running")
    page.press_button("Build")
    window.wait_until_busy("db 3/3")
    window.click_task()
    assert window.page == "builds"
    window.builds.wait_until_shown("ui-made-db")
    window.builds.choose("ui-made-db")
    window.builds.press_button("Cancel")
    window.wait_until_told("ui-made was not built")


def test_nothing_is_built_where_no_service_has_a_build(
    own_engine: NativeEngine, open_window: OpenWindow, made: Path
) -> None:
    (made / "compose.yaml").write_text("\n".join(FILE.splitlines()[:2] + FILE.splitlines()[-1:]) + "\n")
    own_engine.cove("compose", "up", "-d", cwd=made)
    window = open_window(own_engine)
    page = window.open_project("ui-made", "1 of 1 running")
    page.press_button("Build")
    window.wait_until_told("Nothing of ui-made is built")
