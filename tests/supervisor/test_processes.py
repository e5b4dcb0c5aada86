"""Names, memory and protection of keeper and supervisor, and the one-line errors of `cove-agent`."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.supervisor.conftest import LIMIT_S, Engine, Keeper
from tests.support.limits import HANG_S
from vmagent.keeper import main
from vmagent.keeper.main import CannotStart, open_all, parse, take_lock
from vmagent.paths import DataRoot, ExecRoot
from vmagent.supervisor.messages import SpawnError

BANNED = {"asyncio", "dataclasses", "json", "logging", "re", "socket", "subprocess", "typing"}
MAX_RSS_KB = 16_000  # each MB makes every clone3 18 µs slower


@pytest.mark.parametrize("module", ["vmagent.supervisor.main, vmagent.supervisor.supervisor", "vmagent.keeper.keeper"])
def test_supervisor_and_keeper_load_nothing_big(module: str) -> None:
    code = f"import sys; sys.path.append(sys.argv[1]); import {module}; print(*sys.modules)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, root], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & BANNED
    if module == "vmagent.keeper.keeper":
        assert not loaded & {"ctypes", "vmagent.runtime.launch"}


def test_the_three_have_their_names_and_little_memory(keeper: Keeper) -> None:
    pids = {"cove-keeper": keeper.process.pid}
    for name in ("cove-supervisor", "cove-engine"):
        pids[name] = keeper.pid_of(name)
    for name, pid in pids.items():
        listed = subprocess.run(["ps", "-o", "comm=,args=", "-p", str(pid)], capture_output=True, text=True, check=True)
        assert listed.stdout.split() == [name, name]
    assert int((keeper.root / "pid").read_text()) == keeper.process.pid
    for name in ("cove-supervisor", "cove-keeper"):
        status = Path(f"/proc/{pids[name]}/status").read_text()
        rss = int(status.partition("VmRSS:")[2].split()[0])
        assert rss < MAX_RSS_KB, f"{name}: {rss} kB"
        assert "Threads:\t1\n" in status


def test_the_supervisor_runs_from_a_read_only_interpreter(keeper: Keeper) -> None:
    """CVE-2019-5736: during an exec, a container could open /proc/PID/exe of the supervisor."""
    with pytest.raises(OSError, match=r"Read-only file system|Text file busy"):
        os.open(f"/proc/{keeper.pid_of('cove-supervisor')}/exe", os.O_WRONLY)
    assert os.statvfs(f"/proc/{keeper.pid_of('cove-supervisor')}/exe").f_flag & os.ST_RDONLY


def agent(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    roots = ["--data-root", str(root / "data"), "--exec-root", str(root / "exec")]
    return subprocess.run(
        [Path(sys.executable).with_name("cove-agent"), *roots, *args],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--bip", "172.30.0.1"], "172.30.0.1/16"),
        (["--bip", "172.30.0.0/16"], "no host's address"),
        (["--bip", "nonsense/16"], "--bip nonsense/16"),
        (["--host-gateway-ip", "10.0.0.0/8"], "--host-gateway-ip 10.0.0.0/8"),
        (["-H", "unix://relative.sock"], "absolute"),
        (["-H", "tcp://0.0.0.0:2375"], "loopback"),
        (["-H", "tcp://127.0.0.1:2376", "--tls"], "clients need certificates: use --tlsverify"),
        (["-H", "tcp://127.0.0.1"], "tcp://127.0.0.1:PORT"),
        (["-H", "fd://"], "unix:///PATH"),
        (["-H", "unix:///" + 120 * "x"], "longer than"),
        (["--insecure-registry", "http://x"], "without a scheme"),
        (["--registry-mirror", "mirror:5000"], "invalid mirror: unsupported scheme"),
        (["--registry-mirror", "https://a/b"], "path, query, or fragment at end of the URI"),
        (["--registry-mirror", "https://ann:secret@a"], "username/password not allowed in URI"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(tmp_path: Path, args: list[str], says: str) -> None:
    assert says in one_line(agent(tmp_path, *args))
    assert not (tmp_path / "data").exists()


def test_a_second_engine_on_the_same_root_is_refused(keeper: Keeper) -> None:
    says = one_line(agent(keeper.root, "-H", f"unix://{keeper.root}/other.sock"))
    assert f"another engine (pid {keeper.process.pid}) runs on the data root" in says
    says = one_line(agent(keeper.root, "--data-root", f"{keeper.root}/data2"))
    assert "another engine runs on the exec root" in says


@pytest.fixture
def shm_folder() -> Iterator[Path]:
    """A folder on a tmpfs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def filesystem_of(path: Path) -> str:
    """The type of the file system at `path`, as stat(1) names it."""
    return subprocess.check_output(["stat", "-f", "-c", "%T", path], text=True).strip()


def mounts_at(path: Path) -> list[str]:
    """The file systems mounted at `path`, as "source type" from /proc/self/mounts."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [" ".join(line.split()[0:3:2]) for line in lines if line.split()[1] == str(path)]


@pytest.mark.logs("Traceback")  # from the stub engine, when its keeper is killed
@pytest.mark.usefixtures("adopting_orphans")
def test_the_run_time_root_lies_in_memory() -> None:
    """An exec root on a disk gets a tmpfs, from the first start to the stop: its files must not outlive a boot."""
    root = Path(tempfile.mkdtemp(dir="/var/tmp"))
    if filesystem_of(root) == "tmpfs":
        pytest.skip("no disk here")
    keeper = Keeper("--exec-root", str(root))
    try:
        assert mounts_at(root) == ["cove-exec-root tmpfs"]
        keeper.orphans += [keeper.pid_of("cove-supervisor"), keeper.pid_of("cove-engine")]
        keeper.process.kill()
        keeper.process.wait()
        keeper.start()
        assert mounts_at(root) == ["cove-exec-root tmpfs"], "the one that the killed one left"
        says = one_line(agent(keeper.root, "--data-root", f"{keeper.root}/data2", "--exec-root", str(root)))
        assert "another engine runs on the exec root" in says
        assert mounts_at(root) == ["cove-exec-root tmpfs"]
    finally:
        keeper.close()
    assert mounts_at(root) == []
    root.rmdir()


def test_nothing_that_lies_there_is_hidden(tmp_path: Path) -> None:
    """No tmpfs is mounted over a data root below the exec root, or over the socket of an existing supervisor."""
    root = ExecRoot(Path(tempfile.mkdtemp(dir="/var/tmp")))
    if filesystem_of(root.path) == "tmpfs":
        pytest.skip("no disk here")
    link = tmp_path / "with a space"
    link.symlink_to(root.path)
    with ExitStack() as undo:
        undo.callback(root.path.rmdir)
        assert not main.mount_exec_root(root, DataRoot(link / "data"), undo)
        root.supervisor_socket.touch()
        assert not main.mount_exec_root(root, DataRoot(tmp_path), undo)
        root.supervisor_socket.unlink()
        assert mounts_at(root.path) == []
        # The mount is recognised by any path to it.
        assert main.mount_exec_root(ExecRoot(link), DataRoot(tmp_path), undo)
        assert mounts_at(root.path) == ["cove-exec-root tmpfs"]
        assert main.mount_exec_root(ExecRoot(link), DataRoot(tmp_path), undo)
        (root.path / "below").mkdir()
        assert not main.mount_exec_root(ExecRoot(root.path / "below"), DataRoot(tmp_path), undo)


def test_who_can_t_start_leaves_no_mount(tmp_path: Path) -> None:
    (tmp_path / "e.sock").mkdir()
    assert "e.sock" in one_line(agent(tmp_path, "-H", f"unix://{tmp_path}/e.sock"))
    assert (tmp_path / "exec").is_dir()
    assert mounts_at(tmp_path / "exec") == []


def test_a_run_time_root_in_memory_is_taken_as_it_is(shm_folder: Path) -> None:
    keeper = Keeper("--exec-root", str(shm_folder))
    try:
        assert mounts_at(shm_folder) == []
        assert (shm_folder / "supervisor.sock").exists()
    finally:
        keeper.close()


def test_a_lock_names_the_engine_that_holds_it_and_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pid of a killed keeper may have been reused: the new process is not reported as an engine."""
    path = tmp_path / "engine.lock"
    os.close(take_lock(path, "it"))
    (own,) = path.read_text().splitlines()
    held = os.open(path, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    monkeypatch.setattr(main, "_OLD_ENGINE_LIMIT_S", 0.05)
    try:
        with pytest.raises(CannotStart, match=rf"another engine \(pid {os.getpid()}\) runs on it"):
            take_lock(path, "it")
        for content in (f"{own}9\n", f"{os.getpid()}\n", ""):
            path.write_text(content)
            with pytest.raises(CannotStart, match="another engine runs on it"):
                take_lock(path, "it")
    finally:
        os.close(held)
    os.close(take_lock(path, "it"))


def test_whoever_can_not_start_leaves_no_socket(tmp_path: Path, busy_socket: Path, shm_folder: Path) -> None:
    listen: tuple[str, ...] = ("-H", f"unix://{tmp_path}/first.sock", "-H")
    assert "in use" in one_line(agent(tmp_path, *listen, f"unix://{busy_socket}"))
    assert not (tmp_path / "first.sock").exists()
    pidfile = tmp_path / "folder"
    pidfile.mkdir()
    root = shm_folder / "exec"
    root.mkdir()
    (root / "supervisor.sock").touch()
    listen = (*listen, f"unix://{tmp_path}/second.sock", "--exec-root", str(root))
    for why in ("is no socket", "Is a directory"):
        assert why in one_line(agent(tmp_path, *listen, "--pidfile", str(pidfile)))
        assert {path.name for path in tmp_path.rglob("*.sock")} == {"busy.sock"}
        (root / "supervisor.sock").unlink(missing_ok=True)
    assert os.listdir(root) == ["containers"]


@pytest.fixture
def busy_socket(tmp_path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "busy.sock"))
        sock.listen()
        yield tmp_path / "busy.sock"


def test_a_socket_in_use_is_refused_and_a_stale_one_replaced(tmp_path: Path, busy_socket: Path) -> None:
    assert "in use" in one_line(agent(tmp_path, "-H", f"unix://{busy_socket}"))
    (tmp_path / "file").touch()
    assert "is no socket" in one_line(agent(tmp_path, "-H", f"unix://{tmp_path}/file"))
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        port = tcp.getsockname()[1]
        assert "already in use" in one_line(agent(tmp_path, "-H", f"tcp://127.0.0.1:{port}"))


def test_the_engine_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(CannotStart, match="needs root"):
        open_all(parse([]))


def test_the_supervisor_says_what_it_is_by_hand() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("cove-supervisor")], capture_output=True, text=True, check=False
    )
    assert "started by cove-agent" in one_line(done)


def test_a_hangup_does_not_stop_the_engine_and_int_does(keeper: Keeper) -> None:
    keeper.process.send_signal(signal.SIGHUP)
    keeper.process.send_signal(signal.SIGINT)
    assert keeper.process.wait(HANG_S) == 0


def test_nobody_reading_its_standard_error_does_not_stop_it(tmp_path: Path) -> None:
    """Keeper and supervisor go on if the reader of their stderr does not read, or has closed the pipe."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    made = Keeper(stderr=writer)
    os.close(writer)
    try:
        made.kill("cove-supervisor")
        os.close(reader)
        made.kill("cove-supervisor")
        made.kill("cove-engine")
    finally:
        made.close()


def test_an_engine_that_cannot_start_ends_the_agent_with_its_reason(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.supervisor.harness", "-H", f"unix://{tmp_path}/e.sock"),
            *("--data-root", tmp_path / "data", "--exec-root", tmp_path / "exec", "--pidfile", tmp_path / "pid"),
        ],
        env={**os.environ, "ENGINE_CODE": "import sys; sys.exit('cove-engine: the records are of a newer version')"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert one_line(done) == "cove-engine: the records are of a newer version\n"
    assert {path.name for path in tmp_path.rglob("*")} - {"containers"} == {"data", "engine.lock", "exec"}


def test_with_defer_open_the_data_root_is_left_alone() -> None:
    """The VM's data disk is mounted there later."""
    made = Keeper("--defer-open")
    try:
        made.pid_of("cove-engine")
        assert not (made.root / "data").exists()
    finally:
        made.close()


def test_nothing_piles_up_in_keeper_and_supervisor(keeper: Keeper, rootfs: Path) -> None:
    async def use(engine: Engine) -> None:
        for _ in range(5):
            container = engine.container("cat", tty=True)
            await container.start()
            for tty in (False, True):
                running = await container.exec("echo", "hi", tty=tty, streams=("stdin", "stdout", "stderr"))
                await running.end()
                assert running.output.strip() == b"hi"
            await engine.client.signal(container.id, signal.SIGKILL)
            await container.end()
            with pytest.raises(SpawnError):
                await engine.container("nosuch", stdin=True).start()

    def descriptors() -> dict[str, int]:
        pids = {"keeper": keeper.process.pid, "supervisor": keeper.pid_of("cove-supervisor"), "self": os.getpid()}
        return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()}

    async def assert_settles(wanted: dict[str, int]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not wanted.items() <= descriptors().items():  # the keeper handles messages asynchronously
            assert time.monotonic() < deadline, (descriptors(), wanted)
            await asyncio.sleep(0.01)  # not time.sleep: the client closes an ended exec by a timer of this loop

    async def scenario() -> None:
        idle = descriptors()
        engine = Engine(keeper, rootfs)
        await engine.connect()
        await use(engine)
        await assert_settles({"keeper": idle["keeper"]})
        before = descriptors()
        await use(engine)
        await assert_settles(before)
        await engine.client.close()

    asyncio.run(scenario())
    assert not list((keeper.root / "exec" / "containers").iterdir())
