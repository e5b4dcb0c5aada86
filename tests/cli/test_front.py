"""The front of `cove`: a command that a warm server runs is, to all around it, the command started plainly."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from desktop.front import server as front_server
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from vmagent.native import binary
from vmagent.native.build import build

_T = TypeVar("_T")
MARK = "COVE_TEST_FRONT"


class Front:
    """The program in a folder of its own, beside an interpreter: so its server is its own too."""

    def __init__(self, folder: Path, engine: NativeEngine) -> None:
        arch = os.uname().machine
        build("front", arch)
        self.program = folder / "cove"
        shutil.copy(binary("front", arch), self.program)
        interpreter = folder / "python"
        interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        interpreter.chmod(0o755)
        self._engine = engine
        self.environment = {**os.environ, "COVE_HOST": engine.host, "COVE_WARM": "1", MARK: str(folder)}

    def server(self) -> int | None:
        """The pid of the server that listens."""
        listening = {
            line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines() if "@cove-warm-" in line
        }
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if not entry.name.isdecimal() or f"{MARK}={self.environment[MARK]}" not in (
                    (entry / "environ").read_bytes().decode(errors="replace").split("\0")
                ):
                    continue
                sockets = {os.readlink(fd) for fd in (entry / "fd").iterdir()}
                if "desktop.front.server" in (entry / "cmdline").read_text() and any(
                    f"socket:[{inode}]" in sockets for inode in listening
                ):
                    return int(entry.name)
        return None

    def warm_up(self) -> int:
        """Run a command, which starts the server; its pid."""
        self.run("version")
        return until(self.server)

    def popen(self, *args: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([self.program, *args], env=self.environment, **options)

    def run(self, *args: str, warm: bool = True, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.program, *args],
            env=self.environment | options.pop("more", {}) | {"COVE_WARM": "1" if warm else "0"},
            capture_output=True,
            timeout=HANG_S,
            check=False,
            **options,
        )

    def end(self) -> None:
        if (pid := self.server()) is not None:
            os.kill(pid, signal.SIGKILL)
            until(lambda: not Path(f"/proc/{pid}/fd").exists() or None)


def until(found: Callable[[], _T | None]) -> _T:
    """Wait for what no event tells."""
    deadline = time.monotonic() + HANG_S
    while (value := found()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def opened(pid: int) -> set[str]:
    """What the process has open, but for /dev/null."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(descriptor))
    return found - {"/dev/null"}


@pytest.fixture
def front(tmp_path: Path, engine: NativeEngine) -> Iterator[Front]:
    made = Front(tmp_path, engine)
    yield made
    made.end()


@pytest.fixture
def sleeper(engine: NativeEngine) -> Iterator[str]:
    name = f"front-{os.getpid()}"
    engine.docker("run", "-d", "--name", name, "busybox", "sleep", "1000")
    yield name
    engine.docker("rm", "-f", name)


def test_the_first_command_starts_a_server_and_later_ones_run_below_it(front: Front, sleeper: str) -> None:
    assert front.server() is None
    pid = front.warm_up()
    waiting = front.popen("wait", sleeper, stdout=subprocess.PIPE)
    (child,) = until(lambda: children(pid) or None)
    assert Path(f"/proc/{waiting.pid}/exe").readlink() == front.program
    # Nothing of the server is open in the command, so each of them ends by itself. For a moment both have the command's
    # own descriptors: the server closes its copies after the start.
    until(lambda: not opened(pid) & opened(child) or None)
    waiting.kill()
    waiting.communicate(timeout=HANG_S)
    until(lambda: not children(pid) or None)  # the command ends with its front
    assert front.server() == pid


COMMANDS = (
    ("version",),
    ("ps", "-a", "--format", "{{.Names}}"),
    ("ps", "--no-such-flag"),
    ("images", "-q", "busybox"),
    ("compose", "ls", "--format", "json"),
    ("compose", "-f", "no-such-file.yaml", "up", "-d"),
    ("inspect", "no-such-container"),
    ("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 42"),
    ("run", "--rm", "busybox", "no-such-command"),
    ("run", "--rm", "-e", "MADE", "busybox", "sh", "-c", "echo $MADE"),
    ("nonsense",),
    ("--version",),
    (),
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_output_and_status_are_the_same(front: Front, arguments: tuple[str, ...]) -> None:
    front.warm_up()
    warm, plain = (front.run(*arguments, warm=warm, more={"MADE": "hère"}) for warm in (True, False))
    assert (warm.returncode, warm.stdout, warm.stderr) == (plain.returncode, plain.stdout, plain.stderr)


PROJECT = """\
name: front
services:
  first: {image: busybox, command: sleep 1000, init: true, stop_grace_period: 0s}
  second: {image: busybox, command: sleep 1000, init: true, stop_grace_period: 0s, depends_on: [first]}
"""


def test_compose_finds_all_that_it_needs_loaded(engine: NativeEngine, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(PROJECT)
    commands = [
        ["compose", *words]
        for words in (["up", "-d"], ["ps"], ["logs"], ["exec", "-T", "first", "true"], ["stop"], ["start"], ["down"])
    ]
    code = (
        "import sys; from desktop.front.server import load; load(); before = set(sys.modules); "
        f"from desktop.cli.main import main; print([main(words) for words in {commands}], file=sys.stderr); "
        "print(*(name for name in set(sys.modules) - before if name.split('.')[0] in ('desktop', 'yaml')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "COVE_HOST": engine.host},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == str([0] * len(commands)), done.stderr
    assert done.stdout.splitlines()[-1].split() == []


def test_a_project_is_what_its_files_say_now(
    front: Front, engine: NativeEngine, own_engine: NativeEngine, tmp_path: Path
) -> None:
    """The server remembers projects that its commands have loaded."""
    front.warm_up()
    folder = tmp_path / "project"
    folder.mkdir()

    def config(**more: str) -> bytes:
        warm, plain = (front.run("compose", "config", cwd=folder, warm=warm, more=more) for warm in (True, False))
        assert (warm.returncode, warm.stdout, warm.stderr) == (plain.returncode, plain.stdout, plain.stderr)
        return warm.stdout

    texts = {
        "compose.yaml": "include: [more.yaml]\nservices: {a: {image: 'i:${TAG}', env_file: e}}\n",
        "more.yaml": "services: {b: {image: i}}\n",
        "e": "A=1\n",
        ".env": "TAG=1\n",
        "compose.override.yaml": "services: {a: {command: x}}\n",
    }
    seen = []
    for name in ("e", "more.yaml", "compose.yaml", ".env", "compose.override.yaml"):
        (folder / name).write_text(texts[name])
        if name in ("compose.yaml", ".env", "compose.override.yaml"):
            seen += [config(), config()]
    for name, text in texts.items():
        (folder / name).write_text(
            text.replace("1", "2").replace(": i", ": j").replace("'i:", "'j:").replace("x}", "y}")
        )
        seen += [config(), config()]
    seen += [config(TAG="3"), config(TAG="3")]
    assert seen[::2] == seen[1::2]
    assert len(set(seen)) == len(seen) / 2
    # The engine is asked each time: another one has none of the containers.
    (folder / "compose.yaml").write_text(PROJECT)
    (folder / "compose.override.yaml").unlink()

    def up(**more: str) -> set[str]:
        """What was said last of each container."""
        done = front.run("compose", "up", "-d", cwd=folder, more=more)
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stderr.decode().splitlines()]
        return set({name: status for _, name, status in lines if name.startswith("front-")}.values())

    assert up() == {"Started"}
    assert up() == {"Running"}
    engine.docker("rm", "-f", "front-first-1")
    assert up() == {"Started", "Running"}
    assert up(COVE_HOST=own_engine.host) == {"Started"}
    assert up() == up(COVE_HOST=own_engine.host) == {"Running"}
    for host in (engine.host, own_engine.host):
        assert front.run("compose", "down", cwd=folder, more={"COVE_HOST": host}).returncode == 0


def test_stdin_and_other_descriptors_are_the_callers(front: Front, sleeper: str) -> None:
    front.warm_up()
    data = os.urandom(1 << 20)
    assert front.run("exec", "-i", sleeper, "cat", input=data).stdout == data
    read, write = os.pipe()
    os.write(write, b"GIVEN=by a descriptor\n")
    os.close(write)
    done = front.run("run", "--rm", "--env-file", f"/dev/fd/{read}", "busybox", "env", pass_fds=(read,))
    os.close(read)
    assert b"GIVEN=by a descriptor\n" in done.stdout
    closed = subprocess.run(
        ["sh", "-c", f"{front.program} exec {sleeper} sh -c 'echo out; echo err >&2' <&- >&-"],
        env=front.environment,
        capture_output=True,
        timeout=HANG_S,
        check=False,
    )
    assert (closed.returncode, closed.stderr) == (0, b"err\n")


def test_folder_and_umask_are_the_callers(front: Front, sleeper: str, tmp_path: Path) -> None:
    front.warm_up()
    here = tmp_path / "here"
    here.mkdir()
    (here / "file").write_text("content")
    assert front.run("cp", "file", f"{sleeper}:/tmp/copied", cwd=here).returncode == 0
    done = front.run("cp", f"{sleeper}:/tmp/copied", "back", cwd=here)
    assert (done.returncode, (here / "back").read_text()) == (0, "content")
    folder = front.run("run", "--rm", "--cidfile", "cid", "busybox", "true", cwd=here, umask=0o077)
    assert folder.returncode == 0
    assert (here / "cid").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 7), (signal.SIGINT, 8)])
def test_signals_reach_the_container(front: Front, number: signal.Signals, status: int) -> None:
    pid = front.warm_up()
    script = "trap 'exit 7' TERM; trap 'exit 8' INT; echo ready; while :; do sleep 0.1; done"
    running = front.popen("run", "--rm", "busybox", "sh", "-c", script, stdout=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    assert children(pid)
    running.send_signal(number)
    assert running.wait(HANG_S) == status
    running.stdout.close()


def test_a_signal_that_ends_the_command_ends_the_front(front: Front, sleeper: str) -> None:
    front.warm_up()
    with front.popen("wait", sleeper, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
        until(lambda: signal.SIGTERM in signals(waiting.pid, "SigCgt") or None)
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(HANG_S) == -signal.SIGTERM
    # Output without a reader: as filters do.
    read, write = os.pipe()
    os.close(read)
    with front.popen("ps", stdout=write) as broken:
        assert broken.wait(HANG_S) == -signal.SIGPIPE
    os.close(write)


def test_ignored_signals_stay_ignored(front: Front, sleeper: str) -> None:
    pid = front.warm_up()
    with subprocess.Popen(
        ["sh", "-c", f"trap '' INT HUP; exec {front.program} wait {sleeper}"], env=front.environment, stdout=-1
    ) as waiting:
        (child,) = until(lambda: children(pid) or None)
        until(lambda: {signal.SIGINT, signal.SIGHUP} <= signals(child, "SigIgn") or None)
        waiting.kill()


def test_a_stop_by_the_terminal_stops_both(front: Front, sleeper: str) -> None:
    pid = front.warm_up()
    with front.popen("wait", sleeper, stdout=subprocess.PIPE) as waiting:
        (child,) = until(lambda: children(pid) or None)
        until(lambda: signal.SIGTSTP in signals(waiting.pid, "SigCgt") or None)
        waiting.send_signal(signal.SIGTSTP)
        until(lambda: state(waiting.pid) == "T" or None)
        until(lambda: state(child) == "T" or None)
        waiting.send_signal(signal.SIGCONT)
        until(lambda: state(child) != "T" or None)
        waiting.kill()


def signals(pid: int, which: str) -> set[int]:
    """One of the sets of proc(5), status."""
    mask = int(Path(f"/proc/{pid}/status").read_text().partition(f"{which}:")[2].split()[0], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_terminal_is_the_containers_and_its_size_follows(front: Front) -> None:
    pid = front.warm_up()
    controller, terminal = pty.openpty()

    def resize(rows: int, columns: int) -> None:
        fcntl.ioctl(controller, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def shown(text: bytes) -> None:
        seen = b""
        while text not in seen:
            assert select.select([controller], [], [], HANG_S)[0], seen
            seen += os.read(controller, 4096)

    resize(33, 77)
    before = termios.tcgetattr(terminal)
    running = front.popen(
        "run", "--rm", "-it", "busybox", "sh", "-c", "while :; do stty size; read -t 1 word && exit 5; done",
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    shown(b"33 77")
    assert children(pid)
    resize(40, 100)
    os.killpg(running.pid, signal.SIGWINCH)
    shown(b"40 100")
    os.write(controller, b"end\r")
    assert running.wait(HANG_S) == 5
    assert termios.tcgetattr(terminal) == before
    os.close(controller)
    os.close(terminal)


def test_another_locale_and_changed_code_start_plainly(front: Front, sleeper: str) -> None:
    pid = front.warm_up()
    assert front.run("ps", "-q", more={"LC_ALL": "C"}).returncode == 0
    with front.popen("wait", sleeper, stdout=subprocess.PIPE) as waiting:
        until(lambda: children(pid) or None)
        waiting.kill()
    until(lambda: not children(pid) or None)
    module = Path(front_server.__file__)
    os.utime(module)
    assert front.run("ps", "-q").returncode == 0
    until(lambda: front.server() != pid or None)
    assert front.warm_up() != pid


def test_what_no_front_sends_is_refused_and_the_server_goes_on(front: Front) -> None:
    import socket

    pid = front.warm_up()
    sockets = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines() if "@cove-warm-" in line]
    (name,) = (words[7] for words in lines if f"socket:[{words[6]}]" in sockets)
    for sent in (b"", b"\x01", struct.pack("=I", 1 << 31), struct.pack("=I", 4) + b"a\0b\0", struct.pack("=I", 0)):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect("\0" + name.removeprefix("@"))
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(16) in (b"", b"P")
    assert front.run("version").returncode == 0
    assert front.server() == pid


def test_an_idle_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(front_server, "IDLE_S", 0.0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(b"")
        listener.listen()
        front_server.Server(listener).run()
