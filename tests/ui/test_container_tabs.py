"""The tabs of a container's page, by mouse and keyboard on a real engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def test_mounts_lead_to_their_volumes_and_secrets_are_shown_on_request(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    mounts = ("-v", "ui-files:/data", "-v", "/usr/share:/share:ro", "--tmpfs", "/quick")
    named("ui-mounts", "sleep", "1000", flags=(*mounts, "-e", "API_TOKEN=s3cret", "-e", "COLOUR=blue"))
    try:
        window = open_window(engine)
        window.containers.wait_until_says("ui-mounts", "running")
        page = window.open_container("ui-mounts", "environment")
        page.wait_until_tab_says("COLOUR", "blue", "API_TOKEN", "/data", "/share", "/quick", "read only", "in memory")
        assert [text for text in window.texts() if "s3cret" in text] == []
        page.press_in_tab("Show secrets")
        page.wait_until_tab_says("s3cret")
        page.choose_tab("Overview")
        assert "-e API_TOKEN -e COLOUR=blue" in " ".join(page.copied_command("--name ui-mounts"))
        page.press_in_tab("Show secrets")
        assert "API_TOKEN=s3cret" in page.copied_command("-e API_TOKEN=")
        page.choose_tab("Mounts && environment")
        page.press_in_tab("Volume ui-files")
        assert window.page == "volumes"
        window.volumes.wait_until_titled("ui-files")
    finally:
        engine.docker("rm", "-f", "ui-mounts", check=False)
        engine.docker("volume", "rm", "ui-files", check=False)
