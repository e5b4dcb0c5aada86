"""config.md, "POSIX-platform Hooks", and the hooks in runtime.md, "Lifecycle". One statement, one test."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.conftest import Bundle

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
# The status at the time of each kind of hook: runtime.md, "State" and "Lifecycle".
STATUS = {
    "prestart": "creating",
    "createRuntime": "creating",
    "createContainer": "creating",
    "startContainer": "created",
    "poststart": "running",
    "poststop": "stopped",
}


def hook(*script: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", *script], "env": ["PATH=/usr/bin:/bin"], **more}


def inside(bundle: Bundle, name: str) -> Path:
    return bundle.rootfs / name


@pytest.fixture
def noting(bundle: Bundle) -> Bundle:
    """A bundle in which each hook appends its name to `notes`, a file in the root file system."""
    bundle.spec["hooks"] = {}
    for kind in KINDS:
        file = "/notes" if kind == "startContainer" else f"{bundle.rootfs}/notes"
        bundle.spec["hooks"][kind] = [hook(f"echo {kind}.{number} >>{file}") for number in (0, 1)]
    return bundle


def notes(bundle: Bundle) -> list[str]:
    return (bundle.rootfs / "notes").read_text().split()


@pytest.mark.spec("config.md, POSIX-platform Hooks")
def test_hooks_run_in_the_order_of_the_list_and_of_the_lifecycle(noting: Bundle) -> None:
    noting.run("sh", "-c", "echo command >>/notes")
    assert [word for word in notes(noting) if word != "command"] == [f"{kind}.{n}" for kind in KINDS for n in (0, 1)]


@pytest.mark.spec("runtime.md, Lifecycle, 3 to 9 and 13")
def test_each_step_of_the_lifecycle_runs_its_hooks(noting: Bundle) -> None:
    noting.process["args"] = ["sh", "-c", "echo command >>/notes; sleep 60"]
    assert noting.create().returncode == 0
    created = [f"{kind}.{n}" for kind in KINDS[:3] for n in (0, 1)]
    assert notes(noting) == created
    assert noting.command("start", noting.id).returncode == 0
    said = notes(noting)
    assert said.index("startContainer.1") < said.index("command")
    assert {"poststart.0", "poststart.1"} <= set(said), "before start returns"
    assert "poststop.0" not in said
    noting.command("kill", noting.id, "KILL")
    assert noting.command("delete", "--force", noting.id).returncode == 0
    assert notes(noting)[-2:] == ["poststop.0", "poststop.1"], "before delete returns"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.spec("config.md, POSIX-platform Hooks: state on stdin")
def test_a_hook_reads_the_containers_state(bundle: Bundle, kind: str) -> None:
    bundle.spec["annotations"] = {"org.example.a": "b"}
    file = "/state" if kind == "startContainer" else f"{bundle.rootfs}/state"
    bundle.spec["hooks"] = {kind: [hook(f"cat >{file}")]}
    assert bundle.run("true").returncode == 0
    state = json.loads((bundle.rootfs / "state").read_text())
    assert (state["id"], state["status"], state["bundle"]) == (bundle.id, STATUS[kind], str(bundle.folder))
    assert state["ociVersion"].startswith("1.")
    assert state["annotations"] == {"org.example.a": "b"}
    assert (state["pid"] > 1) == (kind != "poststop"), "as the host sees it"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.spec("config.md, POSIX-platform Hooks: path")
def test_a_hooks_path_must_be_absolute(bundle: Bundle, kind: str) -> None:
    bundle.spec["hooks"] = {kind: [{"path": "sh"}]}
    bundle.refused(f"hooks.{kind}[0]: the path must be absolute")


@pytest.mark.spec("config.md, POSIX-platform Hooks: args")
def test_a_hooks_args_are_its_argv(bundle: Bundle) -> None:
    bundle.spec["hooks"] = {
        "prestart": [{"path": "/bin/sh", "args": ["x", "-c", f'echo "$0" "$1" >{bundle.rootfs}/out', "a", "b c"]}]
    }
    assert bundle.run("cat", "/out").stdout == "a b c\n"


@pytest.mark.spec("config.md, POSIX-platform Hooks: env")
def test_a_hooks_environment_is_only_what_is_given(bundle: Bundle) -> None:
    bundle.spec["hooks"] = {"prestart": [{**hook(f"/usr/bin/env >{bundle.rootfs}/out"), "env": ["A=1", "B="]}]}
    said = set(bundle.run("cat", "/out").stdout.split())
    assert said - {"_=/usr/bin/env", "PWD=" + os.getcwd()} == {"A=1", "B="}


@pytest.mark.spec("config.md, POSIX-platform Hooks: timeout")
def test_a_hook_past_its_timeout_is_aborted(bundle: Bundle) -> None:
    bundle.spec["hooks"] = {"createRuntime": [hook("exec sleep 60", timeout=1)]}
    bundle.refused("error running createRuntime hook #0: timed out after 1 s")


@pytest.mark.parametrize("timeout", [0, -1])
@pytest.mark.spec("config.md, POSIX-platform Hooks: timeout")
def test_a_timeout_is_greater_than_zero(bundle: Bundle, timeout: int) -> None:
    bundle.spec["hooks"] = {"poststop": [hook("true", timeout=timeout)]}
    bundle.refused("timeout must be greater than zero")


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "poststart", "poststop"])
@pytest.mark.spec("config.md, POSIX-platform Hooks: executed in the runtime namespace")
def test_a_hook_of_the_runtime_runs_in_the_runtimes_namespaces(bundle: Bundle, kind: str) -> None:
    bundle.spec["hooks"] = {
        kind: [hook(f"(readlink /proc/self/ns/mnt; readlink /proc/self/ns/net) >{bundle.rootfs}/out")]
    }
    bundle.run("true")
    assert inside(bundle, "out").read_text().split() == [os.readlink(f"/proc/self/ns/{n}") for n in ("mnt", "net")]


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "poststart", "poststop"])
@pytest.mark.spec("config.md, POSIX-platform Hooks: path resolved in the runtime namespace")
def test_a_hooks_path_is_the_hosts(bundle: Bundle, kind: str) -> None:
    program = bundle.folder / "program"
    program.write_text(f"#!/bin/sh\ntouch {bundle.rootfs}/ran\n")
    program.chmod(0o755)
    bundle.spec["hooks"] = {kind: [{"path": str(program), "env": ["PATH=/usr/bin:/bin"]}]}
    assert bundle.run("true").returncode == 0
    assert inside(bundle, "ran").exists()


@pytest.mark.spec("config.md, createContainer Hooks")
def test_create_container_hooks_run_in_the_containers_namespaces_before_the_root_is_changed(bundle: Bundle) -> None:
    script = (
        f"readlink /proc/self/ns/mnt; readlink /proc/self/ns/net; test -e {bundle.rootfs}/proc/self && echo mounted"
    )
    bundle.spec["hooks"] = {"createContainer": [hook(f"({script}) >{bundle.rootfs}/out")]}
    said = bundle.shell("cat /out; readlink /proc/self/ns/mnt; readlink /proc/self/ns/net").split()
    assert said[:2] == said[-2:]
    assert said[2] == "mounted", "the container's mounts are there"


@pytest.mark.spec("config.md, startContainer Hooks")
def test_start_container_hooks_run_in_the_container_and_their_path_is_its_own(bundle: Bundle) -> None:
    program = bundle.rootfs / "inside-only"
    program.write_text("#!/bin/sh\n(readlink /proc/self/ns/mnt; echo $$; ls /) >/out\n")
    program.chmod(0o755)
    bundle.spec["hooks"] = {"startContainer": [{"path": "/inside-only", "env": ["PATH=/bin"]}]}
    said = bundle.shell("cat /out; readlink /proc/self/ns/mnt").split()
    assert said[0] == said[-1]
    assert "inside-only" in said
    assert int(said[1]) > 1


@pytest.mark.spec("config.md, startContainer Hooks")
def test_start_container_hooks_run_after_start_is_called(bundle: Bundle) -> None:
    bundle.spec["hooks"] = {"startContainer": [hook("touch /ran")]}
    bundle.process["args"] = ["sleep", "60"]
    assert bundle.create().returncode == 0
    assert not inside(bundle, "ran").exists()
    assert bundle.command("start", bundle.id).returncode == 0
    assert inside(bundle, "ran").exists()


@pytest.mark.spec("config.md, prestart")
def test_prestart_hooks_find_the_containers_namespaces_made(bundle: Bundle) -> None:
    script = f"pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); readlink /proc/$pid/ns/net >{bundle.rootfs}/out"
    bundle.spec["hooks"] = {"prestart": [hook(script)]}
    said = bundle.shell("cat /out; readlink /proc/self/ns/net").split()
    assert said[0] == said[1]


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
@pytest.mark.spec("runtime.md, Lifecycle, 3 to 5")
def test_a_failing_hook_of_create_is_an_error_and_ends_the_container(bundle: Bundle, kind: str) -> None:
    bundle.spec["hooks"] = {
        kind: [hook("echo no luck >&2; exit 3"), hook(f"touch {bundle.rootfs}/second")],
        "poststop": [hook(f"touch {bundle.rootfs}/stopped")],
    }
    bundle.refused(f"error running {kind} hook #0: exit status 3, output: no luck")
    assert not inside(bundle, "second").exists()
    assert inside(bundle, "stopped").exists(), "the lifecycle goes on at step 12: destroyed, poststop"


@pytest.mark.parametrize("kind", ["startContainer", "poststart"])
@pytest.mark.spec("runtime.md, Lifecycle, 7 and 9")
def test_a_failing_hook_of_start_is_an_error_and_ends_the_container(bundle: Bundle, kind: str) -> None:
    bundle.spec["hooks"] = {kind: [hook("exit 4")], "poststop": [hook(f"touch {bundle.rootfs}/stopped")]}
    bundle.process["args"] = ["sh", "-c", "sleep 60"]
    assert bundle.create().returncode == 0
    done = bundle.command("start", bundle.id)
    assert done.returncode == 1
    assert f"error running {kind} hook #0: exit status 4" in done.stderr
    assert "does not exist" in bundle.command("state", bundle.id).stderr
    assert inside(bundle, "stopped").exists()


@pytest.mark.spec("runtime.md, Lifecycle, 13; Warnings")
def test_a_failing_poststop_hook_is_a_warning_and_the_others_run(bundle: Bundle) -> None:
    bundle.spec["hooks"] = {"poststop": [hook("exit 5"), hook(f"touch {bundle.rootfs}/second")]}
    done = bundle.run("sh", "-c", "exit 9")
    assert done.returncode == 9
    assert 'level=warning msg="error running poststop hook #0: exit status 5"' in done.stderr
    assert inside(bundle, "second").exists()


@pytest.mark.spec("config.md, Valid values")
def test_a_kind_of_hook_that_is_not_known_is_an_error(bundle: Bundle) -> None:
    bundle.spec["hooks"] = {"whenever": [hook("true")]}
    bundle.refused("hooks.whenever is not known")


# Prints everything that decides what a process may do: ids, umask, folder, capabilities, filter, a limit.
LOOK = "id -u; id -g; umask; pwd; grep -E '^(Cap|NoNew|Seccomp:|Groups)' /proc/self/status; ulimit -n"
FILTER = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO"}]}


@pytest.mark.parametrize("has_privileges", [False, True], ids=["no_new_privs", "new privileges"])
@pytest.mark.spec("config.md, startContainer Hooks")
def test_start_container_hooks_have_the_rights_of_the_command_and_no_more(bundle: Bundle, has_privileges: bool) -> None:
    """Their program comes from the image, as the command does, so it must not have more rights."""
    bundle.rootfs.chmod(0o777)
    bundle.process.update(
        user={"uid": 5, "gid": 6, "additionalGids": [7], "umask": 0o27},
        noNewPrivileges=not has_privileges,
        cwd="/tmp",
        capabilities={name: ["CAP_CHOWN"] for name in ("bounding", "effective", "permitted", "inheritable", "ambient")},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 111}],
    )
    bundle.linux["seccomp"] = FILTER
    bundle.spec["hooks"] = {"startContainer": [hook(f"({LOOK}) >/out; mkdir /made || true"), hook(f"({LOOK}) >>/out")]}
    said = bundle.shell(LOOK)
    assert "Seccomp:\t2" in said
    assert inside(bundle, "out").read_text() == 2 * said
    assert not inside(bundle, "made").exists(), "the filter holds for the hook too"


@pytest.mark.parametrize("refused", ["memfd_create", "pidfd_open"])
@pytest.mark.spec("config.md, startContainer Hooks")
def test_start_container_hooks_run_under_a_filter_that_refuses_what_only_the_runtime_needs(
    bundle: Bundle, refused: str
) -> None:
    rule = {"names": [refused], "action": "SCMP_ACT_ERRNO"}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    bundle.spec["hooks"] = {"startContainer": [hook("echo one >>/out; cat >/state"), hook("echo two >>/out")]}
    assert bundle.shell("cat /out") == "one\ntwo\n"
    assert json.loads(inside(bundle, "state").read_text())["id"] == bundle.id
    bundle.spec["hooks"] = {"startContainer": [hook("echo no luck; exit 3")]}
    done = bundle.run("true")
    assert "error running startContainer hook #0: exit status 3, output: no luck" in done.stderr


@pytest.mark.spec("config.md, createContainer Hooks")
def test_create_container_hooks_begin_in_the_root_that_is_to_be(bundle: Bundle) -> None:
    """As with runc: a relative path of a hook is inside the container, and the umask is that of the caller."""
    bundle.spec["hooks"] = {"createContainer": [hook("pwd >out; umask >>out; mkdir made; echo x >made/file")]}
    assert bundle.run("true", umask=0o026).returncode == 0
    assert inside(bundle, "out").read_text().split() == [str(bundle.rootfs), "0026"]
    assert (inside(bundle, "made").stat().st_mode & 0o777, inside(bundle, "made/file").stat().st_mode & 0o777) == (
        0o751,
        0o640,
    )


@pytest.mark.spec("config.md, createContainer Hooks")
def test_create_container_hooks_begin_in_the_root_of_a_user_namespace_too(bundle: Bundle) -> None:
    mapping = [{"containerID": 0, "hostID": 0, "size": 1000}]
    bundle.linux.update(uidMappings=mapping, gidMappings=mapping)
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.spec["hooks"] = {"createContainer": [hook("umask >out; test -e proc/self && echo mounted >>out")]}
    assert bundle.run("true", umask=0o026).returncode == 0
    assert inside(bundle, "out").read_text().split() == ["0026", "mounted"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.spec("config.md, POSIX-platform Hooks: env")
def test_a_hook_without_an_environment_has_the_runtimes_and_an_empty_one_has_none(bundle: Bundle, kind: str) -> None:
    """A startContainer hook inherits the environment of the command: it runs inside the container."""
    out = "/out" if kind == "startContainer" else f"{bundle.rootfs}/out"
    programs = {"path": "/bin/sh", "args": ["sh", "-c", f'echo "${{MARK-none}} ${{OWN-none}}" >>{out}']}
    bundle.process["env"] = ["PATH=/bin", "OWN=command"]
    bundle.spec["hooks"] = {kind: [programs, {**programs, "env": []}, {**programs, "env": ["MARK=given"]}]}
    assert bundle.run("true", env={**os.environ, "MARK": "runtime"}).returncode == 0
    inherited = "none command" if kind == "startContainer" else "runtime none"
    assert inside(bundle, "out").read_text().splitlines() == [inherited, "none none", "given none"]
