"""A container seen from inside: one test for each statement of the OCI runtime specification that it cites."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.conftest import DEFAULT_CAPABILITIES, Bundle
from tests.support.limits import HANG_S
from vmagent.containers.seccomp_profile import default_profile


@pytest.mark.spec("config-linux.md, Namespaces")
def test_every_namespace_is_its_own(bundle: Bundle) -> None:
    inside = bundle.shell("for n in mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; echo $$").split()
    outside = [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup")]
    assert not set(inside[:6]) & set(outside)
    assert inside[6] == "1"


@pytest.mark.spec("config-linux.md, Namespaces: path")
def test_namespaces_of_another_container_are_joined(new_bundle: Callable[[], Bundle]) -> None:
    first, second = new_bundle(), new_bundle()
    pid = first.start("sleep", "60")
    for name in ("pid", "ipc", "network", "uts"):
        second.drop_namespace(name, f"/proc/{pid}/ns/{'net' if name == 'network' else name}")
    del second.spec["hostname"]
    names = ("pid", "ipc", "net", "uts")
    said = second.shell("for n in pid ipc net uts; do readlink /proc/self/ns/$n; done; ps")
    assert said.split()[:4] == [os.readlink(f"/proc/{pid}/ns/{name}") for name in names]
    assert "sleep 60" in said


@pytest.mark.spec("config-linux.md, Namespaces: absent type = the runtime's own")
def test_the_hosts_namespaces_are_shared_when_asked(bundle: Bundle) -> None:
    for name in ("pid", "ipc", "network", "uts", "cgroup"):
        bundle.drop_namespace(name)
    del bundle.spec["hostname"]
    said = bundle.shell(
        "for n in pid ipc net uts cgroup; do readlink /proc/self/ns/$n; done; ls -d /proc/[0-9]* | wc -l"
    )
    words = said.split()
    assert words[:5] == [os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "ipc", "net", "uts", "cgroup")]
    assert int(words[5]) > 5


def test_what_an_ordinary_container_looks_like(bundle: Bundle) -> None:
    bundle.process["cwd"] = "/made/for/it"
    bundle.linux["seccomp"] = default_profile(DEFAULT_CAPABILITIES, os.uname().machine)
    said = bundle.shell(
        "pwd; hostname; cat /proc/self/status; ls -l /dev /dev/; ls -A /proc/self/fd | wc -l;"
        "cat /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null | grep -c ^1$;"
        "echo home=$HOME; ip link show lo; umask; cat /proc/self/cgroup"
    )
    assert said.startswith("/made/for/it\ncove\n")
    assert "CapEff:\t00000000a80425fb" in said
    assert "CapInh:\t0000000000000000" in said
    assert "CapAmb:\t0000000000000000" in said
    assert "Seccomp:\t2" in said
    for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx -> pts/ptmx", "fd -> /proc/self/fd"):
        assert f" {name}\n" in said
    assert "home=/root" in said
    assert "LOOPBACK,UP" in said
    assert "\n0022\n" in said
    cgroups = {line.rpartition(":")[2] for line in said.splitlines() if re.match(r"\d+:\S*:/", line)}
    assert cgroups == {"/"}, "the cgroup namespace begins at the container's own"


@pytest.mark.spec("config-linux.md, Masked Paths, Readonly Paths")
def test_masked_and_read_only_paths_hold(bundle: Bundle) -> None:
    (bundle.rootfs / "etc" / "folder").mkdir()
    (bundle.rootfs / "etc" / "folder" / "secret").write_text("x")
    bundle.linux["maskedPaths"] += ["/etc/folder", "/etc/group", "/etc/nothing/there"]
    said = bundle.shell(
        "ls /etc/folder; cat /etc/group /proc/keys /proc/timer_list; touch /etc/folder/y 2>&1;"
        "(echo 1 >/proc/sys/kernel/randomize_va_space) 2>&1; (echo h >/proc/sysrq-trigger) 2>&1; echo end"
    )
    assert said.count("Read-only") >= 2
    assert "secret" not in said
    assert said.endswith("end\n")


@pytest.mark.spec("config.md, Root: readonly")
def test_a_read_only_root_refuses_writes_and_its_mounts_do_not(bundle: Bundle) -> None:
    bundle.spec["root"]["readonly"] = True
    bundle.mount("/t", "tmpfs", "size=1m", "mode=1777", kind="tmpfs")
    said = bundle.shell("touch /x 2>&1; touch /t/y && ls /t; df -k /t | tail -1")
    assert "Read-only file system" in said
    assert "y\n" in said
    assert " 1024 " in said


@pytest.mark.spec("config.md, Mounts: bind")
def test_binds_follow_their_options(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("host\n")
    bundle.mount("/rw", source, "rbind", "rprivate")
    bundle.mount("/ro", source, "rbind", "rprivate", "ro", "nosuid", "nodev", "noexec")
    bundle.mount("/etc/one", source / "file", "bind")
    said = bundle.shell(
        "cat /rw/file /etc/one; touch /ro/x 2>&1; touch /rw/made; grep ' /ro ' /proc/self/mountinfo; test ! -e /ro/x"
    )
    assert said.startswith("host\nhost\n")
    assert "Read-only" in said
    assert "ro,nosuid,nodev,noexec" in said
    assert (source / "made").exists()


@pytest.mark.spec("config.md, Mounts: a missing source is an error")
def test_a_bind_without_its_source_says_so(bundle: Bundle) -> None:
    bundle.mount("/x", "/no/such/folder", "rbind")
    done = bundle.run("true")
    assert done.returncode == 1
    assert 'error mounting "/no/such/folder" to rootfs at "/x"' in done.stderr
    assert "no such file or directory" in done.stderr


def test_a_folder_on_a_file_says_not_a_directory(bundle: Bundle, tmp_path: Path) -> None:
    bundle.mount("/etc/passwd", tmp_path, "rbind")
    assert "not a directory" in bundle.run("true").stderr


@pytest.mark.parametrize(
    ("propagation", "inward", "outward"),
    [("rprivate", False, False), ("rslave", True, False), ("rshared", True, True)],
)
@pytest.mark.spec("config-linux.md, Rootfs Mount Propagation; config.md, Mounts")
def test_mounts_propagate_as_asked(
    bundle: Bundle, tmp_path: Path, propagation: str, *, inward: bool, outward: bool
) -> None:
    """The host's side is a mount namespace of the test: nothing here changes the machine's mounts."""
    shared = tmp_path / "shared"
    shared.mkdir()
    bundle.mount("/m", shared, "rbind", propagation)
    caps = bundle.process["capabilities"]
    for name in caps:
        caps[name] = [*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"]
    bundle.process["args"] = [
        "sh",
        "-c",
        "mkdir -p /m/c && mount -t tmpfs inner /m/c && touch /m/c/f; echo ready; cat >/dev/null;"
        "test -e /m/h/f; echo in=$?",
    ]
    bundle.write()
    script = f"""
        mount --make-rprivate / && mount -t tmpfs outer {shared} && mount --make-shared {shared} && mkdir {shared}/h
        mkfifo {tmp_path}/in {tmp_path}/out
        "$@" <{tmp_path}/in >{tmp_path}/out & exec 3>{tmp_path}/in 4<{tmp_path}/out
        read -r line <&4
        mount -t tmpfs late {shared}/h && touch {shared}/h/f
        test -e {shared}/c/f; echo out=$?
        exec 3>&-
        cat <&4
        wait
    """
    argv = [sys.executable, "-P", "-m", "vmagent.runtime.command", "--root", str(bundle.root), "run"]
    argv += ["--bundle", str(bundle.folder), bundle.id]
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script, "bash", *argv],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    assert f"in={int(not inward)}" in done.stdout, done.stderr
    assert f"out={int(not outward)}" in done.stdout, done.stderr


@pytest.mark.spec("config-linux.md, Devices")
def test_devices_are_made_and_others_refused(bundle: Bundle) -> None:
    bundle.linux["devices"] = [
        {"path": "/dev/deep/er/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 1000, "gid": 50}
    ]
    said = bundle.shell(
        "stat -c '%a %u %g %t:%T' /dev/deep/er/fuse; mknod /dev/disk0 b 8 0 && cat /dev/disk0 2>&1;"
        "cat /dev/deep/er/fuse 2>&1; echo >/dev/null"
    )
    assert said.startswith("640 1000 50 a:e5\n")
    assert said.count("Operation not permitted") == 2


@pytest.mark.spec("config-linux.md, Sysctl")
def test_sysctls_are_set_and_the_hosts_own_are_refused(bundle: Bundle) -> None:
    bundle.linux["sysctl"] = {"net.core.somaxconn": "1234", "kernel.msgmax": "9000", "net/ipv4/ip_forward": "1"}
    said = bundle.shell("cd /proc/sys; cat net/core/somaxconn kernel/msgmax net/ipv4/ip_forward")
    assert said.split() == ["1234", "9000", "1"]
    bundle.linux["sysctl"] = {"kernel.panic": "1"}
    assert 'sysctl "kernel.panic" is not in a separate kernel namespace' in bundle.run("true").stderr
    bundle.linux["sysctl"] = {"net.core.somaxconn": "1"}
    bundle.drop_namespace("network")
    assert "is not allowed in the hosts network namespace" in bundle.run("true").stderr


@pytest.mark.spec("config.md, POSIX process: rlimits")
def test_limits_are_set_and_one_that_cannot_be_raised_is_an_error(bundle: Bundle) -> None:
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 123}]
    assert bundle.shell("ulimit -n; ulimit -Hn").split() == ["100", "123"]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if not os.sysconf("SC_OPEN_MAX") or hard == resource.RLIM_INFINITY or _has_sys_resource():
        pytest.skip("every limit can be raised here")
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": hard + 1, "hard": hard + 1}]
    assert "error setting rlimit type 7: operation not permitted" in bundle.run("true").stderr


def _has_sys_resource() -> bool:
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) >> 24 & 1)


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"uid": 5, "gid": 6, "additionalGids": [7, 77]}, "5 6 6 7 77 /"),
        ({"uid": 1000, "gid": 1000}, "1000 1000 1000 /home"),
    ],
)
@pytest.mark.spec("config.md, User")
def test_the_process_is_who_it_is_to_be(bundle: Bundle, user: dict[str, int], said: str) -> None:
    bundle.process["user"] = user
    out = bundle.shell("echo $(id -u) $(id -g) $(id -G) $HOME; grep CapEff /proc/self/status; echo x >/dev/stdout")
    assert out.startswith(said + "\n")
    assert "CapEff:\t0000000000000000" in out
    assert out.endswith("x\n")


@pytest.mark.spec("config.md, Linux Process: capabilities, noNewPrivileges, oomScoreAdj")
def test_capability_sets_and_no_new_privileges(bundle: Bundle) -> None:
    bundle.process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN"],
        "effective": ["CAP_CHOWN"],
        "inheritable": ["CAP_CHOWN"],
        "ambient": ["CAP_CHOWN"],
    }
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["noNewPrivileges"] = True
    bundle.process["oomScoreAdj"] = 500
    bundle.linux["seccomp"] = default_profile([], os.uname().machine)
    said = bundle.shell("cat /proc/self/status /proc/self/oom_score_adj")
    for field, value in (("Inh", 1), ("Prm", 1), ("Eff", 1), ("Bnd", 1 | 1 << 13), ("Amb", 1)):
        assert f"Cap{field}:\t{value:016x}" in said
    assert "NoNewPrivs:\t1" in said
    assert "Seccomp:\t2" in said
    assert said.endswith("500\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nosuch"], 'exec: "nosuch": executable file not found in $PATH'),
        (["/etc/passwd"], 'exec: "/etc/passwd": permission denied'),
        (["/etc"], 'exec: "/etc": permission denied'),
        (["/a/b"], 'exec: "/a/b": stat /a/b: no such file or directory'),
    ],
)
def test_a_command_that_cannot_run_is_told_in_dockers_words(bundle: Bundle, args: list[str], message: str) -> None:
    done = bundle.run(*args)
    assert done.returncode == 1
    assert message in done.stderr


def test_a_script_without_its_interpreter_is_told_after_start(bundle: Bundle) -> None:
    script = bundle.rootfs / "script"
    script.write_text("#!/no/such\n")
    script.chmod(0o755)
    assert "exec /script: no such file or directory" in bundle.run("/script").stderr


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda b: b.spec.update(hooks={"prestart": [{"path": "x"}]}), "hooks.prestart[0]: the path must be absolute"),
        (lambda b: b.linux.update(intelRdt={"closID": "x"}), "intelRdt"),
        (lambda b: b.process.update(apparmorProfile="x"), "AppArmor"),
        (lambda b: b.linux["namespaces"].append({"type": "user"}), "needs uidMappings and gidMappings"),
        (lambda b: b.process.update(args=[]), "args must not be empty"),
        (lambda b: b.mount("/x", "/", "tmpcopyup", "bind"), "tmpcopyup is for tmpfs alone"),
        (lambda b: b.process.update(rlimits=[{"type": "RLIMIT_X", "soft": 1, "hard": 1}]), "RLIMIT_X"),
    ],
)
def test_what_is_not_done_is_refused_not_ignored(bundle: Bundle, change: Callable[[Bundle], None], word: str) -> None:
    bundle.process["args"] = ["true"]
    change(bundle)
    bundle.write()
    done = bundle.command("run", "--bundle", str(bundle.folder), bundle.id)
    assert done.returncode == 1
    assert word in done.stderr
