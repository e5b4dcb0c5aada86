"""What a start of the VM takes, step by step, for each way: saved session, template, cold.

    .venv/bin/python tests/bench/vm_start.py [ROUNDS]

Each round starts the VM by each way with everything stopped, and runs a container. Times are also given in K, the time
from QEMU's exec to the first line of the initrd with one processor, measured in the same round: the load of the machine
then does not decide. Medians of the rounds; the worst one in brackets.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from desktop.client.host import HostState
from desktop.platform import platform_for
from desktop.vm.command import Hardware, probe_command
from desktop.vm.image import image_folder, load_image
from desktop.vm.qemu import find_qemu
from desktop.vm.start.saved import SavedState
from tests.vm.conftest import Vm

WAYS = ("saved session", "template", "cold")


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    vm = Vm()
    yardsticks: list[float] = []
    starts: dict[str, list[tuple[float, float, HostState]]] = {way: [] for way in WAYS}
    try:
        vm.start_agent()
        vm.start()  # writes the template
        run(vm)
        for _ in range(rounds):
            yardsticks.append(yardstick(vm))
            vm.cove("vm", "stop")
            starts["saved session"].append(timed(vm))
            vm.cove("vm", "stop", "--shutdown")
            starts["template"].append(timed(vm))
            vm.cove("vm", "stop", "--shutdown")
            SavedState(vm.paths.template).drop()
            starts["cold"].append(timed(vm))
    finally:
        vm.close()
    report(yardsticks, starts)
    return 0


def yardstick(vm: Vm) -> float:
    """Seconds from QEMU's exec to the first line of the initrd."""
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
        return time.monotonic() - started


def timed(vm: Vm) -> tuple[float, float, HostState]:
    """Seconds until the VM runs, and until a container has ended after that; the state."""
    started = time.monotonic()
    state = vm.start()
    running = time.monotonic()
    run(vm)
    return running - started, time.monotonic() - running, state


def run(vm: Vm) -> None:
    vm.docker("run", "--rm", "cove/hello")


def report(yardsticks: list[float], starts: dict[str, list[tuple[float, float, HostState]]]) -> None:
    k = statistics.median(yardsticks)
    print(f"K = {k:.2f} s, {len(yardsticks)} rounds")
    for way, found in starts.items():
        names = [step.name for step in found[0][2].steps]
        print(f"\n{way}{'' if all(state.way == way for *_, state in found) else ' (some started in another way!)'}")
        for name in names:
            line(name, [step.ms / 1000 for *_, state in found for step in state.steps if step.name == name], k)
        line("until it runs", [running for running, *_ in found], k)
        line("a container", [container for _, container, _ in found], k)


def line(name: str, seconds: list[float], k: float) -> None:
    median = statistics.median(seconds)
    print(f"  {name:<14} {median:7.2f} s  {median / k:6.3f} K  (worst {max(seconds):.2f} s)")


if __name__ == "__main__":
    sys.exit(main())
