"""The faults: each strikes a VM that works, waits until its cause is told, and brings the VM back as that tells."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from tests.bench.faults.home import Home, Missed
from tests.bench.faults.work import IMAGE
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli

_RIGHT_S = 1.0  # the guest's clock beside this machine's
_CLOCK_LIMIT_S = 90.0
_LONGEST_CARRIER_S = 20.0  # without the multiplexer SSH takes over after 12 s
_HOUR_S = 3600
_FULL = r"this machine's disk is full, so the VM is paused"
_MB = 1 << 20
_LEFT = _MB  # of the two: from here on a write of the VM may fail


class Outcome(NamedTuple):
    """`told_s`: from the fault until its cause was told; None: there is nothing to tell. `back_s`: until the VM worked
    again, without the time for which something was kept stopped."""

    told_s: float | None
    back_s: float
    detail: str = ""


class Scene(NamedTuple):
    vm: Home
    rng: random.Random
    longest_stop_s: float

    def pause_s(self, most: float = 1e9) -> float:
        return self.rng.uniform(3.0, max(3.0, min(most, self.longest_stop_s)))


class Kind(NamedTuple):
    strike: Callable[[Scene], Outcome]
    ends: bool = False  # it ends all containers
    cuts: bool = False  # it is to the guest as a loss of power
    idle: bool = False  # no container may run
    has_job: bool = True  # a pull, load or build may be under way
    job_survives: bool = False


def kill_qemu(vm: Home, qemu: int) -> Outcome:
    """Kill the process `qemu` of a VM that runs. Raises Missed."""
    struck = time.monotonic()
    os.kill(qemu, signal.SIGKILL)
    told_s = vm.until_told(r"QEMU process.*(killed|ended)", struck)
    return Outcome(told_s, vm.until_back(struck))


def _kill_qemu(scene: Scene) -> Outcome:
    return kill_qemu(scene.vm, scene.vm.qemu_pid)


def _kill_agent(scene: Scene) -> Outcome:
    vm = scene.vm
    qemu, struck = vm.qemu_pid, time.monotonic()
    os.kill(vm.agent_pid, signal.SIGKILL)
    told_s = vm.until_told(rf"no host agent runs, but its QEMU \(process {qemu}\) does.*cove vm start", struck)
    vm.cove("vm", "start")
    back_s = vm.until_back(struck)
    return Outcome(told_s, back_s, "" if vm.qemu_pid == qemu else "BUT by another QEMU")


def _kill_both(scene: Scene) -> Outcome:
    vm = scene.vm
    qemu, agent, struck = vm.qemu_pid, vm.agent_pid, time.monotonic()
    os.kill(agent, signal.SIGKILL)
    os.kill(qemu, signal.SIGKILL)
    told_s = vm.until_told(r'"stopped"', struck)
    vm.cove("vm", "start")
    return Outcome(told_s, vm.until_back(struck))


def _panic(scene: Scene) -> Outcome:
    vm = scene.vm
    with vm.in_guest("echo c >/proc/sysrq-trigger") as shell:
        try:
            struck = _since(lambda: "sysrq triggered crash" in vm.paths.console_log.read_text(errors="replace"))
            told_s = vm.until_told("the VM's kernel panicked: sysrq triggered crash", struck)
        finally:
            shell.kill()
    return Outcome(told_s, vm.until_back(struck))


def _since(is_there: Callable[[], bool]) -> float:
    """Wait until something is there that was brought about; when it came (monotonic). Raises Missed."""
    began = time.monotonic()
    while time.monotonic() - began < HANG_S:
        if is_there():
            return time.monotonic()
        time.sleep(0.02)
    raise Missed("the fault did not strike")


def _stop_qemu(scene: Scene) -> Outcome:
    vm, stopped_s = scene.vm, scene.pause_s()
    qemu, struck = vm.qemu_pid, time.monotonic()
    os.kill(qemu, signal.SIGSTOP)
    try:
        told_s = vm.until_told(rf"neither its guest nor QEMU \(process {qemu}\) replies", struck)
        time.sleep(max(0.0, stopped_s - (time.monotonic() - struck)))
    finally:
        os.kill(qemu, signal.SIGCONT)
    return Outcome(told_s, vm.until_back(time.monotonic()), f"{stopped_s:.0f} s")


def _stop_agent(scene: Scene) -> Outcome:
    """It goes on by itself, or the advice is followed."""
    vm, stopped_s = scene.vm, scene.pause_s()
    agent, qemu, struck = vm.agent_pid, vm.qemu_pid, time.monotonic()
    os.kill(agent, signal.SIGSTOP)
    try:
        told_s = vm.until_told(rf"the host agent \(process {agent}\) does not reply.*kill -9 {agent}", struck)
    except Missed:
        os.kill(agent, signal.SIGCONT)
        raise
    if scene.rng.random() < 0.3:
        os.kill(agent, signal.SIGKILL)
        since, detail = time.monotonic(), "killed as advised"
        vm.cove("vm", "start")
    else:
        time.sleep(max(0.0, stopped_s - (time.monotonic() - struck)))
        os.kill(agent, signal.SIGCONT)
        since, detail = time.monotonic(), f"{stopped_s:.0f} s"
    back_s = vm.until_back(since)
    return Outcome(told_s, back_s, detail if vm.qemu_pid == qemu else f"{detail} BUT by another QEMU")


def _kill_sshd(scene: Scene) -> Outcome:
    """Nothing but `cove vm ssh` needs it, and that starts it again."""
    vm = scene.vm
    before = vm.cove("vm", "ssh", "cat /run/ssh/sshd.pid; kill -9 $(cat /run/ssh/sshd.pid)").stdout
    struck = time.monotonic()
    after = vm.cove("vm", "ssh", "cat /run/ssh/sshd.pid").stdout
    if before == after:
        raise Missed("sshd was not killed")
    return Outcome(None, vm.until_back(struck))


def _kill_carrier(scene: Scene) -> Outcome:
    vm = scene.vm
    vm.cove("vm", "ssh", "kill -9 $(pidof tunnel)")
    return Outcome(None, vm.until_back(time.monotonic()))


def _stop_carrier(scene: Scene) -> Outcome:
    """The guest's end of the multiplexer is silent; SSH takes its place."""
    vm, stopped_s = scene.vm, scene.pause_s(_LONGEST_CARRIER_S)
    shell = f"kill -STOP $(pidof tunnel); sleep {stopped_s:.0f}; kill -CONT $(pidof tunnel)"
    with vm.in_guest(shell) as inside:
        struck = time.monotonic()
        back_s = vm.until_back(struck + 1)
        inside.wait(HANG_S)
    return Outcome(None, max(0.0, back_s), f"{stopped_s:.0f} s")


def _kill_engine(scene: Scene) -> Outcome:
    vm = scene.vm
    name = scene.rng.choice(["cove-engine", "cove-supervisor"])
    vm.cove("vm", "ssh", f"kill -9 $(ps | awk '/{name}/ && !/awk/ {{print $1; exit}}')")
    return Outcome(None, vm.until_back(time.monotonic()), name)


def _step_clock(scene: Scene) -> Outcome:
    """This machine's clock, as the agent sees it, is stepped by an hour, and back; or the guest's own clock is."""
    vm, step_s = scene.vm, scene.rng.choice([-_HOUR_S, _HOUR_S])
    times, in_guest = [], scene.rng.random() < 0.5
    with _clock(vm) as seconds:
        try:
            if in_guest:
                vm.cove("vm", "ssh", f"date -s @$(($(date +%s) + {step_s}))")
                _until_clock(seconds, step_s, time.monotonic())  # what it told before
                times.append(_until_clock(seconds, 0, time.monotonic()))
            else:
                for shift in (step_s, 0):
                    vm.shift_clock(shift)
                    times.append(_until_clock(seconds, shift, time.monotonic()))
        finally:
            vm.shift_clock(0)
    back_s = vm.until_back(time.monotonic())
    right = ", and back after ".join(f"{took:.1f} s" for took in times)
    return Outcome(None, back_s, f"{'guest' if in_guest else 'host'} {step_s:+d} s: right after {right}")


@contextlib.contextmanager
def _clock(vm: Home) -> Iterator[IO[str]]:
    """The guest's clock, ten times a second: a line with Unix seconds each."""
    with vm.in_guest("while :; do date +%s; usleep 100000; done", stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        try:
            shell.stdout.readline()
            yield shell.stdout
        finally:
            shell.kill()


def _until_clock(seconds: IO[str], shift: int, since: float) -> float:
    """Wait until the guest's clock is right."""
    off_s = 0.0
    for line in seconds:
        off_s = abs(time.time() + shift - int(line) - 0.5)
        if off_s < _RIGHT_S + 0.5:
            return time.monotonic() - since
        if time.monotonic() - since > _CLOCK_LIMIT_S:
            break
    raise Missed(f"the guest's clock is {off_s:.1f} s off")


def _damage_template(scene: Scene) -> Outcome:
    vm = scene.vm
    _damage(vm.paths.template / "state", scene.rng)
    told_s, back_s, _ = kill_qemu(vm, vm.qemu_pid)
    vm.until_told("the template was dropped: ", time.monotonic())
    return Outcome(told_s, back_s, vm.state().way)


def _damage(state: Path, rng: random.Random) -> None:
    """Overwrite a piece of a saved state; size and time stay, so that only QEMU can notice it."""
    before = state.stat()
    with state.open("r+b") as file:
        file.seek(rng.choice([0, 0, rng.randrange(4096)]))
        file.write(rng.randbytes(8192))
    os.utime(state, ns=(before.st_atime_ns, before.st_mtime_ns))


def _fill_disk(scene: Scene) -> Outcome:
    vm, fill = scene.vm, scene.vm.mount / "fill"
    write = "cd /v && head -c 40000000 /dev/urandom >big && sha256sum big >big.sum && sync && sha256sum -c big.sum"
    words = ["run", "--rm", "--network", "none", "-v", "big:/v", IMAGE, "sh", "-c", write]
    free = os.statvfs(vm.mount)
    with fill.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - 2 * _MB)
    try:
        with subprocess.Popen(
            [docker_cli(), "-H", vm.host, *words], env=vm.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as writer:
            try:
                struck = _since(lambda: os.statvfs(vm.mount).f_bavail * free.f_frsize < _LEFT)
                told_s = vm.until_told(_FULL, struck)
            finally:  # the writer goes on only with space
                fill.unlink()
            freed = time.monotonic()
            said, _ = writer.communicate(timeout=HANG_S)
    finally:
        fill.unlink(missing_ok=True)
    if writer.returncode or b"big: OK" not in said:
        raise Missed(f"what was written while the disk was full: {said.decode()}")
    back_s = vm.until_back(freed)
    if vm.status().get("error"):
        raise Missed("the full disk is told although it is not full any more")
    vm.docker("volume", "rm", "big")
    return Outcome(told_s, back_s)


def _shut_down(scene: Scene) -> Outcome:
    """`cove vm stop` while containers run."""
    vm = scene.vm
    vm.cove("vm", "stop")
    told_s = vm.until_told(r'^\["stopped"', time.monotonic())
    began = time.monotonic()
    vm.cove("vm", "start")
    return Outcome(told_s, vm.until_back(began), vm.state().way)


def _save(scene: Scene) -> Outcome:
    """`cove vm stop` of an idle VM; the saved session may be damaged."""
    vm = scene.vm
    vm.cove("vm", "stop")
    told_s = vm.until_told(r'^\["stopped"', time.monotonic())
    is_damaged = scene.rng.random() < 0.4
    if is_damaged:
        _damage(vm.paths.session / "state", scene.rng)
    began = time.monotonic()
    said = vm.cove("vm", "start")
    back_s, way = vm.until_back(began), vm.state().way
    if is_damaged and "the saved session was dropped" not in said.stderr:
        raise Missed(f"a damaged session: {way}: {said.stdout}{said.stderr}")
    if not is_damaged and way != "saved session":
        raise Missed(f"not resumed: {way}: {said.stdout}{said.stderr}")
    return Outcome(told_s, back_s, f"{way}{', damaged session' if is_damaged else ''}")


KINDS: Mapping[str, Kind] = {
    "clean stop": Kind(_shut_down, ends=True),
    "save": Kind(_save, idle=True, has_job=False),
    "QEMU killed": Kind(_kill_qemu, ends=True, cuts=True),
    "agent killed": Kind(_kill_agent),
    "QEMU and agent killed": Kind(_kill_both, ends=True, cuts=True),
    "QEMU stopped": Kind(_stop_qemu, job_survives=True),
    "agent stopped": Kind(_stop_agent),
    "sshd killed": Kind(_kill_sshd, job_survives=True),
    "carrier killed": Kind(_kill_carrier),
    "carrier stopped": Kind(_stop_carrier),
    "engine killed": Kind(_kill_engine),
    "guest panic": Kind(_panic, ends=True, cuts=True),
    "clock stepped": Kind(_step_clock, job_survives=True),
    "template damaged": Kind(_damage_template, ends=True, cuts=True),
    "disk full": Kind(_fill_disk, job_survives=True),
}


def names(pattern: str) -> list[str]:
    """The kinds that match a regular expression."""
    with contextlib.suppress(re.error):
        return [name for name in KINDS if re.search(pattern, name)]
    return []
