"""runtime.md of the OCI runtime specification: state, lifecycle, operations. One statement, one test."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.conftest import Bundle
from vmagent.runtime.cgroups import tree


@pytest.fixture
def created(bundle: Bundle) -> Bundle:
    """A created container; its command loops until it is killed."""
    bundle.process["args"] = ["sh", "-c", "echo ran >/ran; trap 'echo hup >/hup' HUP; while :; do sleep 0.05; done"]
    assert bundle.create().returncode == 0
    return bundle


@pytest.fixture
def running(created: Bundle) -> Bundle:
    assert created.command("start", created.id).returncode == 0
    return created


@pytest.fixture
def stopped(running: Bundle) -> Bundle:
    tree().at(running.cgroup_path).kill_all()
    return running


def fails(bundle: Bundle, word: str, *words: str) -> None:
    done = bundle.command(*words)
    assert done.returncode == 1
    assert word in done.stderr


@pytest.mark.spec("runtime.md, Scope of a Container")
def test_another_process_of_the_creator_can_use_the_container(running: Bundle) -> None:
    assert running.state()["id"] == running.id  # each command of these tests is a separate process
    assert running.command("kill", running.id, "KILL").returncode == 0


@pytest.mark.spec("runtime.md, State: ociVersion")
def test_the_state_tells_its_version(created: Bundle) -> None:
    assert created.state()["ociVersion"] == "1.2.1"


@pytest.mark.spec("runtime.md, State: id")
def test_an_id_is_used_once(created: Bundle) -> None:
    fails(created, "already exists", "create", "--bundle", str(created.folder), created.id)
    assert created.state()["status"] == "created"


@pytest.mark.spec("runtime.md, State: status")
def test_the_status_is_creating_while_hooks_run(bundle: Bundle) -> None:
    words = " ".join(f"'{word}'" for word in bundle.argv("state", bundle.id))
    root = Path(__file__).parents[2]
    script = f"cd {root} && {words} >{bundle.rootfs}/state"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}
    bundle.spec["hooks"] = {"createRuntime": [hook]}
    bundle.shell("true")
    assert json.loads((bundle.rootfs / "state").read_text())["status"] == "creating"


@pytest.mark.spec("runtime.md, State: status")
def test_the_status_is_created_until_start(created: Bundle) -> None:
    assert created.state()["status"] == "created"


@pytest.mark.spec("runtime.md, State: status")
def test_the_status_is_running_after_start(running: Bundle) -> None:
    assert running.state()["status"] == "running"


@pytest.mark.spec("runtime.md, State: status")
def test_the_status_is_stopped_when_the_process_is_gone(stopped: Bundle) -> None:
    assert stopped.state()["status"] == "stopped"


@pytest.mark.spec("runtime.md, State: status")
def test_a_status_of_our_own_means_something_else(running: Bundle) -> None:
    assert running.command("pause", running.id).returncode == 0
    assert running.state()["status"] == "paused"
    assert running.command("resume", running.id).returncode == 0


@pytest.mark.spec("runtime.md, State: pid")
def test_the_pid_is_the_hosts(created: Bundle) -> None:
    status = Path(f"/proc/{created.state()['pid']}/status").read_text()
    assert "NSpid:" in status
    assert status.split("NSpid:")[1].split("\n")[0].split()[-1] == "1"


@pytest.mark.spec("runtime.md, State: bundle")
def test_the_bundle_is_an_absolute_path(bundle: Bundle) -> None:
    bundle.process["args"] = ["true"]
    bundle.write()
    words = ["create", "--bundle", ".", bundle.id]
    quiet = {"capture_output": False, "stdout": -3, "stderr": -3}
    argv = bundle.argv(*words)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert bundle.external(argv, cwd=bundle.folder, env=env, **quiet).returncode == 0
    assert bundle.state()["bundle"] == str(bundle.folder)


@pytest.mark.parametrize("annotations", [{"org.example.a": "b"}, {}, None])
@pytest.mark.spec("runtime.md, State: annotations")
def test_the_state_has_the_annotations(bundle: Bundle, annotations: dict[str, str] | None) -> None:
    bundle.spec["annotations"] = annotations
    bundle.process["args"] = ["true"]
    assert bundle.create().returncode == 0
    assert bundle.state()["annotations"] == (annotations or {})


@pytest.mark.spec("runtime.md, Lifecycle, 2")
def test_an_environment_that_cannot_be_made_is_an_error(bundle: Bundle) -> None:
    bundle.mount("/x", "/nothing", "bind")
    bundle.refused("no such file or directory")


@pytest.mark.spec("runtime.md, Lifecycle, 2")
def test_create_makes_the_resources_and_does_not_run_the_program(created: Bundle) -> None:
    pid = created.state()["pid"]
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    assert tree().at(created.cgroup_path).pids() == [pid]
    assert not (created.rootfs / "ran").exists()


@pytest.mark.spec("runtime.md, Lifecycle, 2")
def test_changes_of_the_configuration_after_create_have_no_effect(created: Bundle) -> None:
    created.process["args"] = ["sh", "-c", "echo other >/other"]
    created.write()
    assert created.command("start", created.id).returncode == 0
    assert created.state()["status"] == "running"
    assert not (created.rootfs / "other").exists()


@pytest.mark.spec("runtime.md, Lifecycle, 8")
def test_start_runs_the_program(running: Bundle) -> None:
    assert "ran" in running.command("exec", running.id, "sh", "-c", "until cat /ran 2>/dev/null; do :; done").stdout


@pytest.mark.spec("runtime.md, Lifecycle, 12")
def test_delete_undoes_what_create_did(stopped: Bundle) -> None:
    assert stopped.command("delete", stopped.id).returncode == 0
    assert not tree().at(stopped.cgroup_path).exists()
    assert list(stopped.root.iterdir()) == []


@pytest.mark.spec("runtime.md, Errors")
def test_an_error_leaves_all_as_it_was(running: Bundle) -> None:
    before = running.state()
    fails(running, "cannot start", "start", running.id)
    fails(running, "unknown signal", "kill", running.id, "SIGNOTHING")
    fails(running, "is not stopped", "delete", running.id)
    assert running.state() == before


@pytest.mark.spec("runtime.md, Warnings")
def test_a_warning_changes_nothing_else(bundle: Bundle) -> None:
    bundle.process["capabilities"]["bounding"].append("CAP_FLY")
    assert bundle.run("sh", "-c", "exit 3").returncode == 3


@pytest.mark.parametrize("operation", ["state", "create", "start", "kill", "delete"])
@pytest.mark.spec("runtime.md, Operations")
def test_an_operation_without_an_id_is_an_error(bundle: Bundle, operation: str) -> None:
    done = bundle.command(operation)
    assert done.returncode != 0
    assert "container-id" in done.stderr


@pytest.mark.parametrize("operation", ["state", "start", "kill", "delete"])
@pytest.mark.spec("runtime.md, Operations")
def test_an_operation_on_a_container_that_is_not_there_is_an_error(bundle: Bundle, operation: str) -> None:
    fails(bundle, "container does not exist", operation, bundle.id)


@pytest.mark.spec("runtime.md, Query State")
def test_state_gives_the_state(created: Bundle) -> None:
    assert {"ociVersion", "id", "status", "pid", "bundle", "annotations"} <= created.state().keys()


@pytest.mark.spec("runtime.md, Create")
def test_create_without_a_bundle_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    done = bundle.command("create", "--bundle", str(tmp_path / "nothing"), bundle.id)
    assert done.returncode == 1
    assert "config.json not found" in done.stderr


@pytest.mark.parametrize("container_id", ["a/b", "..", ".", "a b", "ä"])
@pytest.mark.spec("runtime.md, Create")
def test_an_id_that_is_not_valid_is_an_error(bundle: Bundle, container_id: str) -> None:
    bundle.process["args"] = ["true"]
    bundle.write()
    fails(bundle, "invalid container ID format", "create", "--bundle", str(bundle.folder), container_id)
    assert not bundle.root.exists()


@pytest.mark.spec("runtime.md, Create")
def test_create_applies_everything_but_the_process(created: Bundle) -> None:
    pid = created.state()["pid"]
    assert "/dev/mqueue" in Path(f"/proc/{pid}/mounts").read_text()
    assert Path(f"/proc/{pid}/root").resolve() == Path("/")


@pytest.mark.spec("runtime.md, Create")
def test_args_are_not_applied_before_start(created: Bundle) -> None:
    assert "echo ran" not in Path(f"/proc/{created.state()['pid']}/cmdline").read_text()


@pytest.mark.spec("runtime.md, Create")
def test_what_cannot_be_applied_is_an_error_and_makes_no_container(bundle: Bundle) -> None:
    bundle.linux["resources"]["cpu"] = {"cpus": "4000"}
    bundle.refused("error applying cgroup configuration")


@pytest.mark.spec("runtime.md, Start")
def test_starting_what_is_not_created_is_an_error_without_effect(running: Bundle) -> None:
    pid = running.state()["pid"]
    fails(running, "cannot start an already running container", "start", running.id)
    assert (running.state()["pid"], running.state()["status"]) == (pid, "running")


@pytest.mark.spec("runtime.md, Start")
def test_starting_what_has_stopped_is_an_error(stopped: Bundle) -> None:
    fails(stopped, "cannot start a container that has stopped", "start", stopped.id)


@pytest.mark.spec("runtime.md, Start")
def test_start_of_a_program_that_cannot_run_is_an_error(bundle: Bundle) -> None:
    script = bundle.rootfs / "script"
    script.write_text("#!/no/such\n")
    script.chmod(0o755)
    bundle.process["args"] = ["/script"]
    assert bundle.create().returncode == 0
    fails(bundle, "exec /script: no such file or directory", "start", bundle.id)


@pytest.mark.spec("runtime.md, Kill")
def test_a_signal_to_what_does_not_run_is_an_error_without_effect(stopped: Bundle) -> None:
    fails(stopped, "container not running", "kill", stopped.id, "TERM")
    assert stopped.state()["status"] == "stopped"


@pytest.mark.parametrize("signal", ["HUP", "SIGHUP", "1"])
@pytest.mark.spec("runtime.md, Kill")
def test_kill_sends_the_signal_that_is_given(bundle: Bundle, signal: str) -> None:
    bundle.process["args"] = ["sh", "-c", "trap 'exit 6' HUP; touch /up; while :; do sleep 0.02; done"]
    assert bundle.create().returncode == 0
    pidfd = os.pidfd_open(bundle.state()["pid"])
    bundle.command("start", bundle.id)
    bundle.command("exec", bundle.id, "sh", "-c", "until test -e /up; do :; done")
    assert bundle.command("kill", bundle.id, signal).returncode == 0
    _await_end(pidfd)
    assert bundle.state()["status"] == "stopped"


def _await_end(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(20_000)
    os.close(pidfd)


@pytest.mark.spec("runtime.md, Kill")
def test_a_signal_reaches_a_container_that_is_only_created(created: Bundle) -> None:
    pidfd = os.pidfd_open(created.state()["pid"])
    assert created.command("kill", created.id, "KILL").returncode == 0
    _await_end(pidfd)
    assert created.state()["status"] == "stopped"


@pytest.mark.spec("runtime.md, Delete")
def test_deleting_what_has_not_stopped_is_an_error_without_effect(running: Bundle) -> None:
    fails(running, "is not stopped: running", "delete", running.id)
    assert running.state()["status"] == "running"


@pytest.mark.spec("runtime.md, Delete")
def test_delete_leaves_what_the_container_did_not_make(new_bundle: Callable[[], Bundle], tmp_path: Path) -> None:
    first, second = new_bundle(), new_bundle()
    kept = tmp_path / "kept"
    kept.mkdir()
    pid = first.start("sleep", "60")
    second.drop_namespace("network", f"/proc/{pid}/ns/net")
    second.mount("/kept", kept, "bind")
    second.shell("touch /kept/file")
    assert (kept / "file").exists()
    assert first.state()["status"] == "running"


@pytest.mark.spec("runtime.md, Delete")
def test_an_id_can_be_used_again_after_delete(stopped: Bundle) -> None:
    assert stopped.command("delete", stopped.id).returncode == 0
    assert stopped.run("echo", "again").stdout == "again\n"
