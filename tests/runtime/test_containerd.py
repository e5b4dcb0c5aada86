"""The real containerd uses cove-runtime as it uses runc, through its own shim and `ctr`."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.limits import HANG_S
from tests.support.terminal import on_terminal
from vmagent.linux.syscall import MACHINE
from vmagent.runtime.cgroups import tree

OURS = str(Path(sys.executable).with_name("cove-runtime"))
IMAGE = "localhost/busybox:latest"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_SCRIPT = """
    id; hostname; pwd; env | sort; grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; cat /proc/self/oom_score_adj
    grep -v '^0:' /proc/self/cgroup; ls /dev | grep -v core; readlink /dev/ptmx; awk '{print $2}' /proc/mounts | sort
    ulimit -n; umask; touch /x 2>&1; exit 6
"""

pytestmark = pytest.mark.skipif(
    shutil.which("containerd") is None or shutil.which("runc") is None, reason="no containerd with runc is installed"
)


class Containerd:
    """The `ctr` command of one daemon."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cgroups = f"/cove-ctr-{os.getpid()}"

    def argv(self, *words: str) -> list[str]:
        return ["ctr", "--address", f"{self.root}/s", *words]

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = self.argv(*words)
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=HANG_S, check=False, stdin=subprocess.DEVNULL
        )

    def run(self, runtime: str, flags: str, *command: str, name: str = "subject") -> subprocess.CompletedProcess[str]:
        cgroup = ["--cgroup", f"{self.cgroups}/{name}"]
        return self("run", "--runc-binary", runtime, *cgroup, *flags.split(), IMAGE, name, *command)


def _archive(layer: bytes, path: Path) -> None:
    """An OCI image layout of one layer, as a tar."""
    blobs: dict[str, bytes] = {}

    def store(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    layer_blob = store(layer)
    platform = {"architecture": {"x86_64": "amd64", "aarch64": "arm64"}[MACHINE], "os": "linux"}
    config = {"config": {"Env": ["PATH=/bin"]}, "rootfs": {"type": "layers", "diff_ids": [layer_blob["digest"]]}}
    config_blob = store(json.dumps({**platform, **config}).encode())
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST}
    manifest["config"] = {"mediaType": "application/vnd.oci.image.config.v1+json", **config_blob}
    manifest["layers"] = [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **layer_blob}]
    entry = {"mediaType": _MANIFEST, **store(json.dumps(manifest).encode())}
    entry["annotations"] = {"io.containerd.image.name": IMAGE}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture(scope="module")
def containerd(busybox_tar: Path) -> Iterator[Containerd]:
    """A containerd of our own, alone in network and mount namespaces, with busybox."""
    root = Path(f"/tmp/cove-ctr-{os.getpid()}")  # short: sockets are below it
    root.mkdir()
    config = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
    config += f'root = "{root}/root"\nstate = "{root}/state"\n[grpc]\naddress = "{root}/s"\n'
    (root / "config").write_text(config)
    # runc would leave folders in a tree of cgroup v2 beside those of v1. The states of containers are in one folder for
    # all daemons: that of another run of these tests would end the containers of this one, which have the same names.
    script = "ip link set lo up; umount /sys/fs/cgroup/unified 2>/dev/null; mkdir -p /run/containerd/runc"
    script += ' && mount -t tmpfs states /run/containerd/runc && exec containerd --config "$1"'
    argv = ["unshare", "--net", "--mount", "--propagation", "private", "--", "bash", "-c", script, "bash"]
    call = Containerd(root)
    try:
        with subprocess.Popen([*argv, str(root / "config")], stderr=subprocess.PIPE, text=True) as daemon:
            assert daemon.stderr is not None
            try:
                said = ""
                while "successfully booted" not in said:
                    said = daemon.stderr.readline()
                    assert said, "containerd ended"
                _archive(busybox_tar.read_bytes(), root / "image.tar")
                done = call("image", "import", str(root / "image.tar"))
                assert done.returncode == 0, done.stderr
                yield call
            finally:
                daemon.send_signal(signal.SIGTERM)
                daemon.communicate(timeout=HANG_S)
        assert list(Path("/sys/fs/cgroup").glob(f"*{call.cgroups}/*/")) == []
    finally:
        tree().at(call.cgroups).remove()
        shutil.rmtree(root)


@pytest.fixture
def name(containerd: Containerd) -> Iterator[str]:
    yield "subject"
    containerd("task", "delete", "--force", "subject")
    containerd("container", "delete", "subject")


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "--memory-limit 67108864 --cpus 0.5 --read-only --env A=B --cwd /tmp",
        "--seccomp --allow-new-privs --cap-add CAP_SYS_ADMIN --cap-drop CAP_CHOWN",
        "--privileged --net-host --device /dev/fuse",
        "--mount type=bind,src=/usr,dst=/m,options=rbind:ro --uidmap 0:100000:65536 --gidmap 0:100000:65536",
    ],
)
def test_a_container_is_what_runc_makes(containerd: Containerd, flags: str) -> None:
    theirs = containerd.run("runc", f"--rm {flags}", "sh", "-c", _SCRIPT)
    ours = containerd.run(OURS, f"--rm {flags}", "sh", "-c", _SCRIPT)
    assert theirs.stdout.startswith("uid="), theirs.stderr
    assert (ours.returncode, theirs.returncode) == (6, 6), ours.stderr
    assert ours.stdout.splitlines() == theirs.stdout.splitlines()


def test_a_life_goes_as_with_runc(containerd: Containerd, name: str) -> None:
    def course(runtime: str) -> list[tuple[object, ...]]:
        seen: list[tuple[object, ...]] = []

        def call(*words: str) -> None:
            done = containerd(*words)
            text = re.sub(r"OCI runtime.*failed: (exec failed: )?", "", done.stdout + done.stderr)
            seen.append((words, done.returncode, re.sub(r"\d+|time=\S+|[ \t]+", " ", text)))

        def stopped() -> None:
            deadline = time.monotonic() + HANG_S
            while "STOPPED" not in containerd("task", "ls").stdout:
                assert time.monotonic() < deadline, "the task does not stop"

        done = containerd.run(runtime, "-d", "sh", "-c", "trap 'exit 7' TERM; sleep 1000 & wait")
        assert done.returncode == 0, done.stderr
        call("task", "ls")
        call("task", "exec", "--exec-id", "e", name, "sh", "-c", "id; exit 4")
        call("task", "exec", "--exec-id", "e", "--cwd", "/tmp", "--user", "5:6", name, "sh", "-c", "id; pwd")
        call("task", "exec", "--exec-id", "e", name, "nosuch")
        call("task", "exec", "--exec-id", "e", "--detach", name, "sleep", "50")
        call("task", "ps", name)
        call("task", "pause", name)
        call("task", "ls")
        call("task", "exec", "--exec-id", "f", name, "true")
        call("task", "resume", name)
        metrics = json.loads(containerd("task", "metrics", "--format", "json", name).stdout)
        seen.append((sorted(metrics), metrics["pids"]))
        call("task", "kill", "--exec-id", "e", name)
        call("task", "delete", name)
        call("task", "kill", "--signal", "TERM", name)
        stopped()
        call("task", "delete", name)
        call("task", "start", "--detach", name)
        call("task", "kill", "--signal", "KILL", "--all", name)
        stopped()
        call("task", "delete", name)
        call("container", "delete", name)
        return seen

    theirs = course("runc")
    ours = course(OURS)
    assert ours == theirs


def test_a_terminal_goes_through_the_shim(containerd: Containerd) -> None:
    command = ["sh", "-c", "sleep 0.3; tty; stty size; echo end; exit 3"]
    run = ["run", "--rm", "--tty", "--runc-binary", OURS, "--cgroup", f"{containerd.cgroups}/t", IMAGE, "t", *command]
    argv = ["sh", "-c", 'stty rows 33 cols 99; exec "$@"', "sh", *containerd.argv(*run)]
    said, code = on_terminal(argv, until=b"end")
    assert said.decode().split()[:3] == ["/dev/pts/0", "33", "99"]
    assert code == 3


def test_what_is_not_supported_is_told(containerd: Containerd, name: str) -> None:
    cgroup = ["--runc-systemd-cgroup", "--cgroup", "machine.slice:a:b"]
    done = containerd("run", "--rm", "--runc-binary", OURS, *cgroup, IMAGE, name, "true")
    assert done.returncode == 1
    assert "--systemd-cgroup: systemd's own cgroups are not supported" in done.stderr
    assert containerd.run(OURS, "-d", "sleep", "1000").returncode == 0
    done = containerd("task", "checkpoint", name)
    assert done.returncode == 1
    assert "checkpoint: checkpoint and restore are not supported" in done.stderr
