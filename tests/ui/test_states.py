"""What is well stays grey: a stop on request is no problem, and a problem says what it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

STUBBORN = ("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")


def test_a_stop_on_request_is_no_problem_even_by_force(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-stubborn", *STUBBORN, flags=("--stop-timeout", "0"))
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-stubborn", "running")
    page.click("ui-stubborn", "action", "stop")
    page.wait_until_says("ui-stubborn", "Stopped, by force")
    page.wait_until_counted("Stopped", 1)
    assert page.count_of("Problems") == 0
    shown = window.open_container("ui-stubborn", "logs")
    assert shown.why == "ui-stubborn was stopped"
    assert "ignored the signal to stop" in shown.explanation


def test_a_long_stop_counts_its_seconds_and_can_be_cut_short(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-slow", *STUBBORN, flags=("--stop-timeout", "1000"))
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-slow", "running")
    page.click("ui-slow", "action", "stop")
    page.wait_until_says("ui-slow", "Stopping, 1 s")
    page.click("ui-slow", "action", "kill")
    page.wait_until_says("ui-slow", "Stopped, by force")


def test_containers_that_ended_with_the_engine_are_no_problems(
    own_engine: NativeEngine, open_window: OpenWindow
) -> None:
    own_engine.docker("run", "-d", "--name", "ui-kept", "--stop-timeout", "0", "busybox", *STUBBORN)
    window = open_window(own_engine)
    page = window.containers
    page.wait_until_says("ui-kept", "running")
    assert own_engine.process is not None
    own_engine.process.terminate()
    own_engine.process.wait(HANG_S)
    own_engine.start()
    page.wait_until_says("ui-kept", "Stopped with the engine")
    page.wait_until_counted("Stopped", 1)
    assert page.count_of("Problems") == 0
    own_engine.docker("rm", "-f", "ui-kept")


def test_the_card_of_an_unhealthy_container_shows_what_its_check_said(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    check = ("--health-cmd", "echo no database; exit 3", "--health-interval", "1s", "--health-retries", "1")
    named("ui-ill", "sleep", "1000", flags=check)
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-ill", "Its health check fails")
    page.click("ui-ill", "why")
    assert window.container.why == "ui-ill's health check fails"
    assert "no database (exit status 3)" in window.container.explanation


def test_a_crash_loop_is_a_problem_with_count_and_status(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-loop", "sh", "-c", "exit 5", flags=("--restart", "always"))
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-loop", "times, last exit status 5")
    page.wait_until_counted("Problems", 1)
    page.click("ui-loop", "why")
    assert window.container.why == "ui-loop ends again and again"


def test_errors_do_not_speak_of_the_parts_they_came_through(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    engine.docker("create", "--name", "ui-nocmd", "busybox", "no-such-command")
    engine.docker("start", "ui-nocmd", check=False)
    try:
        window = open_window(engine)
        window.containers.wait_until_says("ui-nocmd", "Could not start")
        shown = window.open_container("ui-nocmd", "logs")
        assert "no-such-command" in shown.explanation
        assert not any(word in shown.explanation for word in ("shim", "runc", "OCI"))
    finally:
        engine.docker("rm", "-f", "ui-nocmd")


EAT = ("sh", "-c", "x=a; while :; do x=$x$x; done")


def test_what_ran_out_of_memory_is_started_with_more(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-eater", *EAT, flags=("-m", "16m", "--memory-swap", "16m"))
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-eater", "out of memory at 16 MB")
    page.click("ui-eater", "why")
    shown = window.container
    assert shown.why == "ui-eater ran out of memory"
    shown.press_in_tab("Copy as text")
    assert window.clipboard.startswith("ui-eater ran out of memory\nIt needed more than 16 MB")
    shown.press_in_tab("Show memory")
    shown.wait_until_tab_says("of 16 MB, without file cache")
    shown.choose_tab("Logs")
    shown.press_in_tab("Start with 32 MB")
    page.wait_until_says("ui-eater", "out of memory at 32 MB")
    shown.wait_until_tab_says("Start with 64 MB")
    shown.press_in_tab("Edit limit")
    window.answer("MB", "5", "Set and start")
    assert any("6 at least" in words for words in window.dialog_words())
    window.answer("MB", "48", "Set and start")
    page.wait_until_says("ui-eater", "out of memory at 48 MB")


def test_what_ended_by_itself_is_started_from_its_card(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-ended", "sh", "-c", "test -e /again && exec sleep 1000; touch /again; exit 4")
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-ended", "Exited 4")
    page.click("ui-ended", "why")
    window.container.press_in_tab("Start")
    page.wait_until_says("ui-ended", "running")
    assert window.container.why == ""
