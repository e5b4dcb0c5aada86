"""Attacks on the host's processes and on the runtime itself, from inside a container."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.security.conftest import IMAGE, LOADER, Attacker
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.makers import MAKERS, Maker, made_by
from tests.support.tools import ROOT
from vmagent.native import binary

SPAWNER = binary("spawner", os.uname().machine)
SECRET_KEY = "cove-host-secret"
_ADD_KEY, _KEYCTL = 248, 250  # asm/unistd_64.h
_JOIN_SESSION_KEYRING, _SESSION_KEYRING = 1, -3


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tests' own interpreter that may be destroyed, with `cove-agent` beside it."""
    folder = tmp_path_factory.mktemp("interpreter")
    (folder / "bin").mkdir()
    python = folder / "bin" / "python3"
    shutil.copy(os.path.realpath(sys.executable), python)
    (folder / "pyvenv.cfg").write_text(f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "tests.pth").write_text(f"{ROOT}\n{Path(sys.prefix) / 'lib' / version / 'site-packages'}\n")
    agent = folder / "bin" / "cove-agent"
    agent.write_text(f"#!{python}\nimport sys\nfrom vmagent.keeper.main import entry\nsys.exit(entry())\n")
    agent.chmod(0o755)
    return python


@pytest.fixture(scope="module")
def target(attacker_tar: Path, interpreter: Path) -> Iterator[NativeEngine]:
    """An engine run by that copy; the process that started it ignores signals and has a secret in its keyring."""
    engine = NativeEngine()
    has_tried, is_over = threading.Event(), threading.Event()

    def start() -> None:
        """In a thread of its own, because session keyring and signal mask belong to a thread. The thread stays: the
        engine ends with it."""
        try:
            start_here()
        finally:
            has_tried.set()
        is_over.wait()

    def start_here() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall(_KEYCTL, _JOIN_SESSION_KEYRING, None, 0, 0, 0)
        added = libc.syscall(_ADD_KEY, b"user", SECRET_KEY.encode(), b"x", ctypes.c_size_t(1), _SESSION_KEYRING)
        assert added > 0, os.strerror(ctypes.get_errno())
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGQUIT, signal.SIGUSR1})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", str(interpreter))
            engine.start()

    quits = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        starter = threading.Thread(target=start)
        starter.start()
        has_tried.wait()
    finally:
        signal.signal(signal.SIGQUIT, quits)
    before = hashlib.sha256(interpreter.read_bytes()).digest()
    try:
        engine.docker("import", "-c", "ENV PATH=/bin", str(attacker_tar), IMAGE)
        yield engine
    finally:
        engine.stop()
        is_over.set()
        starter.join()
    assert hashlib.sha256(interpreter.read_bytes()).digest() == before, "the interpreter was changed"


@pytest.fixture
def on_target(target: NativeEngine) -> Iterator[Attacker]:
    made = Attacker(target)
    yield made
    made.end()


@pytest.mark.spec("CVE-2019-5736: overwriting the runtime through /proc/self/exe, by run and by exec")
def test_the_interpreter_is_read_only_for_those_it_starts(
    target: NativeEngine, on_target: Attacker, interpreter: Path
) -> None:
    """The image's dynamic loader is the attacker: the runtime's own program, started inside, runs it."""
    assert LOADER.encode() in interpreter.read_bytes(), "the attack takes the place of this loader"
    before = os.stat(interpreter)
    name = on_target.start("sleep", "60")
    with made_by(target, "interpreter"):
        said = [
            on_target.run("/proc/self/exe"),
            on_target.run("/bait"),
            target.docker("exec", name, "/proc/self/exe", check=False),
            target.docker("exec", "-t", name, "/bait", check=False),
        ]
    for done in said:
        assert "target: " in done.stdout, f"the attack did not get as far as the runtime: {done}"
        lines = dict(line.split(": ", 1) for line in done.stdout.replace("\r", "").splitlines())
        for attempt in ("truncate", "chmod", "access"):
            assert lines[attempt] == "Read-only file system", done.stdout
        assert lines["append"] in ("Read-only file system", "Text file busy"), "the engine itself runs by the same file"
    after = os.stat(interpreter)
    assert (after.st_size, after.st_mode, after.st_ctime_ns) == (before.st_size, before.st_mode, before.st_ctime_ns)


@pytest.mark.spec("CVE-2019-5736: overwriting the runtime through /proc/PID/exe of an exec")
@pytest.mark.parametrize("privileged", [(), ("--privileged",)], ids=["usual", "privileged"])
def test_the_spawner_is_read_only_for_those_it_starts(
    target: NativeEngine, on_target: Attacker, privileged: tuple[str, ...]
) -> None:
    """The spawner's child ends too soon to be inspected, so the attacker inside stops each new process."""
    before = SPAWNER.read_bytes(), os.stat(SPAWNER)
    name = on_target.start_until("hunting", "/attack", "hunt", options=privileged)
    deadline = time.monotonic() + HANG_S
    while "access: " not in (said := target.docker("logs", name).stdout):
        assert time.monotonic() < deadline, "no child of the spawner was stopped in time"
        target.docker("exec", name, "/bait", check=False)
    lines = dict(line.split(": ", 1) for line in said.splitlines()[1:])
    for attempt in ("truncate", "chmod", "access"):
        assert lines[attempt] == "Read-only file system", said
    assert lines["append"] in ("Read-only file system", "Text file busy"), "the spawner itself runs by the same file"
    after = os.stat(SPAWNER)
    assert SPAWNER.read_bytes() == before[0]
    assert (after.st_mode, after.st_ctime_ns) == (before[1].st_mode, before[1].st_ctime_ns)


@pytest.mark.spec("CVE-2016-9962: an exec is traced by the container that it enters")
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("may_trace", [False, True])
def test_nobody_traces_an_exec_before_it_is_the_command(attacker: Attacker, may_trace: bool, maker: Maker) -> None:
    """Except with SYS_PTRACE, which shows that the attack works.

    At that moment the spawner's child has nothing of the host any more; the interpreter's still has.
    """
    options = ("--cap-add", "SYS_PTRACE") if may_trace else ()
    name = attacker.start_until("hunting", "/attack", "seize", options=options)
    with made_by(attacker.engine, maker):
        for _ in range(20):
            attacker.engine.docker("exec", name, "sleep", "0.05")
    seized = [line for line in attacker.engine.docker("logs", name).stdout.splitlines() if "seized: /" in line]
    assert seized
    before = [line.rpartition(" ")[2] for line in seized if line.startswith("seized: / ")]
    assert bool(before) == may_trace, "a program on a mount of its own: the spawner, the interpreter"
    assert maker == "interpreter" or set(before) <= {"inside"}, seized


def test_a_container_is_born_with_all_signals_as_usual(target: NativeEngine, on_target: Attacker) -> None:
    name = on_target.start("sleep", "60")
    for done in (on_target.run("cat", "/proc/self/status"), target.docker("exec", name, "cat", "/proc/self/status")):
        facts = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
        assert (facts["SigIgn"], facts["SigBlk"], facts["ShdPnd"]) == ("0" * 16,) * 3


def test_the_starter_s_keyring_stays_his(target: NativeEngine, on_target: Attacker) -> None:
    """By default seccomp refuses all calls on keyrings. A container without it has a session keyring of its own."""
    assert target.process is not None
    name = on_target.start("sleep", "60", options=("--security-opt", "seccomp=unconfined"))
    for done in (
        on_target.run("/attack", "secret", SECRET_KEY, options=("--security-opt", "seccomp=unconfined")),
        target.docker("exec", name, "/attack", "secret", SECRET_KEY, check=False),
    ):
        assert done.stdout == "search: Required key not available\n"
    said = on_target.run("/attack", "keyrings", SECRET_KEY).stdout
    assert said.count("Operation not permitted") == 3
    assert on_target.run("cat", "/proc/keys").stdout == ""


@pytest.mark.spec("CVE-2024-21626: the host's files by a descriptor or a working folder that was left open")
def test_no_descriptor_and_no_folder_of_the_host_s_comes_along(attacker: Attacker) -> None:
    look = "ls /proc/self/fd; readlink /proc/1/cwd; readlink /proc/1/root"
    name = attacker.start("sleep", "60")
    for stdout in (
        attacker.run("sh", "-c", look).stdout,
        attacker.engine.docker("exec", name, "sh", "-c", look).stdout,
    ):
        assert stdout.split() == ["0", "1", "2", "3", "/", "/"], "three streams, and what ls reads the folder by"
    for number in (3, 4, 5, 6, 7, 8, 9, 10, 11, 14):
        folder = f"/proc/self/fd/{number}"
        ran = attacker.run("pwd", options=("-w", folder))
        executed = attacker.engine.docker("exec", "-w", folder, name, "pwd", check=False)
        for done in (ran, executed):
            assert done.returncode in (125, 126, 127), done.stdout
            assert done.stdout == ""


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host's."""
    with subprocess.Popen(["sleep", "120"], env={"SECRET": "the host's secret"}) as process:
        yield process
        assert process.poll() is None, "it was killed"
        process.kill()


def test_no_process_of_the_host_s_is_within_reach(attacker: Attacker, victim: subprocess.Popen[bytes]) -> None:
    """Its pid means nothing inside. With --pid host it is visible, but a default container may not inspect it."""
    kill = "for n in 9 STOP 1; do kill -$n $1; done; cat /proc/$1/environ; ls /proc/$1/root/"
    said = attacker.shell(f"set -- {victim.pid}; {kill}; /attack process {victim.pid}")
    assert "secret" not in said
    assert said.count("No such process") == 6
    assert "done" not in said
    said = attacker.run("/attack", "process", str(victim.pid), options=("--pid", "host")).stdout
    refused = dict(line.split(": ", 1) for line in said.splitlines())
    for attempt in ("ptrace", "process_vm_readv", "pidfd_getfd"):
        assert refused[attempt] == "Operation not permitted"
    for name in ("mem", "environ", "root/etc/passwd", "cwd", "fd/0", "ns/mnt", "maps", "exe"):
        assert refused[name] == "Permission denied", name
    fields = Path(f"/proc/{victim.pid}/status").read_text()
    assert "TracerPid:\t0" in fields
    assert "T (stopped)" not in fields


def test_no_other_namespace_is_entered(attacker: Attacker) -> None:
    for words in (("enter", "/proc/1/ns/mnt"), ("enter", "/proc/self/ns/pid"), ("handle",)):
        assert "Operation not permitted" in attacker.run("/attack", *words).stdout
    said = attacker.shell(
        "unshare -Ur true; unshare -m true; mount -t proc none /tmp; mount -o remount,rw /sys; umount /proc/keys;"
        " umount /proc/sys; chroot / mount --bind /tmp /etc; mount -t tmpfs none /proc/sys; pivot_root . ."
    )
    refusals = sum(said.count(words) for words in ("not permitted", "permission denied", "Permission denied"))
    assert refusals == 9, said


@pytest.mark.spec("CVE-2022-2995, CVE-2022-36109: groups; CVE-2022-24769: inheritable capabilities")
def test_no_group_and_no_capability_comes_along(attacker: Attacker) -> None:
    wanted = {"1000": "1000 50", "user": "1000 50", "1000:1000": "1000", "user:user": "1000", "0": "0", "12345": "0"}
    name = attacker.start("sleep", "60")
    for user, groups in wanted.items():
        words = ("sh", "-c", "id -G; grep -E 'Groups|CapInh|CapAmb|CapEff' /proc/self/status")
        ran = attacker.run(*words, options=("-u", user, "--cap-add", "SYS_TIME"))
        executed = attacker.engine.docker("exec", "-u", user, name, *words)
        for done in (ran, executed):
            lines = done.stdout.splitlines()
            facts = dict(line.split(":\t", 1) for line in lines[1:])
            assert sorted(lines[0].split()) == sorted(groups.split()), user
            assert set(facts["Groups"].split()) <= set(groups.split()), user
            assert (int(facts["CapInh"], 16), int(facts["CapAmb"], 16)) == (0, 0), user
            assert (int(facts["CapEff"], 16) == 0) == (user != "0"), user


def test_groups_of_the_runtime_are_not_the_container_s(runtime: Callable[..., list[str]]) -> None:
    done = subprocess.run(
        runtime("id", "-G"), extra_groups=[4242, 4243], capture_output=True, text=True, timeout=HANG_S, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_the_terminal_of_who_starts_it_stays_his(runtime: Callable[..., list[str]]) -> None:
    """The container's standard input is the controlling terminal of the session that starts it."""
    master, slave = os.openpty()
    words = runtime("/attack", "terminal", "0")
    with subprocess.Popen(
        words, stdin=slave, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
    ) as process:  # fmt: skip
        said, _ = process.communicate(timeout=HANG_S)
        answers = dict(line.split(": ", 1) for line in said.splitlines())
    waiting = fcntl.ioctl(slave, termios.FIONREAD, bytes(4))
    os.close(master)
    os.close(slave)
    assert answers["TIOCSTI"] in ("Operation not permitted", "Input/output error")
    assert answers["TIOCSCTTY"] == "Operation not permitted"
    assert "done" not in answers.values()
    assert waiting == bytes(4)


def test_a_container_s_own_terminal_is_all_it_reaches(attacker: Attacker) -> None:
    assert "done" not in attacker.shell("for n in 0 1 2; do /attack terminal $n; done", "-i")
    said = attacker.shell("tty; ls /dev/pts", "-t")
    assert said.split() == ["/dev/pts/0", "0", "ptmx"]
