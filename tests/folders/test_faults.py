"""The server goes away, comes back, or stops: requests wait, are repeated, or fail; nothing waits for ever."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.folders import SharedFolder, failing
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until


@pytest.fixture
def alone() -> Iterator[SharedFolder]:
    """A shared folder of the test's own."""
    made = SharedFolder()
    yield made
    made.close()


def test_work_goes_on_over_a_killed_server(alone: SharedFolder) -> None:
    failed: list[OSError] = []
    done = 0

    def work() -> None:
        nonlocal done
        try:
            with (alone.mounted / "log").open("ab", buffering=0) as log:
                for number in range(400):
                    folder = alone.mounted / f"folder {number}"
                    folder.mkdir()
                    (folder / "a").write_text("x" * 5000)
                    (folder / "a").rename(folder / "b")
                    os.link(folder / "b", folder / "c")
                    (folder / "b").unlink()
                    log.write(f"{number}\n".encode())
                    done = number
        except OSError as e:
            failed.append(e)

    worker = threading.Thread(target=work)
    worker.start()
    for turn in range(1, 6):
        wait_until(lambda turn=turn: done > 50 * turn or failed)  # type: ignore[misc]
        alone.kill_server()
        alone.start_server()
    worker.join(HANG_S)
    assert not failed
    assert (alone.host / "log").read_text() == "".join(f"{number}\n" for number in range(400))
    for number in range(400):
        assert os.listdir(alone.host / f"folder {number}") == ["c"]
        assert (alone.host / f"folder {number}" / "c").read_text() == "x" * 5000


def test_open_files_are_opened_again_and_removed_ones_fail(alone: SharedFolder) -> None:
    kept, lost = (alone.mounted / "kept").open("w+b", 0), (alone.mounted / "lost").open("w+b", 0)
    with kept, lost:
        kept.write(b"before")
        (alone.mounted / "kept").rename(alone.mounted / "moved")
        (alone.mounted / "lost").unlink()
        alone.kill_server()
        alone.start_server()
        kept.write(b" and after")
        with failing(errno.EIO):
            lost.write(b"x")
    assert (alone.host / "moved").read_bytes() == b"before and after"


def test_names_that_the_host_made_while_the_connection_was_lost_appear(alone: SharedFolder) -> None:
    (alone.mounted / "known").mkdir()
    os.kill(alone.client.pid, signal.SIGSTOP)
    alone.server.send_signal(signal.SIGUSR2)
    for _ in range(2):
        alone.requests()  # before the second one is replied to, the connection has ended
    (alone.host / "known" / "made").touch()
    alone.requests()
    os.kill(alone.client.pid, signal.SIGCONT)
    files = itertools.count()

    def appears() -> bool:
        (alone.mounted / "known" / f"f{next(files)}").touch()  # with its reply the folder goes on to be known whole
        return (alone.mounted / "known" / "made").exists()

    wait_until(appears)


def test_a_process_that_waits_for_a_stopped_server_can_be_killed(alone: SharedFolder) -> None:
    (alone.host / "file").write_text("x")
    os.kill(alone.server.pid, signal.SIGSTOP)
    code = "import os,sys; os.stat(sys.argv[1])"
    waiting = subprocess.Popen([sys.executable, "-c", code, alone.mounted / "file"])
    wait_until(lambda: _waits(waiting.pid))
    waiting.kill()
    assert waiting.wait(HANG_S) == -signal.SIGKILL
    os.kill(alone.server.pid, signal.SIGCONT)
    assert (alone.mounted / "file").read_text() == "x"


def test_requests_fail_when_the_host_is_away_for_too_long() -> None:
    shared = SharedFolder(limit_ms=300)
    try:
        (shared.mounted / "file").write_text("x")
        shared.kill_server()
        with failing(errno.EIO):
            (shared.mounted / "other").read_text()
        shared.start_server()
        wait_until(lambda: _reads(shared.mounted / "file"))
    finally:
        shared.close()


def test_a_request_of_no_client_of_ours_ends_its_connection_only(alone: SharedFolder) -> None:
    for sent in (b"\xff" * 100, b"\x08\0\0\0" + bytes(16), b"\x1c\0\0\0" + bytes(8) + b"\x02" + bytes(50)):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(HANG_S)
            stranger.connect(str(alone.socket))
            stranger.sendall(sent)
            with suppress(ConnectionResetError):
                assert stranger.recv(100) == b""
    (alone.mounted / "file").write_text("x")


def test_the_client_ends_with_its_mount(tmp_path: Path) -> None:
    """With a socket that it was given, when that ends; by a signal; when it is unmounted."""
    shared = SharedFolder()
    try:
        subprocess.run(["nsenter", "-m", "-t", str(shared.client.pid), "umount", shared.mount], check=True)
        assert shared.client.wait(HANG_S) == 0
    finally:
        shared.close()
    shared = SharedFolder()
    shared.client.terminate()
    assert shared.client.wait(HANG_S) == 0
    shared.close()


def _waits(pid: int) -> bool:
    """In the kernel, for a reply of our client."""
    return "request_wait_answer" in Path(f"/proc/{pid}/stack").read_text()


def _reads(path: Path) -> bool:
    try:
        return path.read_text() == "x"
    except OSError:
        return False
