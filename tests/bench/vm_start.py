"""What a start of the VM takes, step by step, for each way: saved session, template, cold.

    python -m tests.bench.vm_start [ROUNDS]

Each round measures, by each way, from `cove run` with everything stopped, the host agent too, to the container's first
output. Times are also given in K, from QEMU's exec to the first line of the initrd with one processor, measured
in the same round: the load of the machine then does not decide. The processor's time of QEMU until that output depends
on the load still less. Medians of the rounds; the worst one in brackets.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from desktop.client.host import HostState
from desktop.client.http import ConnectionFailed
from desktop.platform import platform_for
from desktop.vm.command import Hardware, probe_command
from desktop.vm.image import image_folder, load_image
from desktop.vm.qemu import find_qemu
from desktop.vm.start.saved import SavedState
from tests.support.processes import cpu_s
from tests.vm.conftest import Vm

WAYS = ("saved session", "template", "cold")
RUN = ("--context", "vm", "run", "--rm", "cove/hello")


class Cost(NamedTuple):
    """Seconds: on the clock, and of the processors."""

    wall: float
    cpu: float


class Start(NamedTuple):
    """One start: `output` until the container's first output, `running` until the VM ran, seconds since the command;
    `cpu` is QEMU's at the output."""

    output: float
    running: float
    cpu: float
    state: HostState


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    vm = Vm()
    yardsticks: list[Cost] = []
    starts: dict[str, list[Start]] = {way: [] for way in WAYS}
    load = os.getloadavg()[0]
    try:
        timed(vm)  # writes the template
        for _ in range(rounds):
            yardsticks.append(yardstick(vm))
            for way in WAYS:
                vm.cove("vm", "stop", *(["--shutdown"] if way != "saved session" else []))
                end_agent(vm)
                if way == "cold":
                    SavedState(vm.paths.template).drop()
                starts[way].append(timed(vm))
    finally:
        end_agent(vm)
        vm.close()
    print(f"load {load:.0f} to {os.getloadavg()[0]:.0f}, {rounds} rounds")
    report(yardsticks, starts)
    return 0


def yardstick(vm: Vm) -> Cost:
    """From QEMU's exec to the first line of the initrd."""
    image = load_image(image_folder(vm.environ), vm.paths.verified_file)
    qemu = find_qemu(platform_for(sys.platform), vm.environ, image.architecture)
    command = probe_command(qemu.system, Hardware(image.architecture, "tcg", 1024, 1), image)
    command[command.index("-append") + 1] = command[command.index("-append") + 1].replace("loglevel=7", "quiet")
    started = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = b""
        while b"cove-probe" not in said and (data := os.read(process.stdout.fileno(), 4096)):
            said += data
        return Cost(time.monotonic() - started, cpu_s(process.pid))


def end_agent(vm: Vm) -> None:
    """End the host agent, and with it a VM that runs."""
    try:
        pid = vm.agent_pid
        with vm.client() as client:
            client.quit()
    except (ConnectionFailed, OSError, ValueError):
        return  # none has run
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.02)


def timed(vm: Vm) -> Start:
    began, began_unix = time.monotonic(), time.time()
    command = [str(Path(sys.executable).with_name("cove")), *RUN]
    with subprocess.Popen(
        command, env=vm.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = os.read(process.stdout.fileno(), 1)
        output = time.monotonic() - began
        state = vm.state()
        assert state.qemu_pid is not None
        cpu = cpu_s(state.qemu_pid)
        process.stdout.read()
        errors = process.stderr.read().decode()
    assert said, errors
    return Start(output, state.since - began_unix, cpu, state)


def report(yardsticks: list[Cost], starts: dict[str, list[Start]]) -> None:
    k, k_cpu = (statistics.median(values) for values in zip(*yardsticks, strict=True))
    print(f"K = {k:.2f} s, of the processor {k_cpu:.2f} s")
    for way, found in starts.items():
        if not found:
            continue
        print(f"\n{way}{'' if all(one.state.way == way for one in found) else ' (some started in another way!)'}")
        line("command, agent", [one.running - steps_s(one.state) for one in found], k)
        for name in [step.name for step in found[0].state.steps]:
            line(name, [step.ms / 1000 for one in found for step in one.state.steps if step.name == name], k)
        line("container", [one.output - one.running for one in found], k)
        line("first output", [one.output for one in found], k)
        line("QEMU's processor", [one.cpu for one in found], k_cpu)


def steps_s(state: HostState) -> float:
    return sum(step.ms for step in state.steps) / 1000


def line(name: str, seconds: list[float], k: float) -> None:
    median = statistics.median(seconds)
    print(f"  {name:<16} {median:7.2f} s  {median / k:6.3f} K  (worst {max(seconds):.2f} s)")


if __name__ == "__main__":
    sys.exit(main())
