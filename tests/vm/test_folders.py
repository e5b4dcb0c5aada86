"""Folders of the host in containers of the VM: the real way, from `docker run -v` to files of this machine."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.vm.conftest import Vm


@pytest.fixture
def shared(vm: Vm, tmp_path: Path) -> Iterator[Path]:
    """A folder that the VM's settings share, and one beside it that they don't."""
    folder = tmp_path / "shared folder"
    folder.mkdir()
    vm.paths.config_file.write_text(json.dumps({"folders": {"shared": [str(folder)]}}))
    yield folder
    if names := vm.docker("ps", "-aq").stdout.split():
        vm.docker("rm", "-f", *names)
    vm.paths.config_file.unlink()


def test_a_container_works_in_a_folder_of_the_host(vm: Vm, busybox: str, shared: Path) -> None:
    (shared / "project").mkdir()
    (shared / "project" / "input").write_text("from the host\n")
    (shared / "link").symlink_to(shared / "project")
    script = "cat input > output; id -u >> output; stat -c %u:%g output; mkdir made; ln -s output made/link; ls made"
    done = vm.docker("run", "--rm", "-v", f"{shared / 'project'}:/w", "-w", "/w", busybox, "sh", "-c", script)
    assert done.stdout == "0:0\nlink\n"
    assert (shared / "project" / "output").read_text() == "from the host\n0\n"
    assert os.readlink(shared / "project" / "made" / "link") == "output"
    assert (shared / "project" / "output").stat().st_uid == os.getuid()
    user = ("--user", "1000:1000", "-v", f"{shared / 'link'}:/w")
    done = vm.cove("run", "--rm", *user, busybox, "sh", "-c", "echo x > /w/theirs && stat -c %u:%g /w/theirs")
    assert done.stdout == "1000:1000\n"
    one = ("--mount", f"type=bind,src={shared / 'project' / 'input'},dst=/one,readonly")
    done = vm.docker("run", "--rm", *one, busybox, "sh", "-c", "cat /one; echo x > /one", check=False)
    assert done.stdout == "from the host\n"
    assert "Read-only file system" in done.stderr
    inspected = vm.docker("create", "--name", "seen", "-v", f"{shared / 'project'}:/w:ro", busybox)
    assert inspected.returncode == 0
    [seen] = json.loads(vm.docker("inspect", "seen").stdout)
    assert [(each["Source"], each["RW"]) for each in seen["Mounts"]] == [(str(shared / "project"), False)]
    assert vm.docker("cp", "seen:/w/input", "-").stdout.count("from the host") == 1


def test_missing_and_unshared_sources_are_refused_in_dockers_words(vm: Vm, busybox: str, shared: Path) -> None:
    missing = shared / "missing" / "deep"
    done = vm.docker("run", "--rm", "--mount", f"type=bind,src={missing},dst=/x", busybox, "true", check=False)
    assert f'invalid mount config for type "bind": bind source path does not exist: {missing}' in done.stderr
    assert done.returncode == 125
    assert not missing.exists()
    vm.docker("run", "--rm", "-v", f"{missing}:/x", busybox, "touch", "/x/made")
    assert os.listdir(missing) == ["made"]
    other = shared.parent / "not shared"
    other.mkdir()
    done = vm.docker("run", "--rm", "-v", f"{other}:/x", busybox, "true", check=False)
    assert f"mounts denied: \nThe path {other} is not shared from the host and is not known to Docker." in done.stderr
    assert done.returncode == 125
    done = vm.docker("run", "--rm", "--mount", f"type=bind,src={other},dst=/x", busybox, "true", check=False)
    assert f'invalid mount config for type "bind": bind source path does not exist: {other} in the VM' in done.stderr
    assert done.returncode == 125
    (shared / "out").symlink_to(other)
    done = vm.docker("run", "--rm", "-v", f"{shared / 'out'}:/x", busybox, "true", check=False)
    assert "mounts denied" in done.stderr
    assert "passwd" in vm.docker("run", "--rm", "-v", "/etc:/x:ro", busybox, "ls", "/x").stdout, "the VM's own"


def test_a_folder_is_there_again_after_the_agent_was_killed(vm: Vm, busybox: str, shared: Path) -> None:
    script = "exec 3>>/w/log; while :; do date >&3 || exit 1; sleep 0.1; done"
    vm.docker("run", "-d", "--name", "writer", "-v", f"{shared}:/w", busybox, "sh", "-c", script)

    def grows() -> None:
        size = (shared / "log").stat().st_size if (shared / "log").exists() else 0
        wait_until(lambda: (shared / "log").exists() and (shared / "log").stat().st_size > size)

    grows()
    assert vm.agent is not None
    os.kill(vm.agent.pid, signal.SIGKILL)
    vm.agent.wait()
    vm.start_agent()
    grows()
    assert vm.docker("inspect", "-f", "{{.State.Status}}", "writer").stdout == "running\n"


# Prints the names of files as they are created in the folder that is open as descriptor 5.
WATCHER = """
import ctypes, os
fd = ctypes.CDLL(None).inotify_init1(0)
assert ctypes.CDLL(None).inotify_add_watch(fd, b"/proc/self/fd/5", 0x100) > 0
print("on", flush=True)
while True:
    print(os.read(fd, 65536)[16:].replace(b"\\0", b""), flush=True)
"""


def test_a_container_hears_of_what_the_host_changes(vm: Vm, busybox: str, shared: Path) -> None:
    # The VM's own Python, as the image has none.
    command = ("sh", "-c", 'exec chroot /host /usr/bin/python3.13 -c "$0" 5</w', WATCHER)
    vm.docker("run", "-d", "--name", "watcher", "-v", f"{shared}:/w", "-v", "/:/host", busybox, *command)
    wait_until(lambda: "on" in vm.docker("logs", "watcher").stdout)
    (shared / "page").write_text("x")
    wait_until(lambda: "page" in vm.docker("logs", "watcher").stdout)
    vm.docker("run", "-d", "--name", "reader", "-v", f"{shared}:/w", busybox, "sleep", "1000")
    assert vm.docker("exec", "reader", "cat", "/w/page").stdout == "x"
    (shared / "page").write_text("changed")
    wait_until(lambda: vm.docker("exec", "reader", "cat", "/w/page").stdout == "changed")
    vm.docker("rm", "-f", "watcher", "reader")
    vm.cove("vm", "stop")
    (shared / "page").write_text("later")
    assert vm.start().way == "saved session"
    assert vm.docker("run", "--rm", "-v", f"{shared}:/w", busybox, "cat", "/w/page").stdout == "later"
