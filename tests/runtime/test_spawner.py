"""The spawner when things go wrong: it dies, it is stopped, descriptors or processes run out; nothing is left over."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.conftest import CGROUPS
from vmagent.linux import process as linux
from vmagent.native import binary
from vmagent.runtime import spawner as module
from vmagent.runtime.cgroups import tree
from vmagent.runtime.encoding import encode_exec
from vmagent.runtime.failure import LaunchError
from vmagent.runtime.foreground import read_line
from vmagent.runtime.plan import compile_exec
from vmagent.runtime.process import kernel_facts
from vmagent.runtime.spawn import Launched
from vmagent.runtime.spawner import Spawner

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
PTRACE_SEIZE, TRACE_CLONE = 0x4206, 1 << 3  # linux/ptrace.h


class Bench:
    """A spawner with the smallest requests: its children enter the test's own namespaces."""

    def __init__(self, others: set[int]) -> None:
        self._others = others
        self.spawner = Spawner(lambda: self.running)
        self.cgroup = tree().create(f"{CGROUPS}-spawner", {})
        self.running: set[int] = set()
        self.pidfd = os.pidfd_open(os.getpid())

    @property
    def pid(self) -> int:
        return self.spawner._pid

    def children(self) -> set[int]:
        """The children of this process, without those of other tests."""
        return set(module._children()) - self._others

    def launch(
        self, *args: str, tasks: list[str] | None = None, namespaces: int = linux.CLONE_NEWUTS
    ) -> Launched | None:
        """A child that waits for its `go`; None where `Spawner.launch` returns None."""
        process = compile_exec({"args": list(args), "env": ["PATH=/bin"], "cwd": "/"})

        def encode(pipes: tuple[int, int, int], cgroup_fd: int) -> tuple[bytes, list[int]] | None:
            entrances = self.cgroup.entrances() if tasks is None else tasks
            return encode_exec(
                process,
                kernel_facts(),
                namespaces=namespaces,
                pipes=pipes,
                cgroup_fd=cgroup_fd,
                tasks=entrances,
                container_pidfd=self.pidfd,
                streams=(-1, -1, -1),
            )

        launched = self.spawner.launch(encode, self.cgroup, is_terminal=False)
        if launched is not None:
            self.running.add(launched.pid)
        return launched

    def end(self, launched: Launched | None, *, go: bool = True) -> tuple[int, str]:
        """(exit status, the failure that was reported)."""
        assert launched is not None
        error = ""
        if go:
            launched.go()
        try:
            while read_line(launched) is not None:
                continue
        except LaunchError as e:
            error = str(e)
        for fd in (launched.report_fd, launched.pidfd, *([] if go else [launched.go_fd])):
            os.close(fd)
        _, status = os.waitpid(launched.pid, 0)
        self.running.remove(launched.pid)
        return os.waitstatus_to_exitcode(status), error


@pytest.fixture
def bench() -> Iterator[Bench]:
    before = set(os.listdir("/proc/self/fd"))
    others = set(module._children())  # of other tests' fixtures
    made = Bench(others)
    yield made
    made.spawner.close()
    os.close(made.pidfd)
    assert made.children() == set(), "a child is left"
    assert set(os.listdir("/proc/self/fd")) == before
    made.cgroup.remove()


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_a_thousand_requests_leave_nothing_in_it(bench: Bench) -> None:
    """Requests that succeed, that fail in the child, and that fail before there is a child."""
    assert bench.end(bench.launch("true")) == (0, "")
    ours, its, pid = descriptors(os.getpid()), descriptors(bench.pid), bench.pid
    for number in range(1000):
        match number % 4:
            case 0:
                assert bench.end(bench.launch("true")) == (0, "")
            case 1:
                assert "executable file not found" in bench.end(bench.launch("nothing-like-it"))[1]
            case 2:
                assert "error entering the cgroup" in bench.end(bench.launch("true", tasks=["/nowhere"]))[1]
            case 3:
                bench.pidfd, kept = os.open("/dev/null", os.O_RDONLY), bench.pidfd
                assert "joining the container's namespaces: invalid" in bench.end(bench.launch("true"))[1]
                os.close(bench.pidfd)
                bench.pidfd = kept
    assert (descriptors(os.getpid()), descriptors(bench.pid), bench.pid) == (ours, its, pid)


def test_a_stopped_one_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_LIMIT_MS", 50)
    stopped = bench.pid
    os.kill(stopped, signal.SIGSTOP)
    assert bench.launch("true") is None
    assert not Path(f"/proc/{stopped}").exists()
    monkeypatch.undo()
    assert bench.end(bench.launch("true")) == (0, "")


def test_a_child_whose_number_never_came_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spawner is killed before it sends the child's pid. The child must still be killed and reaped."""
    waiting = bench.launch("true")  # of the same name, but known
    spawner = bench.pid
    assert _libc.ptrace(PTRACE_SEIZE, spawner, None, TRACE_CLONE) == 0
    killer = os.fork()  # the tracer, this process, waits for the spawner's answer meanwhile
    if killer == 0:
        while Path(f"/proc/{spawner}/stat").read_text().rpartition(") ")[2][0] != "t":
            continue
        os.kill(spawner, signal.SIGKILL)
        os._exit(0)
    bench.running.add(killer)
    children = set(module._children())

    def killed_unanswered(_spawner: Spawner) -> bool:
        """Stands for the time limit: the traced child keeps the channel open, so nothing else ends the wait."""
        os.waitid(os.P_PID, killer, os.WEXITED | os.WNOWAIT)
        return False

    monkeypatch.setattr(Spawner, "_is_answered", killed_unanswered)
    assert bench.launch("true") is None
    monkeypatch.undo()
    os.waitpid(killer, 0)
    bench.running.remove(killer)
    assert set(module._children()) - children == {bench.pid}
    assert bench.end(waiting) == (0, ""), "the other child still runs"


def test_a_child_that_cannot_be_held_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is left for its pidfd, after it was made."""

    def none_left(_pid: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(linux, "pidfd_open", none_left)
    ours = descriptors(os.getpid())
    with pytest.raises(OSError, match="too many"):
        bench.launch("true")
    assert descriptors(os.getpid()) == ours
    assert bench.children() == {bench.pid}


def test_without_its_program_it_comes_back_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an upgrade. The old spawner's pid may belong to another process by then, so it must not be killed."""
    monkeypatch.setattr(module, "_PROGRAM", "/nowhere")
    os.kill(bench.pid, signal.SIGKILL)
    assert [bench.launch("true") for _ in range(3)] == [None] * 3
    assert bench.pid == 0
    assert bench.children() == set()
    monkeypatch.undo()
    assert bench.end(bench.launch("true")) == (0, "")


def test_a_failing_restart_is_tried_again(bench: Bench) -> None:
    """No descriptors are left just then: that start fails, the next one does not."""
    os.kill(bench.pid, signal.SIGKILL)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir("/proc/self/fd")}
    cgroup_fd = bench.cgroup.clone_fd()
    needed = 4 if cgroup_fd < 0 else 5  # two pipes, and the v2 cgroup where there is one
    if cgroup_fd >= 0:
        os.close(cgroup_fd)
    free = [number for number in range(len(taken) + needed + 1) if number not in taken]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[needed - 1] + 1, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            bench.launch("true")
        assert bench.pid == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert bench.end(bench.launch("true")) == (0, "")


def test_out_of_descriptors_or_processes_it_says_so_and_lives(bench: Bench) -> None:
    pid = bench.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, hard))
    with pytest.raises(OSError, match="Too many open files"):
        bench.launch("true")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    full = tree().create(f"{CGROUPS}-full", {"pids": {"limit": 1}})
    try:
        _move(pid, full.entrances())
        with pytest.raises(OSError, match="Resource temporarily unavailable"):
            bench.launch("true")
        full.update({"pids": {"limit": 0}})
        assert bench.end(bench.launch("true")) == (0, "")
    finally:
        bench.spawner.close()
        full.remove()
    assert bench.pid != pid


def _move(pid: int, entrances: list[str]) -> None:
    for path in entrances:
        Path(path).write_text(str(pid))


def test_a_request_too_long_for_the_host_s_sockets_is_not_its_own(bench: Bench) -> None:
    """net.core.wmem_default may be small: then the interpreter makes the process, and the spawner stays."""
    pid = bench.pid
    bench.spawner._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    assert bench.launch("true", "x" * 100_000) is None
    assert bench.end(bench.launch("true")) == (0, "")
    assert bench.pid == pid


def test_no_word_to_go_no_command(bench: Bench, tmp_path: Path) -> None:
    """A child whose supervisor has died ends by itself; its command is never executed."""
    launched = bench.launch("/bin/touch", str(tmp_path / "made"))
    assert launched is not None
    os.close(launched.go_fd)
    launched.go_fd = os.open("/dev/null", os.O_RDONLY)
    assert bench.end(launched, go=False) == (1, "abandoned")
    assert list(tmp_path.iterdir()) == []


def test_its_children_keep_nothing_of_it(bench: Bench) -> None:
    """Before execve a child has its streams and the two pipes; the spawner erases the request from its memory."""
    launched = bench.launch("true", "a-secret-of-the-container")
    assert launched is not None
    assert read_line(launched) is not None
    assert sorted(os.listdir(f"/proc/{launched.pid}/fd"))[:3] == ["0", "1", "2"]
    assert descriptors(launched.pid) == 5
    assert b"a-secret-of" not in _memory(bench.pid)
    assert b"a-secret-of" in _memory(launched.pid)
    assert os.statvfs(f"/proc/{bench.pid}/exe").f_flag & os.ST_RDONLY
    assert bench.end(launched) == (0, "")


def _memory(pid: int) -> bytes:
    """All that it has written."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, access, *_ = line.split()
            if "w" in access:
                first, last = (int(word, 16) for word in where.split("-"))
                memory.seek(first)
                found.append(memory.read(last - first))
    return b"".join(found)


def test_a_program_of_another_version_is_refused_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table of fields may differ, so it would read our requests wrongly."""
    reasons: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "_VERSION", b"\1\2\3\4")
        old = Spawner(refuse=reasons.append)
        launch = bench.spawner
        bench.spawner = old
        assert bench.launch("true") is None
        assert bench.launch("true") is None, "it was started again"
        assert old._pid == 0
        bench.spawner = launch
    assert len(reasons) == 1
    assert "is of another version of Cove: its requests have version" in reasons[0]
    assert reasons[0].endswith(", ours 01020304")
    assert bench.end(bench.launch("true")) == (0, "")


def test_a_program_that_sends_no_version_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "_PROGRAM", str(binary("hello", os.uname().machine)))
        other, own = Spawner(refuse=reasons.append), bench.spawner
        bench.spawner = other
        assert bench.launch("true") is None
        bench.spawner = own
    assert len(reasons) == 1
    assert reasons[0].endswith("is of another version of Cove: it ended at once")
