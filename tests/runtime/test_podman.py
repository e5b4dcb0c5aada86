"""The real podman, with conmon, uses cove-runtime as it uses crun and runc; its containers behave the same."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.limits import HANG_S
from tests.support.podman import RUNTIME, Podman, PodmanUnusable
from tests.support.podman import podman as start_podman
from tests.support.terminal import on_terminal

OURS = str(RUNTIME)
ALONE = ("--rm", "--network", "none")
# Left out, as crun and runc themselves differ: the null device's owner and where masks come from; /dev/net/tun, which
# old runcs allow, and /dev/console; the list of devices in a user namespace, for which podman gives no rules.
_SCRIPT = """
    id; pwd; hostname; umask; ulimit -n; ulimit -Hn; ulimit -u; env | sort; cat /proc/self/oom_score_adj
    grep -E 'Cap|NoNew|Seccomp:|Groups' /proc/self/status; cat /proc/sys/net/core/somaxconn; cat /proc/self/uid_map
    ls /dev | grep -v core; stat -c '%n %F %a %t:%T' /dev/* | grep -v core; readlink /dev/ptmx
    awk '{print $2, $2 ~ "^/(proc/|dev/[^smp])" ? "" : $3}' /proc/mounts | sort
    touch /x /v/x /w/y 2>&1; ls -ln /v; df -k /t /dev/shm | awk '{print $2}'; ip link | grep -c LOOPBACK,UP
    wc -c </proc/kcore; ls -A /sys/firmware; echo x 2>&1 >/proc/sys/kernel/panic; cat /proc/self/cgroup
    cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us cpuset/cpuset.cpus
    cat memory.max pids.max cpu.max
    [ "$(awk '{print $2; exit}' /proc/self/uid_map)" = 0 ] && sort devices/devices.list | grep -vE '(10:200|5:1) '
    mkdir /d; exit 7
"""
_LIMITS = """--memory 64m --cpus 0.5 --pids-limit 50 --cpuset-cpus 0 --ulimit nofile=100:200 --ulimit nproc=99:99
    --hostname h --user 5:6 --group-add 7 --cap-drop ALL --cap-add NET_RAW --tmpfs /t:size=1m --shm-size 2m --env A=B
    --workdir /tmp --sysctl net.core.somaxconn=99 --read-only --oom-score-adj 300 --device /dev/fuse --umask 027"""


@pytest.fixture(scope="module")
def podman(busybox_tar: Path) -> Iterator[Podman]:
    root = Path(f"/tmp/cove-podman-{os.getpid()}")  # short: sockets are below it
    root.mkdir()
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(start_podman(root, busybox_tar))
        except PodmanUnusable as e:
            pytest.skip(str(e))
        yield made


@pytest.fixture
def name(podman: Podman) -> Iterator[str]:
    yield "subject"
    podman(OURS, "rm", "--force", "--time", "0", "subject")


@pytest.fixture(params=["crun", "runc"])
def peer(request: pytest.FixtureRequest) -> str:
    path: str | None = shutil.which(request.param)
    if path is None:
        pytest.skip(f"{request.param} is not installed here")
    return path


def _shown(text: str) -> str:
    """Remove what differs between any two containers."""
    text = re.sub(r"[0-9a-f]{64}|\b[0-9a-f]{12}\b", "ID", text)
    return re.sub(r"\b10\.88\.\d+\.\d+\b", "ADDRESS", text)


def _run(podman: Podman, runtime: str, *words: str) -> str:
    done = podman(runtime, "run", *words)
    return _shown(f"{done.returncode}\n{done.stdout}")


@pytest.mark.parametrize(
    "flags",
    [
        "",
        _LIMITS,
        "--privileged --pid host --ipc host --uts host",
        "--uidmap 0:100000:65536 --gidmap 0:100000:65536",
        "--security-opt seccomp=/etc/containers/seccomp-of-test.json --security-opt no-new-privileges --init",
        "--security-opt seccomp=unconfined --security-opt mask=/proc/cpuinfo --cgroupns private --cap-add SYS_ADMIN",
        "--volume /tmp/cove-podman-data:/v:ro --volume /tmp/cove-podman-data:/w:rslave --volume named:/n --user 1000",
    ],
)
def test_a_container_is_what_the_peer_makes(podman: Podman, peer: str, flags: str, tmp_path: Path) -> None:
    refused = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 11}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]}
    (podman.root / "etc/containers/seccomp-of-test.json").write_text(json.dumps(profile))
    (tmp_path / "file").touch()
    words = flags.replace("/tmp/cove-podman-data", str(tmp_path)).split()
    theirs = _run(podman, peer, *ALONE, *words, "busybox", "sh", "-c", _SCRIPT)
    (tmp_path / "y").unlink(missing_ok=True)
    assert theirs.startswith("7\nuid=")
    assert _run(podman, OURS, *ALONE, *words, "busybox", "sh", "-c", _SCRIPT).splitlines() == theirs.splitlines()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("busybox", "nosuch"), 127),
        (("busybox", "/etc"), 126),
        (("--workdir", "/nosuch", "--read-only", "busybox", "true"), 126),
        (("--ulimit", "nofile=100000000000", "busybox", "true"), 126),
        (("--sysctl", "net.nosuch=1", "busybox", "true"), 127),
        (("--memory", "20m", "--memory-swap", "20m", "busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M"), 137),
        (("--init", "busybox", "sh", "-c", "kill -TERM $$"), 143),
        (("--preserve-fds", "0", "--sdnotify", "container", "busybox", "sh", "-c", "exit 5"), 5),
    ],
)
def test_exit_statuses_are_the_peers(podman: Podman, peer: str, words: tuple[str, ...], code: int) -> None:
    theirs = _run(podman, peer, *ALONE, *words)
    assert theirs.startswith(f"{code}\n")
    assert _run(podman, OURS, *ALONE, *words) == theirs


def test_a_life_goes_as_with_the_peer(podman: Podman, peer: str, name: str) -> None:
    limits = "cat memory/memory.limit_in_bytes memory.max cpu/cpu.shares cpu.weight 2>/dev/null"
    loop = "echo out; echo err >&2; trap 'exit 7' TERM; sleep 1000 & wait"
    state = ["ps", "--all", "--format", "{{.Names}} {{.Status}}"]
    inspect = ["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}", name]

    def course(runtime: str) -> list[tuple[object, ...]]:
        seen: list[tuple[object, ...]] = []

        def call(*words: str, mask: str = "$^", **options: str) -> None:
            done = podman(runtime, *words, **options)
            seen.append((words, done.returncode, re.sub(mask, "X", _shown(done.stdout))))

        podman(runtime, "create", "--name", name, "--network", "none", "--memory", "64m", "busybox", "sh", "-c", loop)
        call("init", name)
        call("start", name)
        call("logs", name)
        call("exec", "--user", "3:4", "--env", "Q=1", "--workdir", "/tmp", name, "sh", "-c", "id; echo $Q; pwd; exit 4")
        call("exec", name, "grep", "-E", "Cap|NoNew|Seccomp:", "/proc/self/status")
        call("exec", "--privileged", name, "grep", "-E", "Cap|NoNew|Seccomp:", "/proc/self/status")
        call("exec", "--interactive", name, "cat", input="given", stdin=None)  # type: ignore[arg-type]
        call("exec", name, "nosuch")
        call("exec", "--workdir", "/nosuch", name, "true")
        call("exec", "--detach", name, "sh", "-c", "echo x >/tmp/detached")
        call("top", name, "user", "args", "capeff", "seccomp")
        call("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", name, mask=r"[\d.]+[kM]?B /")
        call("pause", name)
        call(*state, mask=r"\d+ \w+ ago")
        call("exec", name, "true")
        call("unpause", name)
        call("update", "--memory", "100m", "--cpu-shares", "512", name)
        call("exec", "--workdir", "/sys/fs/cgroup", name, "sh", "-c", limits)
        call("stop", name)
        call(*inspect)
        call("start", name)
        call("kill", "--signal", "KILL", name)
        call("wait", name)
        call("start", name)
        call("rm", name)
        call("rm", "--force", "--time", "0", name)
        call(*state)
        return seen

    theirs, ours = course(peer), course(OURS)
    assert ours == theirs
    codes = {" ".join(map(str, words[:1])): code for words, code, _ in theirs}  # type: ignore[index]
    assert codes["pause"] == codes["stop"] == codes["kill"] == codes["stats"] == 0


def test_a_terminal_goes_through_conmon(podman: Podman, name: str) -> None:
    podman(OURS, "run", "-d", "-t", "--name", name, "--network", "none", "busybox", "sh", "-c", "tty; sleep 60")
    inside = "tty; stat -c %t:%T /dev/console; stty -a <&0 | grep -c 'rows 33; columns 99'; echo end; exit 5"
    for words, terminal in (
        (("exec", "-it", name, "sh", "-c", inside), "/dev/pts/1"),
        (("run", "--rm", "-it", "--network", "none", "busybox", "sh", "-c", f"sleep 0.3; {inside}"), "/dev/pts/0"),
    ):
        argv = ["sh", "-c", 'stty rows 33 cols 99; exec "$@"', "sh", *podman.argv(OURS, *words)]
        said, code = on_terminal(argv, until=b"end")
        assert terminal in said.decode()
        assert code == 5
    assert podman(OURS, "logs", name).stdout.split() == ["/dev/pts/0"]


def test_a_pod_shares_its_first_containers_namespaces(podman: Podman, peer: str) -> None:
    infra = ["--infra-image", "busybox", "--infra-command", "/bin/sleep 1000"]
    shown = "hostname; ip link | grep -c LOOPBACK; cat /proc/1/comm; grep memory /proc/self/cgroup"

    def course(runtime: str) -> list[tuple[int, str]]:
        seen = []
        for words in (
            ("create", "--name", "pod", "--network", "none", "--share", "pid,net,ipc,uts", *infra),
            ("run", "--rm", "--pod", "pod", "busybox", "sh", "-c", shown),
            ("pause", "pod"),
            ("ps", "--format", "{{.Name}} {{.Status}}"),
            ("unpause", "pod"),
            ("stop", "--time", "0", "pod"),
            ("start", "pod"),
            ("kill", "pod"),
            ("rm", "--force", "pod"),
        ):
            done = podman(runtime, *(words if words[0] == "run" else ("pod", *words)))
            seen.append((done.returncode, _shown(done.stdout)))
        return seen

    theirs = course(peer)
    assert course(OURS) == theirs
    assert {code for code, _ in theirs} == {0}
    assert theirs[1][1].startswith("pod\n1\nsleep\n")


def test_a_bridge_connects_two_containers(podman: Podman, name: str) -> None:
    serve = "echo served >/tmp/index.html; exec httpd -f -h /tmp -p 80"
    done = podman(OURS, "run", "-d", "--name", name, "--network", "bridge", "busybox", "sh", "-c", serve)
    assert done.returncode == 0, done.stderr
    address = podman(OURS, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", name).stdout.strip()
    fetch = f"until wget -q -O - http://{address}/; do sleep 0.05; done"
    assert _run(podman, OURS, "--rm", "--network", "bridge", "busybox", "sh", "-c", fetch) == "0\nserved\n"


def test_systemds_cgroups_are_refused_and_said_so(podman: Podman) -> None:
    argv = podman.argv(OURS, "run", *ALONE, "--cgroup-parent", "machine.slice", "busybox", "true")
    argv.remove("--cgroup-parent")
    argv.remove(podman.cgroups)
    argv.insert(argv.index("run"), "--cgroup-manager=systemd")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 126
    assert "--systemd-cgroup: systemd's own cgroups are not supported, only cgroupfs" in done.stderr
