"""--userns-remap: a container's root is an unprivileged user of the host, with unchanged layers and volumes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.client import archives
from desktop.client.archives import Filed
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli
from tests.support.waiting import wait_until

IMAGE = "busybox:latest"
UIDS, GIDS, COUNT = 200_000, 300_000, 65_536
CAPABILITY = "SCHILY.xattr.security.capability"
# struct vfs_cap_data, revision 2: effective, and permitted is CAP_CHOWN
FILE_CHOWN = struct.pack("<IIIII", 0x02000001, 1, 0, 0, 0).decode()
ETC = {
    "passwd": "root:x:0:0::/root:/bin/sh\nremap:x:4321:4321::/:/bin/false\nbare:x:4322:4322::/:/bin/false\n",
    "group": "root:x:0:\nremap:x:4321:\n",
    "subuid": f"remap:{UIDS}:{COUNT}\n",
    "subgid": f"4321:{GIDS}:{COUNT}\n",
}


class RemappedEngine(NativeEngine):
    """An engine with a user `remap` that has subordinate ids: in its mount namespace, own files cover those in /etc."""

    def __init__(self, remap: str = "remap") -> None:
        super().__init__("--userns-remap", remap)
        self.prefix = hosted(self.root)


def hosted(folder: Path) -> tuple[str | Path, ...]:
    """A command that executes another one where /etc has the users of `ETC`."""
    for name, text in ETC.items():
        (folder / name).write_text(text)
    binds = " && ".join(f"mount --bind {folder / name} /etc/{name}" for name in ETC)
    return ("unshare", "--mount", "sh", "-c", f'{binds} && exec "$0" "$@"')


@contextlib.contextmanager
def remapped(busybox_tar: Path) -> Iterator[RemappedEngine]:
    made = RemappedEngine()
    try:
        made.start()
        made.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def engine(busybox_tar: Path) -> Iterator[RemappedEngine]:
    with remapped(busybox_tar) as made:
        yield made


@pytest.fixture
def own_engine(busybox_tar: Path) -> Iterator[RemappedEngine]:
    with remapped(busybox_tar) as made:
        yield made


@pytest.fixture
def name(request: pytest.FixtureRequest, engine: RemappedEngine) -> Iterator[str]:
    """A name for the test's container, which is removed at the end."""
    made = f"cvt-{abs(hash(request.node.nodeid)):x}"
    yield made
    engine.docker("rm", "-fv", made, check=False)


def run(engine: NativeEngine, *args: str) -> str:
    """What `docker run --rm FLAGS… IMAGE sh -c SCRIPT` prints; the last of `args` is the script."""
    return engine.docker("run", "--rm", *args[:-1], IMAGE, "sh", "-c", args[-1]).stdout


def pid_of(engine: NativeEngine, container: str) -> int:
    return int(engine.docker("inspect", "-f", "{{.State.Pid}}", container).stdout)


def owners(archive: bytes) -> dict[str, tuple[int, int]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: (member.uid, member.gid) for member in tar}


def copied_out(engine: NativeEngine, path: str) -> bytes:
    command: list[str | Path] = [docker_cli(), "cp", path, "-"]
    return subprocess.run(
        command, env={**os.environ, "DOCKER_HOST": engine.host}, check=True, stdout=subprocess.PIPE
    ).stdout


def copied_in(engine: NativeEngine, path: str, archive: bytes) -> None:
    command: list[str | Path] = [docker_cli(), "cp", "-", path]
    subprocess.run(command, env={**os.environ, "DOCKER_HOST": engine.host}, check=True, input=archive)


def capability(archive: bytes) -> str | None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return next(iter(tar)).pax_headers.get(CAPABILITY)


def test_root_inside_is_an_unprivileged_user_of_the_host(engine: RemappedEngine, name: str, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    secret = shared / "secret"
    secret.write_text("of the host")
    secret.chmod(0o600)
    engine.docker("run", "-d", "--name", name, "-v", f"{shared}:/shared", IMAGE, "sleep", "60")
    pid = pid_of(engine, name)
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(UIDS), str(COUNT)]
    assert Path(f"/proc/{pid}/gid_map").read_text().split() == ["0", str(GIDS), str(COUNT)]
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert set(status["Uid"].split()) == {str(UIDS)}
    assert set(status["Gid"].split()) == {str(GIDS)}
    said = engine.docker(
        "exec",
        name,
        "sh",
        "-c",
        "id -u; touch /shared/made; stat -c %u /shared/secret; cat /shared/secret 2>&1; exit 0",
    ).stdout.splitlines()
    assert said[:2] == ["0", "65534"]
    assert said[2].endswith("Permission denied")
    made = (shared / "made").stat()
    assert (made.st_uid, made.st_gid) == (UIDS, GIDS)
    assert "name=userns" in engine.docker("info", "-f", "{{.SecurityOptions}}").stdout


def test_a_folder_is_listed_with_the_owners_inside(engine: RemappedEngine, name: str) -> None:
    script = (
        "mkdir /d; touch /d/own /d/other /data/kept; chown 7:8 /d/other; ln -s /data /d/way; chmod 700 /d; sleep 60"
    )
    engine.docker("run", "-d", "--name", name, "-v", f"{name}:/data", IMAGE, "sh", "-c", script)
    engine.docker("exec", name, "sh", "-c", "until test -e /d/way; do sleep 0.05; done")

    def look() -> None:
        with engine.client() as client:
            found = {each["name"]: each for each in archives.listing(client, Filed.container(name), "/d")["entries"]}
            owners = {entry: (each["uid"], each["gid"]) for entry, each in found.items()}
            assert owners == {"own": (0, 0), "other": (7, 8), "way": (0, 0)}
            assert found["way"]["target_type"] == "folder"
            assert [each["name"] for each in archives.listing(client, Filed.container(name), "/d/way")["entries"]] == [
                "kept"
            ]

    try:
        look()
        engine.docker("kill", name)
        engine.docker("wait", name)
        look()
    finally:
        engine.docker("rm", "-fv", name)
        engine.docker("volume", "rm", name)


def test_with_every_capability_it_has_none_over_the_host(engine: RemappedEngine, tmp_path: Path) -> None:
    """Its capabilities hold in its own user namespace only: it can mount, but no device, and can't change the host."""
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    secret.chmod(0o600)
    script = """
        mount -t tmpfs t /tmp && echo mounts
        mknod /disk b 8 0; mknod /dev/mem c 1 1; mknod /tmp/disk b 8 0
        cat /secret; chown 0 /secret; chmod 666 /secret; cp /secret /copy
        mount -t proc p /proc; echo 1 >/proc/sys/kernel/panic; echo h >/proc/sysrq-trigger
        hostname inside && echo names
        test -e /disk || test -e /copy || echo safe
    """
    before = Path("/proc/sys/kernel/panic").read_text()
    flags = ("--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "-v", f"{secret}:/secret")
    said = run(engine, *flags, f"({script}) 2>/dev/null; exit 0").split()
    assert said == ["mounts", "names", "safe"]
    assert Path("/proc/sys/kernel/panic").read_text() == before
    assert (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (0, 0o600)


def test_the_image_is_root_s_inside_and_stays_as_it_is(engine: RemappedEngine, name: str) -> None:
    """Layers are not copied or chowned: files that a container writes have the ids from inside on disk."""
    layers = [path for path in (engine.root / "data" / "layers").rglob("*") if path.is_file() and not path.is_symlink()]
    before = {path: (info.st_uid, info.st_ino, info.st_ctime_ns) for path in layers for info in [path.stat()]}
    assert before
    engine.docker("run", "-d", "--name", name, IMAGE, "sleep", "60")
    script = (
        "stat -c '%u %g' /bin/busybox /etc /; echo x >>/etc/passwd; echo y >/new; chown 7:8 /new; rm /bin/ls;"
        "mkdir /folder; stat -c '%u %g' /etc/passwd /new /etc/hosts; echo 127.9.9.9 mine >>/etc/hosts; echo $?"
    )
    said = engine.docker("exec", name, "sh", "-c", script).stdout.splitlines()
    assert said == ["0 0", "0 0", "0 0", "0 0", "7 8", "0 0", "0"]
    container = engine.root / "data" / "containers" / engine.docker("inspect", "-f", "{{.Id}}", name).stdout.strip()
    found = {path.name: path.lstat() for path in container.rglob("*")}
    assert (found["new"].st_uid, found["new"].st_gid) == (7, 8)
    assert found["folder"].st_uid == found["passwd"].st_uid == 0
    assert sum(info.st_size for path, info in found.items() if path not in ("config.json",)) < 100_000
    assert {path: (path.stat().st_uid, path.stat().st_ino, path.stat().st_ctime_ns) for path in layers} == before
    changes = engine.docker("diff", name).stdout.split("\n")
    assert {"A /new", "D /bin/ls", "A /folder", "C /etc/passwd"} <= set(changes)


def test_exec_terminals_and_streams_belong_to_who_runs(engine: RemappedEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "--init", IMAGE, "sh", "-c", "echo out >/dev/stdout; exec sleep 60")
    inside = os.readlink(f"/proc/{pid_of(engine, name)}/ns/user")
    script = "readlink /proc/self/ns/user; id -u; echo x >/dev/stderr; echo y >/dev/stdout"
    done = engine.docker("exec", name, "sh", "-c", script)
    assert (done.stdout.split(), done.stderr) == ([inside, "0", "y"], "x\n")
    done = engine.docker("exec", "-u", "user", name, "sh", "-c", "id -u; id -G; echo y >/dev/stdout")
    assert done.stdout.split() == ["1000", "1000", "50", "y"]
    assert engine.docker("logs", name).stdout == "out\n"
    flags = ("--privileged", name, "sh", "-c", "cat /proc/self/uid_map; mount -t tmpfs x /tmp && echo mounts")
    assert engine.docker("exec", *flags).stdout.split() == ["0", str(UIDS), str(COUNT), "mounts"]
    script = "tty; stat -c '%u %g' /dev/console; id -u"
    shown = engine.docker("run", "--rm", "-t", IMAGE, "sh", "-c", script).stdout.split()
    assert shown == ["/dev/pts/0", "0", "5", "0"]


def test_cp_export_and_commit_have_the_ids_of_the_inside(engine: RemappedEngine, name: str, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (tmp_path / "file").write_text("text")
    (tmp_path / "file").chmod(0o640)
    engine.docker("run", "-d", "--name", name, "-v", "cpvol:/v", "-v", f"{shared}:/shared", IMAGE, "sleep", "60")
    engine.docker("exec", name, "sh", "-c", "echo 1 >/mine; chown 7:8 /mine")
    for state in ("running", "stopped"):
        for folder in ("/", "/v/", "/shared/"):
            engine.docker("cp", str(tmp_path / "file"), f"{name}:{folder}{state}")
        assert owners(copied_out(engine, f"{name}:/mine")) == {"mine": (7, 8)}
        assert owners(copied_out(engine, f"{name}:/v/{state}")) == {state: (0, 0)}
        assert owners(copied_out(engine, f"{name}:/bin/busybox")) == {"busybox": (0, 0)}
        assert ((shared / state).stat().st_uid, (shared / state).stat().st_gid) == (UIDS, GIDS)
        exported = tmp_path / f"{state}.tar"
        engine.docker("export", "-o", str(exported), name)
        told = owners(exported.read_bytes())
        assert (told["mine"], told[state], told["bin/busybox"]) == ((7, 8), (0, 0), (0, 0))
        engine.docker("stop", "-t0", name)
    engine.docker("start", name)
    script = "stat -c '%u %a %n' /running /stopped /v/stopped /shared/stopped; stat -c %u /shared"
    said = engine.docker("exec", name, "sh", "-c", script).stdout.splitlines()
    assert said == ["0 640 /running", "0 640 /stopped", "0 640 /v/stopped", "0 640 /shared/stopped", "65534"]
    engine.docker("commit", name, "committed")
    for flags in ((), ("--userns", "host")):
        found = engine.docker("run", "--rm", *flags, "committed", "stat", "-c", "%u %g", "/mine", "/stopped").stdout
        assert found.splitlines() == ["7 8", "0 0"]
    engine.docker("rmi", "committed")


def test_a_volume_has_the_same_owners_with_and_without_a_mapping(engine: RemappedEngine) -> None:
    assert run(engine, "-v", "uvol:/v", "stat -c %u /v; echo x >/v/f; chown 5:6 /v/f; chmod 600 /v/f").split() == ["0"]
    on_disk = (engine.root / "data" / "volumes" / "uvol" / "_data" / "f").stat()
    assert (on_disk.st_uid, on_disk.st_gid) == (5, 6)
    assert run(engine, "--userns", "host", "-v", "uvol:/v", "stat -c '%u %g' /v/f; cat /v/f").split() == ["5", "6", "x"]
    assert run(engine, "-v", "uvol:/v:ro", "cat /v/f; touch /v/g 2>/dev/null || echo refused").split() == [
        "x",
        "refused",
    ]
    # What the image has there is copied with its owners, too.
    assert run(engine, "-v", "wvol:/etc", "stat -c %u /etc/passwd; echo >>/etc/passwd && echo wrote").split() == [
        "0",
        "wrote",
    ]
    engine.docker("volume", "rm", "uvol", "wvol")


def test_a_volume_that_binds_a_folder_of_the_host_gives_no_right_to_it(engine: RemappedEngine, tmp_path: Path) -> None:
    host, empty = tmp_path / "host", tmp_path / "empty"
    host.mkdir()
    empty.mkdir()
    (host / "secret").write_text("of the host")
    (host / "secret").chmod(0o600)
    engine.docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={host}", "hvol")
    try:
        script = "stat -c %u /h; cat /h/secret 2>/dev/null || touch /h/x 2>/dev/null || echo refused"
        assert run(engine, "-v", "hvol:/h", script).split() == ["65534", "refused"]
        # What the image has there is copied into a new volume, as under dockerd: for the container's users.
        options = ",".join(f"volume-opt={option}" for option in ("type=none", "o=bind", f"device={empty}"))
        script = "stat -c %u /etc /etc/passwd; echo >>/etc/passwd && echo wrote"
        mount = f"type=volume,src=evol,dst=/etc,{options}"
        assert run(engine, "--mount", mount, script).split() == ["0", "0", "wrote"]
        assert [path.stat().st_uid for path in (empty, empty / "passwd")] == [UIDS, UIDS]
    finally:
        engine.docker("volume", "rm", "hvol", "evol", check=False)


def test_a_folder_that_is_made_for_a_bind_is_the_containers(engine: RemappedEngine, tmp_path: Path) -> None:
    assert run(engine, "-v", f"{tmp_path}/a/b:/n", "stat -c %u /n; touch /n/x && echo wrote").split() == ["0", "wrote"]
    assert [(tmp_path / path).stat().st_uid for path in ("", "a", "a/b", "a/b/x")] == [0, UIDS, UIDS, UIDS]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ("--privileged",),
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace "
            "when running privileged mode",
        ),
        (("--net", "host"), "cannot share the host's network namespace when user namespaces are enabled"),
        (("--pid", "host"), "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)
def test_what_cannot_be_had_is_refused_in_docker_s_words(
    engine: RemappedEngine, flags: tuple[str, ...], words: str
) -> None:
    """The messages are those of dockerd 20.10 with --userns-remap."""
    refused = engine.docker("create", *flags, IMAGE, check=False)
    assert refused.returncode == 1
    assert words in refused.stderr
    whole = run(engine, "--userns", "host", *flags, "cat /proc/self/uid_map").split()
    assert whole == ["0", "0", str((1 << 32) - 1)]


def test_shared_namespaces_are_shared_with_their_user_namespace(engine: RemappedEngine, name: str) -> None:
    engine.docker("run", "-d", "--name", name, "--ipc", "shareable", IMAGE, "sh", "-c", "echo 1 >/dev/shm/x; sleep 60")
    whole = f"{name}-host"
    engine.docker("run", "-d", "--name", whole, "--userns", "host", IMAGE, "sleep", "60")
    try:
        theirs = [os.readlink(f"/proc/{pid_of(engine, name)}/ns/{kind}") for kind in ("user", "net", "pid", "ipc")]
        flags = [f"--{kind}=container:{name}" for kind in ("net", "pid", "ipc")]
        script = "for n in user net pid ipc; do readlink /proc/self/ns/$n; done; cat /dev/shm/x; kill -0 1 && echo sees"
        assert run(engine, *flags, script).split() == [*theirs, "1", "sees"]
        assert run(engine, f"--net=container:{name}", "--userns=host", "readlink /proc/self/ns/net").split() == [
            theirs[1]
        ]
        refused = engine.docker("run", "--rm", f"--net=container:{whole}", IMAGE, "true", check=False)
        assert "it is in the host's user namespace" in refused.stderr
        other = f"{name}-other"
        engine.docker("run", "-d", "--name", other, IMAGE, "sleep", "60")
        flags = [f"--net=container:{name}", f"--pid=container:{other}"]
        refused = engine.docker("run", "--rm", *flags, IMAGE, "true", check=False)
        assert "different user namespaces" in refused.stderr
    finally:
        engine.docker("rm", "-f", whole, f"{name}-other", check=False)


def is_told(port: int) -> bool:
    """Whether the container's server has said its word; refused until it listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=HANG_S) as sock:
            return sock.recv(10) == b"told\n"
    except ConnectionRefusedError:
        return False


def test_its_network_is_its_own_to_change(engine: RemappedEngine, name: str) -> None:
    """Its user namespace owns the network namespace, so its root can configure the network."""
    script = (
        "ip link set lo down && ip addr add 10.99.0.1/24 dev eth0 && echo changed; cat /proc/sys/net/ipv4/ip_forward"
    )
    flags = ("--cap-add", "NET_ADMIN", "--sysctl", "net.ipv4.ip_forward=1")
    assert run(engine, *flags, script).split() == ["changed", "1"]
    script = "cat /proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert run(engine, "-u", "user", script).split() == ["0", str(COUNT - 1), "0"]
    engine.docker("network", "create", "unet")
    try:
        server = "echo told | nc -l -p 80; sleep 60"
        engine.docker("run", "-d", "--name", name, "--net", "unet", "-p", "127.0.0.1::80", IMAGE, "sh", "-c", server)
        port = int(engine.docker("port", name, "80").stdout.rpartition(":")[2])
        wait_until(lambda: is_told(port))
        assert run(engine, "--net", "unet", f"ping -c1 -q {name} >/dev/null && echo reached").split() == ["reached"]
        engine.docker("network", "connect", "bridge", name)
        assert engine.docker("exec", name, "ip", "-o", "-4", "addr", "show", "eth1").stdout
    finally:
        engine.docker("rm", "-f", name)
        engine.docker("network", "rm", "unet")


def test_file_capabilities_of_an_image_count_inside(engine: RemappedEngine, busybox_tar: Path, tmp_path: Path) -> None:
    """On disk they are for the host's root, inside for the container's root; a tar has them in their original form."""
    image = tmp_path / "image.tar"
    with tarfile.open(busybox_tar) as source, tarfile.open(image, "w", format=tarfile.PAX_FORMAT) as tar:
        for member in source:
            tar.addfile(member, source.extractfile(member) if member.isreg() else None)
        able = tarfile.TarInfo("able/busybox")
        data = Path("/bin/busybox").read_bytes()
        able.size, able.mode, able.pax_headers = len(data), 0o755, {CAPABILITY: FILE_CHOWN}
        tar.addfile(able, io.BytesIO(data))
    engine.docker("import", "-c", "ENV PATH=/bin", str(image), "able")
    try:
        script = "touch /tmp/f; /able/busybox chown 77 /tmp/f; stat -c %u /tmp/f; busybox chown 78 /tmp/f || echo no"
        done = engine.docker("run", "--rm", "-u", "user", "able", "sh", "-c", script)
        assert done.stdout.split() == ["77", "no"], done.stderr
        for flags in ((), ("--userns", "host")):
            held = engine.docker("run", "-d", *flags, "able", "sleep", "60").stdout.strip()
            archive = copied_out(engine, f"{held}:/able/busybox")
            assert capability(archive) == FILE_CHOWN
            engine.docker("exec", held, "rm", "/able/busybox")
            copied_in(engine, f"{held}:/able", archive)
            assert engine.docker("exec", "-u", "user", held, "sh", "-c", script).stdout.split() == ["77", "no"]
            engine.docker("rm", "-f", held)
    finally:
        engine.docker("rmi", "able")


def test_containers_live_through_the_end_of_engine_and_maker(own_engine: RemappedEngine) -> None:
    engine = own_engine
    engine.docker("run", "-d", "--name", "lives", "-p", "127.0.0.1::80", IMAGE, "sleep", "60")
    pid = pid_of(engine, "lives")
    inside = os.readlink(f"/proc/{pid}/ns/user")
    os.kill(engine.pid_of("cove-engine"), signal.SIGKILL)
    engine.wait_until_answering()
    assert pid_of(engine, "lives") == pid
    assert engine.docker("exec", "lives", "readlink", "/proc/self/ns/user").stdout.strip() == inside
    engine.docker("run", "--rm", IMAGE, "true")
    engine_pid = engine.pid_of("cove-engine")
    children = [
        int(text) for text in subprocess.check_output(["pgrep", "-P", str(engine_pid), "-x", "cove-userns"]).split()
    ]
    os.kill(children[0], signal.SIGKILL)
    assert run(engine, "cat /proc/self/uid_map").split() == ["0", str(UIDS), str(COUNT)]
    engine.docker("restart", "-t0", "lives")
    assert engine.docker("exec", "lives", "cat", "/proc/self/uid_map").stdout.split() == ["0", str(UIDS), str(COUNT)]
    engine.docker("rm", "-f", "lives")  # a stop would wait for it


def test_many_at_once_have_each_their_own(engine: RemappedEngine) -> None:
    """All must exist at the same time, because the inode number of a deleted namespace may be reused."""
    count = 8
    found: list[str] = []
    folder = engine.root / "meeting"
    folder.mkdir()
    folder.chmod(0o777)
    script = (
        f"touch /m/$HOSTNAME; until [ $(ls /m | wc -l) = {count} ]; do usleep 20000; done; "
        "readlink /proc/self/ns/user; cat /proc/self/uid_map"
    )

    def one() -> None:
        found.extend(run(engine, "-v", f"{folder}:/m", script).split())

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert len(set(found[::4])) == count
    assert set(found[2::4]) == {str(UIDS)}


@pytest.mark.parametrize(
    ("remap", "words"),
    [
        ("nobody0", 'Error during uid lookup for "nobody0"'),
        ("99999", "Uid 99999 has no entry in /etc/passwd"),
        ("remap:nogroup0", 'Error during groupname lookup for "nogroup0"'),
        ("remap:remap:x", 'Invalid user/group specification in --userns-remap: "remap:remap:x"'),
        ("", 'Invalid user/group specification in --userns-remap: ""'),
        ("bare", 'Can\'t create ID mappings: no subuid ranges found for user "bare"'),
        ("root", "root cannot be remapped with itself"),
        ("default", "there is no user dockremap; make it by: useradd"),
    ],
)
def test_a_user_without_ids_keeps_the_agent_from_starting(tmp_path: Path, remap: str, words: str) -> None:
    agent = Path(sys.executable).with_name("cove-agent")
    roots = ("--data-root", tmp_path / "d", "--exec-root", tmp_path / "e", "-H", f"unix://{tmp_path}/s")
    command = [*hosted(tmp_path), agent, *roots, "--userns-remap", remap]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_S)
    assert done.returncode == 1
    assert done.stderr.startswith("cove-agent: ")
    assert words in done.stderr
    assert not (tmp_path / "d").exists()


def test_a_build_s_mounts_belong_to_the_users_of_the_command(
    engine: RemappedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    (tmp_path / "a").write_text("context")
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nCOPY --chown=7 a /a\nRUN chown 8 /etc/passwd\nUSER 1000\n"
        "RUN --mount=type=cache,target=/c,uid=1000 --mount=target=/ctx \\\n"
        "touch /c/f && cat /ctx/a && stat -c '%n %u' /a /etc/passwd /c/f /ctx/a > /tmp/owners\n"
    )
    engine.docker("build", "-t", "remapped", str(tmp_path))
    owners = engine.docker("run", "--rm", "--network", "none", "remapped", "cat", "/tmp/owners").stdout
    assert owners.split() == ["/a", "7", "/etc/passwd", "8", "/c/f", "1000", "/ctx/a", "0"]
    engine.docker("rmi", "remapped")
