"""The real VM, booted once for all of these: engine, tunnel, lifecycle, and what happens when parts are killed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from desktop.client.host import HostState
from desktop.platform import platform_for
from desktop.vm.start.saved import SavedState
from tests.support.limits import HANG_S
from tests.support.listening import LISTEN, is_echoed
from tests.support.sockets import free_port
from tests.support.tools import docker_cli
from tests.support.waiting import wait_until
from tests.vm.conftest import Vm, is_running

pytestmark = pytest.mark.vm


def test_it_starts_in_named_steps_and_runs_a_container(vm: Vm) -> None:
    vm.cove("vm", "stop", "--shutdown")
    SavedState(vm.paths.template).drop()
    state = vm.start()
    assert state.state == "running"
    steps = [step.name for step in state.steps if step.done]
    assert steps == ["image", "accelerator", "disk", "qemu", "kernel", "load", "template", "system", "tunnel", "engine"]
    assert (state.way, state.dropped) == ("cold", ()), "a template was written on the way"
    assert state.accelerator_why, "the choice has its reason"
    hello = vm.docker("run", "--rm", "cove/hello").stdout
    assert hello.startswith("Hello from a container")
    assert "in the VM that runs me" in hello


def test_docker_says_that_the_engine_is_in_the_vm(vm: Vm) -> None:
    info = json.loads(vm.docker("info", "--format", "{{json .}}").stdout)
    assert info["CgroupVersion"] == "2"
    assert info["KernelVersion"].startswith("6.12.")
    assert info["Name"] == "cove"


def test_what_cgroup_v2_lacks_is_discarded_with_a_warning_and_limits_hold(vm: Vm) -> None:
    flags = ("-m", "64m", "--memory-swappiness", "10", "--oom-kill-disable", "--pids-limit", "20", "--cpus", "0.5")
    script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max"
    done = vm.docker("run", "--rm", *flags, "busybox", "sh", "-c", script)
    assert done.stdout.split() == [str(64 << 20), "20", "50000", "100000"]
    assert "swappiness discarded" in done.stderr
    assert "OomKillDisable discarded" in done.stderr


def test_the_limit_of_open_files_is_the_default_everywhere(vm: Vm, busybox: str) -> None:
    shown = vm.docker("run", "--rm", "--network", "none", busybox, "sh", "-c", "ulimit -Sn; ulimit -Hn")
    assert shown.stdout.split() == ["1048576", "1048576"]


def test_the_tunnel_passes_half_closes_and_much_data(vm: Vm, busybox: str) -> None:
    data = os.urandom(3 * 1024 * 1024)
    command: list[str | Path] = [
        docker_cli(),
        "-H",
        vm.host,
        "run",
        "--rm",
        "-i",
        "busybox",
        "sh",
        "-c",
        "cat; echo -n end",
    ]
    done = subprocess.run(command, input=data, capture_output=True, timeout=HANG_S, check=True)
    assert done.stdout == data + b"end", "the container saw the end of its input, and all came back"


def test_the_guests_end_of_the_tunnel_may_be_killed(vm: Vm) -> None:
    """The host's agent greets the one that init starts in its place; the engine notices nothing."""
    assert [step.detail for step in vm.state().steps if step.name == "tunnel"] == ["the multiplexer"]
    vm.cove("vm", "ssh", "kill -9 $(pidof tunnel)")
    assert vm.docker("run", "--rm", "busybox", "echo", "here").stdout == "here\n"


def test_the_guests_clock_is_the_hosts(vm: Vm) -> None:
    """The agent sets it over the control port after the start; repeat until it has."""
    deadline = time.monotonic() + HANG_S
    while True:
        before = time.time()
        theirs, after = vm.clock_s(), time.time()
        if before - 0.3 <= theirs <= after + 0.3:
            return
        assert time.monotonic() < deadline, f"the guest says {theirs}, between {before} and {after}"


def test_a_shell_in_the_vm_keeps_words_apart_and_tells_the_exit_status(vm: Vm) -> None:
    assert vm.cove("vm", "ssh", "sh", "-c", 'echo "$0|$1"', "a  b", "c").stdout == "a  b|c\n"
    assert vm.cove("vm", "ssh", "exit 7", check=False).returncode == 7


def test_a_killed_sshd_is_started_again_on_demand(vm: Vm) -> None:
    for _ in range(2):
        before = vm.cove("vm", "ssh", "cat /run/ssh/sshd.pid; kill -9 $(cat /run/ssh/sshd.pid)").stdout
        after = vm.cove("vm", "ssh", "cat /run/ssh/sshd.pid").stdout
        assert after.strip()
        assert after != before
    assert vm.cove("vm", "ssh", "cat /run/ssh/sshd.pid").stdout == after, "one that runs is left alone"


def test_status_tells_state_accelerator_and_size(vm: Vm) -> None:
    shown = vm.cove("vm", "status").stdout
    assert "running since" in shown
    assert "2 CPUs" in shown or "CPUs," in shown
    assert json.loads(vm.cove("vm", "status", "--format", "json").stdout)["state"] == "running"
    assert "engine.opened" in vm.cove("vm", "logs").stdout


def test_what_is_removed_in_the_vm_goes_back_to_the_hosts_disk(vm: Vm, busybox: str) -> None:
    def taken() -> int:
        return vm.paths.data_disk.stat().st_blocks * 512

    before = taken()
    script = "head -c 40000000 /dev/urandom >/big; sync"
    vm.docker("run", "--name", "writes", busybox, "sh", "-c", script)
    full = taken()
    assert full > before + 30_000_000
    vm.docker("rm", "writes")
    wait_until(lambda: taken() < full - 30_000_000)


def test_a_second_agent_for_the_home_is_refused(vm: Vm) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("cove"), "host"], env=vm.environ, capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 3
    assert "a host agent runs already" in done.stderr


def test_events_tell_the_present_state_at_once(vm: Vm) -> None:
    with vm.client() as client, client.events() as events:
        assert next(iter(events.states())).state == "running"


def test_the_engine_that_is_killed_comes_back_with_its_containers_running(vm: Vm, busybox: str) -> None:
    name = vm.docker("run", "-d", busybox, "sleep", "1000").stdout.strip()
    pid = vm.docker("inspect", "-f", "{{.State.Pid}}", name).stdout
    vm.cove("vm", "ssh", "kill -9 $(pidof -s cove-engine || ps | awk '/cove-engine/ && !/awk/ {print $1; exit}')")
    with vm.engine() as engine:
        deadline = time.monotonic() + HANG_S
        while True:
            try:
                assert engine.inspect(name)["State"]["Running"]
                break
            except Exception:  # noqa: BLE001  # any error of the connection while the engine restarts
                assert time.monotonic() < deadline
    assert vm.docker("inspect", "-f", "{{.State.Pid}}", name).stdout == pid
    vm.docker("rm", "-f", name)


def fetched(port: int, address: str = "127.0.0.1") -> bytes:
    """What the container's server sends; repeated while its `nc` is between two connections, or the way is broken."""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, port), HANG_S) as connection:
                if data := connection.recv(100):
                    return data
        except (ConnectionResetError, ConnectionRefusedError):
            time.sleep(0.1)  # no event announces a listener
    raise AssertionError(f"nothing is heard on port {port}")


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), HANG_S).close()
    except ConnectionRefusedError:
        return False
    return True


def test_published_ports_are_reachable_on_the_host(vm: Vm, busybox: str) -> None:
    """In detail in test_ports.py; here the whole way through the VM, also after the carrier broke."""
    port, talk = free_port(), ("sh", "-c", "while :; do echo hello | nc -l -p 80; done")
    vm.docker("run", "-d", "--name", "web", "-p", f"{port}:80", busybox, *talk)
    assert fetched(port) == b"hello\n"
    assert fetched(port, "::1") == b"hello\n"
    taken = vm.docker("run", "--rm", "-p", f"{port}:80", busybox, "true", check=False)
    assert (taken.returncode, "port is already allocated" in taken.stderr) == (125, True)
    with socket.create_server(("127.0.0.1", 0)) as other:
        foreign = other.getsockname()[1]
        taken = vm.docker("run", "--rm", "-p", f"{foreign}:80", busybox, "true", check=False)
        assert (taken.returncode, "address already in use" in taken.stderr) == (125, True)
    vm.cove("vm", "ssh", "kill -9 $(pidof tunnel)")
    assert fetched(port) == b"hello\n", "the carrier was connected again"
    vm.docker("rm", "-f", "web")
    deadline = time.monotonic() + HANG_S
    while accepts(port):  # the engine did not wait for a host that may have been away just then
        assert time.monotonic() < deadline
        time.sleep(0.1)  # no event announces it


def test_published_datagrams_go_both_ways(vm: Vm, busybox: str) -> None:
    server = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53))\n"
        "while True: s.sendto(*s.recvfrom(9000))"
    )
    python = ("chroot", "/host", "/usr/bin/python3.13", "-c", server)
    vm.docker("run", "-d", "--name", "udp", "-p", "127.0.0.1::53/udp", "-v", "/:/host:ro", busybox, *python)
    port = int(vm.docker("port", "udp").stdout.rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect(("127.0.0.1", port))
        deadline = time.monotonic() + HANG_S
        while True:  # lost until the server listens
            assert time.monotonic() < deadline
            with contextlib.suppress(TimeoutError):
                client.send(b"ping")
                assert client.recv(100) == b"ping"
                break
    vm.docker("rm", "-f", "udp")


def test_listeners_of_the_vms_own_network_appear_here(vm: Vm, busybox: str) -> None:
    """In detail in test_ports.py; here the whole way through the VM."""
    every, local, datagrams = free_port(), free_port(), 10054  # of the numbers that clients do not get
    works = f"(tcp, socket.AF_INET, '', {every}), (tcp, socket.AF_INET, '127.0.0.1', {local}), (udp, {datagrams}),"
    python = ("chroot", "/host", "/usr/bin/python3.13", "-c", LISTEN.format(works))
    vm.docker("run", "-d", "--name", "listens", "--network", "host", "-v", "/:/host:ro", busybox, *python)
    assert fetched(every) == fetched(every, "::1") == fetched(local) == b"hello\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect(("127.0.0.1", datagrams))
        wait_until(lambda: is_echoed(client))
    vm.docker("rm", "-f", "listens")
    wait_until(lambda: not accepts(every) and not accepts(local))


def test_a_killed_agent_leaves_the_vm_running_for_the_next_one(vm: Vm, busybox: str) -> None:
    before = vm.state().qemu_pid
    port, talk = free_port(), ("sh", "-c", "while :; do echo hello | nc -l -p 80; done")
    name = vm.docker("run", "-d", "-p", f"{port}:80", busybox, *talk).stdout.strip()
    assert vm.agent is not None
    vm.agent.kill()
    vm.agent.wait()
    vm.start_agent()
    with vm.client() as client, client.events() as events:
        seen = list(itertools.takewhile(lambda state: state.state == "adopting", events.states()))
    assert {step.name for state in seen for step in state.steps} <= {"adopt", "tunnel", "engine"}
    assert (vm.state().state, vm.state().qemu_pid) == ("running", before)
    assert fetched(port) == b"hello\n", "the engine has told the new agent of its ports"
    assert vm.docker("inspect", "-f", "{{.State.Running}}", name).stdout == "true\n"
    vm.docker("rm", "-f", name)


class Listener:
    """Hears the states of a VM in a thread, and remembers them."""

    def __init__(self, vm: Vm) -> None:
        self.seen: list[HostState] = []
        self._vm, self._ready = vm, threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._wanted = threading.Event()

    def __enter__(self) -> Listener:
        self._thread.start()
        assert self._ready.wait(HANG_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(HANG_S)

    def _listen(self) -> None:
        """Until the VM has failed and runs again."""
        with self._vm.client() as client, client.events() as events:
            for state in events.states():
                self.seen.append(state)
                self._ready.set()
                if state.state == "running" and any(one.state == "failed" for one in self.seen):
                    return


def test_a_killed_qemu_is_started_again_with_what_is_on_its_disk(vm: Vm, busybox: str) -> None:
    name = vm.docker("create", "--name", "survivor", busybox, "true").stdout.strip()
    vm.docker("run", "-d", "--name", "always", "--restart", "always", busybox, "sleep", "1000")
    vm.docker("run", "-d", "--name", "never", busybox, "sleep", "1000")
    vm.cove("vm", "ssh", "sync")
    with Listener(vm) as listener:
        qemu = listener.seen[-1].qemu_pid
        assert qemu is not None
        os.kill(qemu, signal.SIGKILL)
        shown = vm.docker("inspect", "-f", "{{.Id}}", "survivor")  # it waits for the VM
        assert shown.stdout.strip() == name
    failed = next(state for state in listener.seen if state.state == "failed")
    assert failed.error is not None
    # An agent that has taken QEMU over is not its parent, and learns no signal.
    assert failed.error.message.partition("QEMU process ")[2] in ("was killed (SIGKILL)", "ended unexpectedly")
    assert failed.restart_at is not None
    assert listener.seen[-1].qemu_pid != qemu
    status = vm.cove("vm", "status").stdout
    assert f"by itself: {failed.error.message}" in status, "it is told after the restart too"
    running = "{{.State.Running}} {{.State.ExitCode}}"
    wait_until(lambda: vm.docker("inspect", "-f", running, "always").stdout == "true 0\n")
    assert vm.docker("inspect", "-f", running, "never").stdout == "false 255\n"
    vm.docker("rm", "-f", "survivor", "always", "never")


def test_a_panic_of_the_guest_is_told_as_one_and_the_vm_comes_back(vm: Vm) -> None:
    with Listener(vm) as listener:
        # With the disk written first: the containers that the last test removed would come back and run.
        vm.cove("vm", "ssh", "sync; echo c >/proc/sysrq-trigger", check=False)
        assert vm.docker("ps", "-q").stdout == ""  # it waits for the VM
    failed = next(state for state in listener.seen if state.state == "failed")
    assert failed.error is not None
    assert failed.error.message == "the VM's kernel panicked: sysrq triggered crash"
    assert "Kernel panic" in vm.cove("vm", "logs", "--boot", "1").stdout
    assert "Kernel panic" not in vm.cove("vm", "logs").stdout
    assert "no log is kept of boot 9" in vm.cove("vm", "logs", "--boot", "9", check=False).stderr


def test_what_does_not_answer_is_told_so_and_goes_on(vm: Vm) -> None:
    def status() -> tuple[int, str, str]:
        done = vm.cove("vm", "status", check=False)
        return done.returncode, done.stdout.splitlines()[0].split(": ", 1)[1].strip().split(" since")[0], done.stdout

    qemu = vm.state().qemu_pid
    assert qemu is not None
    assert vm.agent is not None
    os.kill(qemu, signal.SIGSTOP)
    try:
        assert status()[:2] == (4, "not answering")
        assert f"neither its guest nor QEMU (process {qemu}) replies" in status()[2]
        with vm.client() as client, client.events() as events:
            assert next(state for state in events.states() if state.silence), "the window hears of it too"
    finally:
        os.kill(qemu, signal.SIGCONT)
    with vm.client() as client, client.events() as events:
        assert next(state for state in events.states() if not state.silence).state == "running"
    wait_until(lambda: status()[:2] == (0, "running"))
    assert vm.state().qemu_pid == qemu

    os.kill(vm.agent.pid, signal.SIGSTOP)
    try:
        assert status()[:2] == (4, "not answering")
        assert f"the host agent (process {vm.agent.pid}) does not reply" in status()[2]
        started = vm.cove("vm", "start", check=False)
        assert f"kill -9 {vm.agent.pid}" in started.stderr
    finally:
        os.kill(vm.agent.pid, signal.SIGCONT)
    assert vm.docker("ps", "-q").stdout == ""

    vm.agent.kill()
    vm.agent.wait()
    code, state, shown = status()
    assert (code, state) == (4, "unknown")
    assert f"no host agent runs, but its QEMU (process {qemu}) does" in shown
    vm.start_agent()
    assert vm.start().qemu_pid == qemu


def test_its_sockets_and_keys_are_the_owners_alone(vm: Vm) -> None:
    for path in (vm.paths.run, vm.paths.vm):
        assert path.stat().st_mode & 0o077 == 0, path
    for file in (vm.paths.client_key, vm.paths.host_key, vm.paths.host_socket, vm.paths.engine_socket):
        assert file.stat().st_mode & 0o077 == 0, file
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in listening.splitlines() if f"pid={vm.state().qemu_pid}," in line]
    assert ours, "the tunnel's port is forwarded"
    assert all(line.split()[3].startswith("127.0.0.1:") for line in ours)


def test_nobody_gets_in_without_the_key(vm: Vm) -> None:
    state = json.loads(vm.cove("vm", "status", "--format", "json").stdout)
    with socket.create_connection(("127.0.0.1", state["ssh_port"]), 5) as connection:
        assert connection.recv(4) == b"SSH-"
    options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentityFile=none")
    command = ["ssh", "-F", "none", *(f"-o{option}" for option in options), "-p", str(state["ssh_port"])]
    done = subprocess.run([*command, "root@127.0.0.1", "true"], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def check_its_memory(vm: Vm) -> None:
    """Whether the template's memory is mapped, in a copy that has no name any more."""
    state = vm.state()
    is_parted = state.accelerator == "tcg" and platform_for("linux").maps_files(vm.paths.vm)
    assert (vm.paths.template / "memory").exists() == is_parted
    maps = Path(f"/proc/{state.qemu_pid}/maps").read_text()
    assert (f"{vm.paths.vm / 'memory'} (deleted)" in maps) == is_parted
    assert not (vm.paths.vm / "memory").exists()


def test_an_idle_vm_is_saved_and_goes_on_and_what_does_not_fit_is_dropped_with_its_reason(vm: Vm, busybox: str) -> None:
    """The three ways one after the other: saved session, template, cold; each time the data disk is whole."""

    def told() -> tuple[str, tuple[str, ...], str, str]:
        """The way of a start, what was dropped, what stands in a file in the guest's memory, and random bytes."""
        state = vm.start()
        shown = vm.cove("vm", "ssh", "cat /run/marker || echo none; od -An -N16 -tx1 /dev/urandom").stdout.splitlines()
        return state.way, state.dropped, shown[0], shown[-1]

    name = vm.docker("create", "--name", "kept", busybox, "true").stdout.strip()
    vm.cove("vm", "ssh", "echo this session >/run/marker")
    qemu = vm.state().qemu_pid
    assert qemu is not None
    vm.cove("vm", "stop")
    assert not is_running(qemu)
    seen = [told()]
    assert seen[0][:3] == ("saved session", (), "this session")
    before = time.time()
    theirs = float(vm.cove("vm", "ssh", "date +%s").stdout)
    assert before - 2 < theirs < time.time() + 2, "the time that it was saved is made up for"
    assert vm.docker("start", "-a", "kept").stdout == ""

    vm.cove("vm", "stop")
    os.utime(vm.paths.data_disk)
    seen.append(told())
    way, dropped, marker, _ = seen[1]
    assert (way, marker) == ("template", "none")
    assert dropped == (f"the saved session was dropped: {vm.paths.data_disk} was changed since",)
    assert "the saved session was dropped" in vm.cove("vm", "status").stdout
    assert vm.docker("inspect", "-f", "{{.Id}}", "kept").stdout.strip() == name
    check_its_memory(vm)
    vm.cove("vm", "stop", "--shutdown")
    seen.append(told())
    assert seen[2][:2] == ("template", ()), "what the guest has freed is still in the template"
    assert len({drawn for *_, drawn in seen}) == 3, "two VMs of one template draw different random bytes"

    vm.cove("vm", "stop", "--shutdown")
    damage(vm.paths.template / "state")
    seen.append(told())
    failed = "the template was dropped: QEMU can't restore it: load of migration failed: Invalid argument"
    assert seen[3][:2] == ("cold", (failed,))
    assert vm.docker("inspect", "-f", "{{.Id}}", "kept").stdout.strip() == name
    vm.docker("rm", "kept")


def until_saved(vm: Vm) -> list[str]:
    """Wait until the resource saver has saved the VM; the states until then."""
    with vm.client() as client, client.events() as events:
        return [state.state for state in itertools.takewhile(lambda state: state.state != "saved", events.states())]


def test_an_idle_vm_is_saved_by_itself_and_what_uses_it_wakes_it(vm: Vm, busybox: str) -> None:
    qemu = vm.state().qemu_pid
    assert qemu is not None
    listen: list[str | Path] = [docker_cli(), "-H", vm.host, "events", "--format", "{{.Action}}"]
    shell: list[str | Path] = [Path(sys.executable).with_name("cove"), "vm", "ssh", "echo in; cat"]
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(subprocess.Popen(listen, stdout=subprocess.PIPE, text=True))
        stack.callback(listener.terminate)
        engine = stack.enter_context(vm.engine())
        engine.containers()
        vm.paths.config_file.write_text(json.dumps({"vm": {"save_after_minutes": 0.01}}))
        stack.callback(vm.paths.config_file.unlink)
        assert set(until_saved(vm)) == {"running", "saving"}
        assert not is_running(qemu)
        shown = vm.cove("vm", "status", check=False)
        assert (shown.returncode, "saved (resource saver) since" in shown.stdout) == (3, True)
        assert "api-version" in engine.ping()
        assert vm.state().state == "saved", "a ping is answered without the VM"

        with subprocess.Popen(
            shell, env=vm.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as inside:
            stack.callback(inside.kill)
            assert inside.stdout is not None
            assert inside.stdin is not None
            assert inside.stdout.readline() == "in\n", "a shell wakes it"
            assert vm.state().way == "saved session"
            time.sleep(3)  # five times as long as it has to be idle
            assert vm.state().state == "running", "it is not saved while a shell is open"
            inside.stdin.close()
            assert inside.wait(HANG_S) == 0
        until_saved(vm)
        assert engine.containers() == [], "the connection from before the sleep goes on"
        assert vm.docker("run", "--rm", busybox, "echo", "awake").stdout == "awake\n"
        assert listener.stdout is not None
        assert [listener.stdout.readline() for _ in range(2)] == ["create\n", "attach\n"]


def damage(state: Path) -> None:
    """Overwrite the head of a saved state. Size and time stay, so that only QEMU notices it."""
    before = state.stat()
    with state.open("r+b") as file:
        file.write(b"x" * 4096)
    os.utime(state, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_diagnose_asks_a_running_vm_both_ways(vm: Vm) -> None:
    done = vm.cove("diagnose")
    found = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")}
    assert [found[name] for name in ("agent", "VM", "tunnel", "engine", "clock")] == ["ok"] * 5


def test_stop_ends_containers_and_reset_deletes_what_they_left(vm: Vm, busybox: str) -> None:
    script = "trap 'exit 5' TERM; echo ready; sleep 1000 & wait"
    vm.docker("run", "-d", "--name", "waits", busybox, "sh", "-c", script)
    # The kernel drops SIGTERM for process 1 until its trap is set.
    with vm.engine() as engine, engine.logs("waits", follow=True) as lines:
        assert next(iter(lines)).data == b"ready\n"
    qemu = vm.state().qemu_pid
    assert qemu is not None
    vm.cove("vm", "stop")
    assert vm.state().state == "stopped"
    assert not is_running(qemu)
    assert vm.cove("vm", "status", check=False).returncode == 3
    vm.start()
    assert vm.docker("inspect", "-f", "{{.State.ExitCode}}", "waits").stdout == "5\n", "it had its SIGTERM"
    asked = vm.cove("vm", "reset", check=False)
    assert asked.returncode == 1
    assert "--yes" in asked.stderr
    vm.cove("vm", "stop", "--shutdown")
    away = vm.paths.data_disk.with_suffix(".away")
    vm.paths.data_disk.rename(away)
    refused = vm.cove("vm", "start", check=False)
    assert f"the VM's disk is missing: {vm.paths.data_disk}" in refused.stderr
    assert not vm.paths.data_disk.exists()
    away.rename(vm.paths.data_disk)
    vm.cove("vm", "reset", "--yes")
    assert not vm.paths.data_disk.exists()
    assert vm.state().state == "stopped"


def test_containers_reach_what_listens_on_the_hosts_loopback(vm: Vm, busybox: str) -> None:
    talk = "printf hello | nc -w 60 $0 $1"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(HANG_S)
        port = str(server.getsockname()[1])
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            for name, *more in (("host.docker.internal",), ("x", "--add-host", "x:host-gateway")):
                run = ("run", "--rm", *more, busybox, "sh", "-c", talk, name, port)
                running = threads.submit(vm.docker, *run)
                connection, _ = server.accept()
                with connection:
                    assert connection.recv(5) == b"hello"
                    connection.sendall(b"from the host")
                assert running.result().stdout == "from the host"
