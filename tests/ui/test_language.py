"""The window in another language than English."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop.ui.kit.language import install
from desktop.ui.kit.theme import Theme
from desktop.ui.shell.pages import in_sidebar
from tests.project.languages import FOLDER, read
from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow
from tests.ui.hands import LIMIT_MS
from tests.ui.window import TABS

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture
def german(qapp: QApplication) -> Iterator[set[str]]:
    """Installs German; gives the English texts that have another form in it and no fields to be filled in."""
    catalogues = install(qapp, "de")
    assert len(catalogues) == 2, "Qt's own texts and Cove's"
    messages = read(FOLDER / "de.ts")
    yield {
        text.words for text, message in messages.items() if "{" not in text.words and text.words not in message.forms
    }
    for catalogue in catalogues:
        qapp.removeTranslator(catalogue)


def test_no_page_says_anything_in_english(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], german: set[str], qtbot: QtBot
) -> None:
    named("ui-lang", "sh", "-c", "echo line; sleep 1000")
    window = open_window(engine)
    for spec in in_sidebar():
        window.go(spec.key)
        assert not sorted(german & set(window.texts())), spec.key
    for tab in TABS:
        window.open_container("ui-lang", tab)
        if tab == "overview":
            qtbot.waitUntil(lambda: "Nein" in window.texts(), timeout=LIMIT_MS)  # its facts come after the tab
        assert not sorted(german & set(window.texts())), tab
    window.go("containers")
    assert "Container" in window.texts()


@pytest.mark.usefixtures("german")
@pytest.mark.parametrize(("size", "zoom"), [((1280, 800), 0), ((1000, 640), 0), ((1280, 800), 3)])
def test_no_text_of_a_page_is_cut_off_in_german(
    engine: NativeEngine,
    open_window: OpenWindow,
    named: Callable[..., str],
    theme: Theme,
    size: tuple[int, int],
    zoom: int,
) -> None:
    named("ui-lang", "sh", "-c", "echo line; sleep 1000", flags=("-v", "ui-lang:/v"))
    theme.set_zoom(zoom)
    window = open_window(engine)
    window.resize(*size)
    try:
        for spec in in_sidebar():
            window.go(spec.key)
            window.wait_until_nothing_is_clipped()
        for tab in TABS:
            window.open_container("ui-lang", tab)
            window.wait_until_nothing_is_clipped()
        window.go("containers")
    finally:
        engine.docker("rm", "-f", "ui-lang")
        engine.docker("volume", "rm", "ui-lang")
