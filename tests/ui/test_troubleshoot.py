"""The Troubleshoot page runs the checks of `cove diagnose` and says what helps."""

from __future__ import annotations

import pytest

from desktop.diagnose.report import Grade
from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def test_checks_run_at_the_first_visit_and_again_on_request(engine: NativeEngine, open_window: OpenWindow) -> None:
    window = open_window(engine)
    window.go("troubleshoot")
    page = window.troubleshoot
    page.wait_until_checked()
    grades = page.grades()
    assert grades["versions"] is Grade.OK
    assert grades["engine"] is Grade.OK
    assert "engine" in page.texts()
    page.check_again()
    assert page.grades().keys() == grades.keys()
