"""The spawner's children compared with the interpreter's: both must make the same container.

The spawner's count of context switches shows which of the two made a child.
"""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.security.probing import image_tar, parse, program
from tests.support.engine import NativeEngine, native_engine
from tests.support.limits import HANG_S
from tests.support.makers import MAKERS, made_by

IMAGE = "probe:latest"
WAYS = [
    (),
    ("-t",),
    ("-u", "1000:1000"),
    ("-u", "guest", "--group-add", "extra"),
    ("--read-only", "--security-opt", "no-new-privileges", "--tmpfs", "/scratch:size=1m,mode=700"),
    ("-v", "/etc/default:/host:ro", "-v", "/etc/group:/etc/issue", "-v", "fresh:/made/for/it", "-w", "/made/for/it"),
    ("--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--network", "none", "--hostname", "short"),
    ("--privileged",),
    ("--network", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host"),
    ("--pid", "host"),
    ("--cgroupns", "private", "--ulimit", "nofile=512:1024", "--sysctl", "net.ipv4.ip_forward=0", "--init"),
    ("--security-opt", "seccomp=unconfined", "--device", "/dev/fuse", "--shm-size", "1m", "--oom-score-adj", "200"),
]
FAILURES = [
    ("nothing-like-it",),
    ("/no/such/file",),
    ("/bin",),
    ("/etc/passwd",),
    ("-u", "nobody-here", "true"),
    ("-u", "root:no-group", "true"),
    ("--group-add", "no-group", "true"),
    ("-w", "/etc/passwd", "true"),
    ("-v", "/tmp:/etc/passwd", "true"),
    ("-v", "/tmp:/proc/sys", "true"),
    ("--ulimit", "nofile=99999999:99999999", "true"),
    ('"quotes\\and\ttabs"',),
    ("ünïcödé",),
]


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeEngine]:
    etc = tmp_path_factory.mktemp("etc")
    (etc / "passwd").write_text(
        "# no user:x:5:5\nroot:x:0:0:root:/root:/bin/sh\n\nshort:x\nguest:x:1005:1006:G:/home/guest:/bin/sh\n"
        "wrong:x:a:b::/:\n2000:x:7:8::/seven:/bin/sh:more:and:more:fields\n"
    )
    (etc / "group").write_text(
        "root:x:0:root\nguests:x:1006:\nextra:x:44:\nmany:x:45:a,guest,b\nalmost:x:46:guests,xguest\nbad:x:q:guest\n"
        "2000:x:2001:root,2000\nlast:x:47:guest"
    )
    tar = image_tar(
        tmp_path_factory.mktemp("probe") / "probe.tar",
        {"/probe": program("probe"), "/etc/passwd": etc / "passwd", "/etc/group": etc / "group"},
    )
    with native_engine() as engine:
        engine.docker("import", "-c", "ENV PATH=/bin", str(tar), IMAGE)
        # The first probe that opens the host's /dev/ttyN makes the kernel add /dev/vcsN, which stay: not during a test.
        engine.docker("run", "--rm", "--privileged", IMAGE, "/probe")
        yield engine


def switches(engine: NativeEngine) -> int:
    """How often the spawner has slept so far; it sleeps after each request."""
    text = Path(f"/proc/{engine.pid_of('cove-spawner')}/status").read_text()
    return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def both(engine: NativeEngine, *words: str) -> Iterator[str]:
    """The output of `docker WORDS` with the process made by the spawner, and then by the interpreter."""
    for maker in MAKERS:
        with made_by(engine, maker):
            before = switches(engine)
            done = engine.docker(*words, check=False)
            assert (switches(engine) > before) == (maker == "spawner"), "the other one made the process"
        yield re.sub(r"[0-9a-f]{64}", "ID", f"{done.stdout}{done.stderr}exit {done.returncode}")


def comparable(report: str) -> dict[tuple[str, str], str]:
    text, _, code = report.rpartition("exit ")
    assert code == "0", report
    facts = parse(text, {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")})
    # Interfaces, mounted file systems and loop devices of the host appear and disappear meanwhile.
    passing = re.compile(
        r"/proc/sys/net/ipv[46]/(conf|neigh)/(?!lo/)|/sys/class/(net|block|bdi)/|/sys/devices/virtual/(net|block|bdi)/"
        r"|/(proc|sys)/fs/(erofs|ext4|jbd2)/|/sys/(block|dev/block)/"
    )
    kept = {key: value for key, value in facts.items() if not passing.search(f"{key[1]} {value}")}
    assert len(kept) > 1000
    return {key: re.sub(r"\[\d+\]", "[number]", value) for key, value in kept.items()}


@pytest.mark.parametrize("options", WAYS, ids=" ".join)
def test_the_same_container_comes_out(probed: NativeEngine, options: tuple[str, ...]) -> None:
    mine, others = (comparable(said) for said in both(probed, "run", "--rm", *options, IMAGE, "/probe"))
    different = {key: (mine.get(key), others.get(key)) for key in mine.keys() | others.keys()}
    assert {key: pair for key, pair in different.items() if pair[0] != pair[1]} == {}


@pytest.mark.parametrize("options", [(), ("-t",), ("-u", "guest"), ("--privileged",)], ids=" ".join)
def test_the_same_exec_comes_out(probed: NativeEngine, options: tuple[str, ...]) -> None:
    name = probed.docker("run", "-d", "--rm", IMAGE, "sleep", "60").stdout.strip()
    try:
        mine, others = (comparable(said) for said in both(probed, "exec", *options, name, "/probe"))
        assert {key for key in mine.keys() | others.keys() if mine.get(key) != others.get(key)} == set()
    finally:
        probed.docker("rm", "-f", name)


@pytest.mark.parametrize("words", FAILURES, ids=" ".join)
def test_the_same_failure_is_told(probed: NativeEngine, words: tuple[str, ...]) -> None:
    options, command = words[:-1], words[-1]
    mine, others = both(probed, "run", "--rm", *options, IMAGE, command)
    assert mine == others
    assert re.search(r"exit 12[567]$", mine), mine


@pytest.mark.parametrize(
    "user", ["", "0", "guest", "1005", "2000", "7", "root:guests", "12:34", "guest:44", ":44", "7:0"]
)
def test_users_are_looked_up_alike(probed: NativeEngine, user: str) -> None:
    options = ("-u", user) if user else ()
    look = "id; echo $HOME; grep -E '^(Uid|Gid|Groups|Cap)' /proc/self/status"
    mine, others = both(probed, "run", "--rm", *options, IMAGE, "sh", "-c", look)
    assert mine == others
    assert mine.startswith("uid=")


@pytest.mark.parametrize(
    "trick",
    ["mkfifo /etc/passwd", "mkdir /etc/passwd", "ln -s /etc/passwd /etc/passwd", "ln -s ../../../../x /etc/passwd"],
)
def test_a_hostile_passwd_stops_nobody(probed: NativeEngine, trick: str) -> None:
    name = "hostile"
    script = f"rm /etc/passwd; {trick}; echo ready; sleep 60"
    probed.docker("run", "-d", "--name", name, IMAGE, "sh", "-c", script)
    try:
        while "ready" not in probed.docker("logs", name).stdout:
            continue
        mine, others = both(probed, "exec", name, "grep", "^Uid", "/proc/self/status")
        assert mine == others == "Uid:\t0\t0\t0\t0\nexit 0"
        mine, others = both(probed, "exec", "-u", "guest", name, "true")
        assert mine == others
        assert "unable to find user guest: no matching entries in passwd file" in mine
    finally:
        probed.docker("rm", "-f", name)


def test_a_killed_spawner_costs_no_container(own_engine: NativeEngine) -> None:
    """Killed again and again while containers start: each of them runs to its own end, and nothing is left."""
    numbers = range(40)

    def run(number: int) -> tuple[int, str]:
        done = own_engine.docker("run", "--rm", "busybox", "sh", "-c", f"echo {number}; exit {number}", check=False)
        return done.returncode, done.stdout.strip()

    seen = set()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(run, number) for number in numbers]
        while not all(future.done() for future in running):
            with suppress(ProcessLookupError, AssertionError):  # there is none for a moment
                pid = own_engine.pid_of("cove-spawner")
                os.kill(pid, signal.SIGKILL)
                seen.add(pid)
            running[-1].exception(0) if running[-1].done() else time.sleep(0.05)
    assert [future.result() for future in running] == [(number, str(number)) for number in numbers]
    assert len(seen) > 3
    supervisor = own_engine.pid_of("cove-supervisor")
    assert own_engine.docker("run", "--rm", "busybox", "echo", "again").stdout == "again\n"
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    assert [Path(f"/proc/{pid}/comm").read_text() for pid in children] == ["cove-spawner\n"]


def test_the_spawner_and_a_choice_against_it_end_with_their_supervisor(own_engine: NativeEngine) -> None:
    first = own_engine.pid_of("cove-spawner")
    pidfd = os.pidfd_open(first)
    with made_by(own_engine, "interpreter"):
        try:
            os.kill(own_engine.pid_of("cove-supervisor"), signal.SIGKILL)
            assert select.select([pidfd], [], [], HANG_S)[0], "it outlives its supervisor"
        finally:
            os.close(pidfd)
        assert own_engine.docker("run", "--rm", "busybox", "echo", "on").stdout == "on\n"
        assert own_engine.pid_of("cove-spawner") != first
        before = switches(own_engine)
        assert own_engine.docker("run", "--rm", "busybox", "echo", "again").stdout == "again\n"
        assert switches(own_engine) > before, "the new supervisor does not use the spawner"
