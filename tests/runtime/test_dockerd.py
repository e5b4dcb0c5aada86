"""The real dockerd and containerd use cove-runtime as they use runc, and their containers behave the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.limits import HANG_S
from tests.support.terminal import on_terminal

RUNTIME = Path(sys.executable).with_name("cove-runtime")
START_LIMIT_S = HANG_S

pytestmark = pytest.mark.skipif(
    shutil.which("dockerd") is None or shutil.which("docker") is None, reason="no dockerd is installed here"
)


class Docker:
    """The docker command of one daemon."""

    def __init__(self, socket: Path) -> None:
        self.env = {**os.environ, "DOCKER_HOST": f"unix://{socket}"}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = ["docker", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=HANG_S, env=self.env, check=False)


@pytest.fixture(scope="module")
def docker(busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """The docker command against a dockerd of our own, alone in network and mount namespaces, with busybox."""
    root = Path(f"/tmp/cove-dockerd-{os.getpid()}")  # short: sockets are below it
    root.mkdir()
    flags = [f"--data-root={root}/data", f"--exec-root={root}/exec", f"--pidfile={root}/pid", f"--host=unix://{root}/s"]
    script = 'ip link set lo up; mount --make-rshared /; exec dockerd "$@"'
    argv = ["unshare", "--net", "--mount", "--propagation", "private", "--", "bash", "-c", script, "dockerd", *flags]
    run = Docker(root / "s")
    with (root / "log").open("wb") as log:
        daemon = subprocess.Popen([*argv, f"--add-runtime=cove={RUNTIME}"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while run("version").returncode:
            assert daemon.poll() is None, (root / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "dockerd does not answer"
        imported = run("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), "busybox")
        assert imported.returncode == 0, imported.stderr
        yield run
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(HANG_S)
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def name(docker: Docker) -> Iterator[str]:
    yield "subject"
    docker("rm", "--force", "subject")


def both(docker: Docker, *words: str) -> str:
    """The output of `docker run` with cove, after checking that it is the same with runc."""
    said = {}
    for runtime in ("runc", "cove"):
        done = docker("run", "--rm", "--runtime", runtime, *words)
        said[runtime] = f"{done.returncode}\n{done.stdout}"
    assert said["cove"] == said["runc"]
    return said["cove"]


def test_limits_users_mounts_and_namespaces_are_as_under_runc(docker: Docker) -> None:
    """Two kinds of mounts are left out, where ours are stricter: the tmpfs of cgroups, and masks."""
    flags = "--memory 64m --cpus 0.5 --pids-limit 50 --cpuset-cpus 0 --ulimit nofile=100:200 --hostname h --user 5:6"
    flags += " --group-add 7 --cap-drop ALL --cap-add NET_RAW --tmpfs /t:size=1m --shm-size 2m -e A=B -w /w"
    flags += " --sysctl net.core.somaxconn=99 --read-only --oom-score-adj 300 --device /dev/fuse"
    script = """
        cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us cpuset/cpuset.cpus
        cat memory.max /proc/self/oom_score_adj /proc/sys/net/core/somaxconn; ulimit -n; ulimit -Hn; hostname; id
        df -k /t /dev/shm; grep -E 'Cap|Seccomp:|NoNew' /proc/self/status; touch /x || pwd; echo $A
        ls -l /dev | awk '{print $1,$3,$4,$5,$6,$NF}'; ip link | grep -c eth0
        awk '{print $2,$3,$4}' /proc/mounts | grep -vE '^(/|/sys/fs/cgroup|/proc/.*|/sys/firmware) ' | sort
    """
    said = both(docker, *flags.split(), "busybox", "sh", "-c", f"{script} 2>/dev/null")
    assert "uid=5 gid=6 groups=6,7" in said


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("busybox", "sh", "-c", "exit 7"), 7),
        (("busybox", "nosuch"), 127),
        (("busybox", "/etc"), 126),
        (("--memory", "20m", "--memory-swap", "20m", "busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M"), 137),
        (("--init", "busybox", "sh", "-c", "kill -TERM $$"), 143),
        (("--network", "none", "busybox", "sh", "-c", "ip addr | grep -c inet"), 0),
    ],
)
def test_exit_statuses_are_as_under_runc(docker: Docker, words: tuple[str, ...], code: int) -> None:
    assert both(docker, *words).startswith(f"{code}\n")


def test_a_terminal_goes_through_containerd(docker: Docker, name: str) -> None:
    script = ["sh", "-c", "tty; stty size; sleep 60"]
    done = docker("run", "-d", "-t", "--name", name, "--runtime", "cove", "busybox", *script)
    assert done.returncode == 0, done.stderr
    said, _ = on_terminal(["docker", "exec", "-it", name, "sh", "-c", "tty; echo end"], until=b"end", env=docker.env)
    assert b"/dev/pts/1" in said
    assert docker("logs", name).stdout.split()[0] == "/dev/pts/0"


def test_a_running_container_is_seen_paused_changed_and_stopped(docker: Docker, name: str) -> None:
    script = "trap 'exit 7' TERM; while :; do sleep 0.05; done"
    assert docker("run", "-d", "--name", name, "--runtime", "cove", "busybox", "sh", "-c", script).returncode == 0
    done = docker("exec", "-u", "3", "-e", "Q=1", "-w", "/tmp", name, "sh", "-c", "id -u; echo $Q; pwd; exit 4")
    assert (done.returncode, done.stdout.split()) == (4, ["3", "1", "/tmp"])
    done = docker("exec", name, "nosuch")
    assert done.returncode == 126
    assert "executable file not found in $PATH" in done.stderr + done.stdout
    assert "trap" in docker("top", name).stdout
    docker("pause", name)
    assert docker("inspect", "-f", "{{.State.Status}}", name).stdout == "paused\n"
    docker("unpause", name)
    flags = ["--memory", "100m", "--memory-swap", "200m", "--cpu-shares", "512", "--pids-limit", "77"]
    done = docker("update", *flags, name)
    assert done.returncode == 0, done.stderr
    limits = "cat pids/pids.max pids.max memory/memory.limit_in_bytes memory.max 2>/dev/null"
    assert docker("exec", "-w", "/sys/fs/cgroup", name, "sh", "-c", limits).stdout.split() == ["77", str(100 << 20)]
    assert "100MiB" in docker("stats", "--no-stream", name).stdout
    assert docker("stop", name).returncode == 0
    assert docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout == "exited 7\n"
    assert docker("start", name).returncode == 0
    docker("kill", name)
    assert docker("wait", name).stdout == "137\n"
