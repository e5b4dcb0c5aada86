"""The tabs of a container's page, by mouse and keyboard on a real engine."""

from __future__ import annotations

import os
import re
import signal
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from desktop.client.engine import EngineClient
from desktop.ui.files import view as files_view
from desktop.ui.files.folder import Source, read_marks
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.ui.conftest import OpenWindow
from tests.ui.hands import CONTROL

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
        copied = " ".join(page.copied_command("--name ui-mounts")).split()
        assert {"API_TOKEN", "COLOUR=blue"} <= set(copied)  # docker's client sends -e in any order
        page.press_in_tab("Show secrets")
        assert "API_TOKEN=s3cret" in page.copied_command("-e API_TOKEN=")
        page.choose_tab("Mounts && environment")
        page.press_in_tab("Volume ui-files")
        assert window.page == "volumes"
        window.volumes.wait_until_titled("ui-files")
        page.wait_until_forgotten("s3cret")
    finally:
        engine.docker("rm", "-f", "ui-mounts", check=False)
        engine.docker("volume", "rm", "ui-files", check=False)


def test_the_xray_leads_from_the_port_to_the_process(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-xray", "httpd", "-f", "-p", "80", flags=("-p", "127.0.0.1:0:80", "-m", "64m"))
    window = open_window(engine)
    window.containers.wait_until_says("ui-xray", "running")
    page = window.open_container("ui-xray", "logs")
    page.choose_tab("X-ray")
    page.wait_until_tab_says(
        "httpd -f -p 80", "one_address", "of 64 MB", "the machine's", "net_bind_service", "Mounted"
    )
    engine.docker("stop", "-t", "0", "ui-xray")
    page.wait_until_tab_says("not in use of 64 MB")


@pytest.mark.parametrize(
    ("tab", "first", "following"),
    [
        ("X-ray", "of 51 MB", "of 52 MB"),
        ("Overview", "51 MB at most", "52 MB at most"),
        ("Inspect", "OWNER=ui-first", "OWNER=ui-next"),
        ("Mounts && environment", "ui-first", "ui-next"),
    ],
)
def test_nothing_of_a_container_is_seen_at_the_next_one(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], tab: str, first: str, following: str
) -> None:
    for name, limit in (("ui-first", "51m"), ("ui-next", "52m")):
        named(name, "sleep", "1000", flags=("-e", f"OWNER={name}", "-m", limit))
    window = open_window(engine)
    window.containers.wait_until_says("ui-first", "running")
    window.containers.wait_until_says("ui-next", "running")
    page = window.open_container("ui-first", "logs")
    page.choose_tab(tab)
    page.wait_until_tab_says(first)
    window.go("images")
    window.go("containers")
    pid = engine.pid_of("cove-engine")
    os.kill(pid, signal.SIGSTOP)
    try:
        window.containers.click("ui-next", "name")
        seen = page.tab_texts
    finally:
        os.kill(pid, signal.SIGCONT)
    assert not [text for text in seen if first in text], "while the engine has not answered"
    page.wait_until_tab_says(following)


def test_shells_are_opened_on_request_several_at_once(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-shells", "sleep", "1000")
    window = open_window(engine)
    window.containers.wait_until_says("ui-shells", "running")
    page = window.open_container("ui-shells", "terminal")
    page.wait_until_terminal_shows("#")
    page.type("echo first-$((1+1))")
    page.wait_until_terminal_shows("first-2")
    page.press_in_tab("New shell")
    page.wait_until_terminal_shows("#")
    page.type("echo second-$((1+1)); exit 3")
    page.wait_until_terminal_shows("second-2")
    page.wait_until_tab_says("The shell ended with status 3.")
    assert page.shells == ["Shell 1", "Shell 2"]
    page.choose_shell("Shell 1")
    assert "first-2" in page.terminal_text()
    page.press_in_tab("Other shells")
    page.choose_in_menu("/bin/bash")
    page.wait_until_tab_says("There is no such shell in this container.")
    assert page.shells == ["Shell 1", "Shell 2", "bash"]
    page.press_in_tab("Close")
    assert page.shells == ["Shell 1", "Shell 2"]
    window.go("images")
    window.go("containers")
    window.containers.click("ui-shells", "name")
    page.wait_until_tab_says("No shell is open in ui-shells")
    page.press_in_tab("Open a shell")
    page.wait_until_terminal_shows("#")


def test_a_stopped_container_is_started_for_its_terminal(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-asleep", "sleep", "1000")
    engine.docker("kill", "ui-asleep")
    window = open_window(engine)
    window.containers.wait_until_says("ui-asleep", "Stopped")
    page = window.open_container("ui-asleep", "terminal")
    page.wait_until_tab_says("ui-asleep is not running")
    page.press_in_tab("Start")
    page.wait_until_terminal_shows("#")


def test_an_editor_leaves_the_screen_as_it_was(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-editor", "sleep", "1000")
    window = open_window(engine)
    window.containers.wait_until_says("ui-editor", "running")
    page = window.open_container("ui-editor", "terminal")
    page.wait_until_terminal_shows("#")
    page.type("echo kept-$((40+2))")
    page.wait_until_terminal_shows("kept-42")
    page.type("vi /etc/passwd")
    page.wait_until_terminal_shows("~\n~")
    page.wait_until_terminal_is_without("kept-42")
    window.resize(1000, 640)
    page.type(":q")
    page.wait_until_terminal_is_without("~\n~")
    page.wait_until_terminal_shows("kept-42")


def test_processes_are_live_while_they_are_looked_at(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-ps", "sh", "-c", "sleep 1001 & echo $! > /pid; sleep 1002")
    window = open_window(engine)
    window.containers.wait_until_says("ui-ps", "running")
    page = window.open_container("ui-ps", "processes")
    page.wait_until_process("sleep 1001")
    page.wait_until_process("sleep 1002")
    page.wait_until_tab_says("2 processes")
    engine.docker("exec", "ui-ps", "sh", "-c", "kill $(cat /pid)")
    page.wait_until_tab_says("1 process")
    page.filter_tab("sleep")
    assert all(command.startswith("sleep") for command in page.processes())
    page.press_in_tab("Copy command")
    assert window.clipboard.startswith("sleep 100")
    page.choose_tab("Overview")
    assert not page.reads_processes
    engine.docker("kill", "ui-ps")
    page.choose_tab("Processes")
    page.wait_until_tab_says("ui-ps is not running")


def test_stats_draw_what_is_and_what_was(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], tmp_path: Path
) -> None:
    named("ui-stats", "sh", "-c", "while :; do :; done", flags=("-m", "64m", "--cpus", "0.2"))
    window = open_window(engine)
    window.containers.wait_until_says("ui-stats", "running")
    page = window.open_container("ui-stats", "stats")
    for name in ("CPU", "Memory", "Network", "Disk"):
        page.wait_until_charted(name)
    page.wait_until_tab_says("of 64 MB, without file cache", "Kept by the engine for 24 h")
    assert re.fullmatch(r"\d\d:\d\d:\d\d, (\d.* %|not measured)", page.point_at("CPU"))
    page.press_in_tab("10 min")
    assert "peak" in page.chart("CPU")
    page.export_stats()
    window.save_as(tmp_path / "stats.csv")
    head, *lines = (tmp_path / "stats.csv").read_text().splitlines()
    assert head.startswith("time,cpu_percent,memory_bytes,")
    assert lines
    assert page.reads_stats
    page.choose_tab("Overview")
    assert not page.reads_stats
    engine.docker("kill", "ui-stats")
    page.choose_tab("Stats")
    page.wait_until_tab_says("not running")
    assert "peak" in page.chart("CPU"), "what a stopped container has used is still there"


FILL = "mkdir /things; cd /things; printf 'first line\\n' > text; ln -s text link; head -c 300000 /dev/zero > zeros"
CHAIN = "; ln -s link chain"
ODD = r"; printf odd > /things/a$(printf '\377')b"  # a name that is no UTF-8
LONG = "; i=0; while [ $i -lt 40000 ]; do echo 0123456789; i=$((i+1)); done > /things/long"


def test_files_are_looked_at_downloaded_and_uploaded_also_of_a_stopped_container(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], tmp_path: Path
) -> None:
    named("ui-disk", "sh", "-c", FILL + CHAIN + ODD + LONG)
    engine.docker("wait", "ui-disk")
    window = open_window(engine)
    window.containers.wait_until_says("ui-disk", "Exited 0")
    page = window.open_container("ui-disk", "files")
    page.wait_until_in_folder("/", "things", "bin")
    assert page.file_marks() == {"things": "new"}
    page.open_file("things")
    page.wait_until_in_folder("/things", "text", "link", "chain", "zeros", "long")
    page.choose_file("text")
    page.wait_until_previewed("first line")
    page.choose_file("zeros")
    page.wait_until_previewed("This is no text.")
    page.choose_file("long")
    page.wait_until_previewed("0123456789")
    assert "the first 262 KB" in page.file_facts
    page.choose_file("ab")  # the window leaves out what is no UTF-8
    page.wait_until_previewed("odd")
    page.choose_file("link")
    page.wait_until_previewed("first line")
    page.choose_file("zeros")
    page.wait_until_previewed("This is no text.")
    page.choose_file("chain")
    page.wait_until_previewed("first line")
    (tmp_path / "got.part").write_text("the user's own")
    page.press_in_tab("Download")
    window.save_as(tmp_path / "got")
    assert (tmp_path / "got").read_text() == "first line\n"
    assert [(path.name, path.read_text()) for path in tmp_path.glob("*.part")] == [("got.part", "the user's own")]
    source = tmp_path / "put"
    source.write_text("from here")
    page.press_in_tab("Upload")
    window.choose_file(source)
    page.wait_until_in_folder("/things", "put")
    source.write_text("again")
    page.drop(source)
    assert "Replace put?" in window.dialog_words()
    window.press("Replace")
    window.wait_until_told("put: uploaded into /things")
    page.choose_file("put")
    page.wait_until_previewed("again")
    page.go_to_folder("/nowhere")
    window.wait_until_told("There is no folder /nowhere")
    page.press_in_tab("Parent folder")
    page.wait_until_in_folder("/", "things")
    page.choose_file("things")
    page.press_in_tab("Download")
    window.save_as(tmp_path / "things.tar")
    with tarfile.open(tmp_path / "things.tar") as tar:
        assert {"things/text", "things/put", "things/zeros"} <= set(tar.getnames())
    assert engine.docker("cp", "ui-disk:/things/put", "-").stdout.count("again") == 1


def test_a_running_containers_files_have_marks_and_a_keyboard(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-marks", "sh", "-c", "mkdir /many; cd /many; touch $(seq 6000); echo x >> /etc/passwd; sleep 1000")
    window = open_window(engine)
    window.containers.wait_until_says("ui-marks", "running")
    engine.docker("exec", "ui-marks", "sh", "-c", "until grep -q '^x$' /etc/passwd; do sleep 0.1; done")
    page = window.open_container("ui-marks", "files")
    page.wait_until_in_folder("/", "etc", "many")
    assert page.file_marks() == {"etc": "changed", "many": "new"}
    page.choose_file("many")
    window.key(Qt.Key.Key_Return)
    page.wait_until_in_folder("/many")
    page.wait_until_tab_says("the first 5,000 of 6,000 entries")
    window.key(Qt.Key.Key_Backspace)
    page.wait_until_in_folder("/", "etc")
    page.choose_file("many")
    window.key(Qt.Key.Key_C, CONTROL)
    assert window.clipboard == "/many"


def test_what_is_asked_for_early_comes_whole(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder before the marks are read, and a file just before the tab is covered."""
    may_go_on = threading.Event()

    def read_marks_later(client: EngineClient, source: Source) -> dict[str, int]:
        assert may_go_on.wait(HANG_S)
        return read_marks(client, source)

    monkeypatch.setattr(files_view, "read_marks", read_marks_later)
    monkeypatch.setattr(files_view, "PREVIEW_AFTER_MS", 500)  # longer than it takes to choose another tab
    named("ui-early", "sh", "-c", "mkdir /mine; echo written > /mine/new")
    engine.docker("wait", "ui-early")
    window = open_window(engine)
    window.containers.wait_until_says("ui-early", "Exited 0")
    page = window.open_container("ui-early", "files")
    page.go_to_folder("/mine")
    may_go_on.set()
    page.wait_until_in_folder("/mine", "new")
    assert page.file_marks() == {"new": "new"}
    page.choose_tab("Overview")
    page.choose_tab("Files")
    page.wait_until_previewed("written")
    page.go_to_folder("/")
    page.wait_until_in_folder("/", "mine")
    assert page.file_marks() == {"mine": "new"}
