"""The same bundle under crun, runc and cove-runtime: the same container, the same verbs, the same exit statuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import Bundle

# crun refuses a v2 tree beside those of v1: it runs in a mount namespace where the v2 tree is unmounted.
_ALONE = ["unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', "sh"]
_SCRIPT = """
    id; pwd; hostname; umask; ulimit -n; ulimit -Hn; ulimit -c; echo $A $HOME
    grep -E 'Cap|NoNew|Seccomp:|Groups' /proc/self/status; cat /proc/self/oom_score_adj /proc/sys/net/core/somaxconn
    ls /dev | grep -v core; stat -c '%n %a %u %g %t:%T' /dev/zero /dev/tty /dev/fuse; readlink /dev/ptmx
    awk '$2 ~ "^/(proc|dev|sys|t|data)$" {print $2, $3}' /proc/mounts | sort; touch /data/x 2>&1; ls /t
    wc -c </proc/kcore; ls -A /sys/firmware; echo x 2>&1 >/proc/sys/kernel/panic; ip link | grep -c LOOPBACK,UP
    grep -c . /proc/self/uid_map; all=$(ps); echo "$all" | wc -l; exit 7
"""

_NOTHING: dict[str, list[str]] = {kind: [] for kind in ("bounding", "effective", "permitted")}


@pytest.fixture(params=["crun", "runc"])
def peer(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed here")
    return name


def _ordinary(bundle: Bundle) -> dict[str, Any]:
    """A specification of version 1.0, which old peers accept, with some of each kind of setting."""
    bundle.spec["ociVersion"] = "1.0.2"
    bundle.drop_namespace("cgroup")
    bundle.process.update(
        user={"uid": 5, "gid": 6, "additionalGids": [7], "umask": 0o27},
        env=["PATH=/bin", "A=b", "HOME=/x"],
        cwd="/t",
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 111}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
        noNewPrivileges=True,
        oomScoreAdj=200,
    )
    bundle.linux["sysctl"] = {"net.core.somaxconn": "99"}
    bundle.linux["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o644}]
    bundle.mount("/t", "tmpfs", "mode=1777", "size=1m", kind="tmpfs")
    bundle.mount("/data", bundle.folder, "rbind", "ro")
    return bundle.spec


def test_a_container_is_what_the_peer_makes(bundle: Bundle, peer: str) -> None:
    _ordinary(bundle)
    bundle.process["args"] = ["sh", "-c", _SCRIPT]
    bundle.write()
    words = ["run", "--bundle", str(bundle.folder), bundle.id]
    theirs = bundle.external([*_ALONE, peer, "--root", str(bundle.folder / "peer"), *words])
    ours = bundle.command(*words)
    assert theirs.stdout.startswith("uid=5 gid=6 groups=7\n"), theirs.stderr
    assert ours.stdout == theirs.stdout
    assert (ours.returncode, theirs.returncode) == (7, 7)


def test_the_verbs_go_as_with_the_peer(bundle: Bundle, peer: str) -> None:
    _ordinary(bundle)
    bundle.process["args"] = ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"]
    bundle.write()
    quiet = {"capture_output": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def course(argv: list[str]) -> list[object]:
        def call(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
            return bundle.external([*argv, *words], **options)

        def status() -> str:
            said: str = json.loads(call("state", bundle.id).stdout)["status"]
            return said

        seen: list[object] = [call("create", "--bundle", str(bundle.folder), bundle.id, **quiet).returncode, status()]
        seen += [call("start", bundle.id).returncode, status()]
        done = call("exec", bundle.id, "sh", "-c", "cat /proc/1/comm; exit 9")
        seen += [done.returncode, done.stdout, call("exec", bundle.id, "nosuch").returncode != 0]
        seen += [call("pause", bundle.id).returncode, status(), call("resume", bundle.id).returncode, status()]
        seen += [call("delete", bundle.id).returncode != 0, call("start", bundle.id).returncode != 0]
        seen += [call("delete", "--force", bundle.id).returncode, call("state", bundle.id).returncode != 0]
        return seen

    ours = course(bundle.argv())
    theirs = course([*_ALONE, peer, "--root", str(bundle.folder / "peer")])
    assert ours == theirs


def test_hooks_have_the_surroundings_that_the_peer_gives_them(bundle: Bundle, peer: str) -> None:
    """Rights, umask and environment of startContainer hooks; runc's folder and umask of createContainer hooks."""
    _ordinary(bundle)
    bundle.rootfs.chmod(0o777)
    rule = {"names": ["mkdirat"], "action": "SCMP_ACT_ERRNO"}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    look = "id; umask; pwd; echo $A; ulimit -n; grep -E 'Cap|NoNew|Seccomp:|Groups' /proc/self/status"
    host = f"{bundle.folder}/host"
    script = f"pwd >{host}; umask >>{host}; echo ${{MARK-none}} >>{host}"
    start = {"path": "/bin/sh", "args": ["sh", "-c", f"({look}) >>/out"]}
    bundle.spec["hooks"] = {
        "startContainer": [start, {**start, "env": []}],
        "createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": []}],
    }
    bundle.process["args"] = ["sh", "-c", f"({look}) >>/out; cat /out; rm /out"]
    bundle.write()
    words = ["run", "--bundle", str(bundle.folder), bundle.id]
    env = {**os.environ, "MARK": "runtime"}
    theirs = bundle.external([*_ALONE, peer, "--root", str(bundle.folder / "peer"), *words], env=env)
    of_peer = Path(host).read_text()
    ours = bundle.command(*words, env=env)
    assert theirs.stdout.count("Seccomp:\t2") == 3, theirs.stderr
    assert ours.stdout == theirs.stdout
    if peer == "runc":  # crun starts the hook in the bundle
        assert Path(host).read_text() == of_peer


def test_the_host_name_is_no_kernel_parameter_for_the_peer_either(bundle: Bundle, peer: str) -> None:
    _ordinary(bundle)
    bundle.linux["sysctl"] = {"kernel.hostname": "x"}
    bundle.process["args"] = ["true"]
    bundle.write()
    words = ["run", "--bundle", str(bundle.folder), bundle.id]
    theirs = bundle.external([*_ALONE, peer, "--root", str(bundle.folder / "peer"), *words])
    ours = bundle.command(*words)
    assert ("conflicts with" in ours.stderr, ours.returncode) == ("conflicts with" in theirs.stderr, theirs.returncode)


def test_a_second_container_in_a_cgroup_ends_as_with_runc(bundle: Bundle) -> None:
    """It gets a warning, and the first container goes on."""
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed here")
    _ordinary(bundle)
    bundle.process["args"] = ["sleep", "60"]
    bundle.write()

    def course(argv: list[str]) -> list[object]:
        def call(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
            return bundle.external([*argv, *words], **options)

        quiet = {"capture_output": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        log = bundle.folder / f"log-{len(argv)}"
        run = ["run", "--detach", "--bundle", str(bundle.folder)]
        seen: list[object] = [call(*run, bundle.id, **quiet).returncode]
        seen.append(call("--log", str(log), *run, bundle.id + "b", **quiet).returncode)
        seen.append("container's cgroup is not empty: 1 process(es) found" in log.read_text())
        seen.append(call("delete", "--force", bundle.id + "b").returncode)
        seen.append(json.loads(call("state", bundle.id).stdout)["status"])
        seen.append(call("delete", "--force", bundle.id).returncode)
        return seen

    ours = course(bundle.argv())
    theirs = course([*_ALONE, "runc", "--root", str(bundle.folder / "peer")])
    assert ours == theirs == [0, 0, True, 0, "running", 0]


def _private_folder(bundle: Bundle) -> None:
    """/private: only user 7 may enter it."""
    folder = bundle.rootfs / "private"
    folder.mkdir(mode=0o700)
    os.chown(folder, 7, 7)


@pytest.mark.parametrize("uid", [0, 5])
def test_a_working_directory_of_another_user_is_entered_as_with_the_peer(bundle: Bundle, peer: str, uid: int) -> None:
    """`docker run --cap-drop ALL -w DIR`: neither the user nor a capability would let the command itself in."""
    _ordinary(bundle)
    _private_folder(bundle)
    command = ["readlink", "/proc/self/cwd"]
    bundle.process.update(user={"uid": uid, "gid": uid}, cwd="/private", capabilities=dict(_NOTHING), args=command)
    bundle.write()
    words = ["run", "--bundle", str(bundle.folder), bundle.id]
    theirs = bundle.external([*_ALONE, peer, "--root", str(bundle.folder / "peer"), *words])
    ours = bundle.command(*words)
    assert (theirs.returncode, theirs.stdout) == (0, "/private\n"), theirs.stderr
    assert (ours.returncode, ours.stdout) == (0, "/private\n"), ours.stderr


def test_exec_enters_a_working_directory_of_another_user_as_with_the_peer(bundle: Bundle, peer: str) -> None:
    _private_folder(bundle)
    bundle.process["capabilities"] = dict(_NOTHING)
    wanted = ["--user", "5:5", "--cwd", "/private"]
    theirs, ours = _execs(bundle, peer, *wanted, command=["readlink", "/proc/self/cwd"])
    assert (theirs.returncode, theirs.stdout) == (0, "/private\n"), theirs.stderr
    assert (ours.returncode, ours.stdout) == (0, "/private\n"), ours.stderr


@pytest.mark.parametrize("user", ["0:0", "5:5"])
def test_exec_gives_a_capability_as_runc_does(bundle: Bundle, user: str) -> None:
    """Root gets it. Another user does not: it would have to be ambient (CVE-2022-29162)."""
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed here")
    wanted = ["--user", user, "--cap", "CAP_SYS_TIME"]
    theirs, ours = _execs(bundle, "runc", *wanted, command=["grep", "Cap", "/proc/self/status"])
    assert ours.stdout == theirs.stdout, ours.stderr + theirs.stderr
    sets = dict(line.split(":\t") for line in ours.stdout.splitlines())
    has_it = {kind: int(mask, 16) >> 25 & 1 for kind, mask in sets.items()}
    is_root = int(user == "0:0")
    assert has_it == {"CapInh": 0, "CapPrm": is_root, "CapEff": is_root, "CapBnd": 1, "CapAmb": 0}


def _execs(
    bundle: Bundle, peer: str, *wanted: str, command: list[str]
) -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
    """The output of an exec in a container of the peer, and in one of ours."""
    _ordinary(bundle)
    bundle.process.update(user={"uid": 0, "gid": 0}, cwd="/", args=["sleep", "100"], noNewPrivileges=False)
    bundle.write()
    quiet = {"capture_output": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    said = []
    for argv in ([*_ALONE, peer, "--root", str(bundle.folder / "peer")], bundle.argv()):
        create = [*argv, "create", "--bundle", str(bundle.folder), bundle.id]
        assert bundle.external(create, **quiet).returncode == 0
        bundle.external([*argv, "start", bundle.id])
        said.append(bundle.external([*argv, "exec", *wanted, bundle.id, *command]))
        bundle.external([*argv, "delete", "--force", bundle.id])
    return said[0], said[1]
