"""How soon a change in a shared folder of this machine is an event in the guest.

    sudo .venv/bin/python -m tests.bench.folder_events [--changes 200] [--vm]

Without --vm, client and server are both on this machine. With it, a program in a container of a VM prints the names of
its events, so the way of its output through the engine and the tunnel is counted too; it is shown beside as what a line
takes that the program gets and prints again, both ways. Printed are milliseconds: median, 99th of 100, and worst.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from desktop.folders.inotify import Inotify
from tests.support.folders import SharedFolder
from tests.support.tools import busybox_tar, docker_cli
from tests.vm.conftest import Vm

IMAGE = "busybox:latest"
LONGEST_PAUSE_S = 0.2
# Prints the names of files that are created in the folder that is open as descriptor 5, and the lines that it gets.
WATCHER = """
import ctypes, os, select, struct
fd = ctypes.CDLL(None).inotify_init1(0)
assert ctypes.CDLL(None).inotify_add_watch(fd, b"/proc/self/fd/5", 0x100) > 0
os.write(1, b"on\\n")
while True:
    if 0 in select.select([0, fd], [], [])[0]:
        line = os.read(0, 4096)
        if not line:
            break
        os.write(1, line)
        continue
    data, at = os.read(fd, 65536), 0
    while at < len(data):
        length = struct.unpack_from("I", data, at + 12)[0]
        os.write(1, data[at + 16 : at + 16 + length].rstrip(b"\\0") + b"\\n")
        at += 16 + length
"""


def delays_ms(changes: int, change: Callable[[str], object], next_name: Callable[[], str]) -> list[float]:
    """Make `changes`, one after another, and wait for what tells of each."""
    pauses, found = random.Random(1), []
    for number in range(changes):
        time.sleep(pauses.uniform(0, LONGEST_PAUSE_S))
        began = time.perf_counter()
        change(f"f{number}")
        while next_name() != f"f{number}":
            pass
        found.append((time.perf_counter() - began) * 1000)
    return found


def show(what: str, found: list[float]) -> None:
    last = statistics.quantiles(found, n=100)[98]
    load = os.getloadavg()[0]
    print(f"| {what} | {statistics.median(found):.1f} | {last:.1f} | {max(found):.1f} | {load:.0f} |", flush=True)


def here(changes: int) -> None:
    folder = SharedFolder()
    inotify = Inotify()
    try:
        watched = os.open(folder.mounted, os.O_RDONLY)
        inotify.add(watched)
        os.close(watched)

        def names() -> Iterator[str]:
            while True:
                for _, name in inotify.wait().names:
                    yield name.decode()

        show("event", delays_ms(changes, lambda name: (folder.host / name).touch(), names().__next__))
    finally:
        inotify.close()
        folder.close()


@contextlib.contextmanager
def container(vm: Vm, shared: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The watcher in a container. It is the VM's own Python, as the image has none."""
    shell = 'exec chroot /host /usr/bin/python3.13 -c "$0" 5</w'
    words = ["run", "-i", "--rm", "-v", f"{shared}:/w", "-v", "/:/host", IMAGE, "sh", "-c", shell, WATCHER]
    with subprocess.Popen(
        [docker_cli(), "-H", vm.host, *words], env=vm.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as made:
        try:
            yield made
        finally:
            assert made.stdin is not None
            made.stdin.close()


def in_vm(changes: int) -> None:
    vm = Vm()
    with tempfile.TemporaryDirectory() as name:
        shared = Path(name)
        try:
            vm.paths.config_file.write_text(json.dumps({"folders": {"shared": [name]}}))
            vm.start_agent()
            vm.start()
            vm.docker("import", "-c", "ENV PATH=/bin", busybox_tar(shared / "busybox.tar"), IMAGE)
            with container(vm, shared) as program:
                assert program.stdin is not None
                assert program.stdout is not None
                next_name = _lines(program.stdout).__next__
                while next_name() != "on":
                    pass
                writer = program.stdin
                show("a line and back", delays_ms(changes, lambda line: writer.write(f"{line}\n".encode()), next_name))
                show("event and output", delays_ms(changes, lambda one: (shared / one).touch(), next_name))
        finally:
            vm.close()


def _lines(stream: IO[bytes]) -> Iterator[str]:
    data = b""
    while part := stream.read(65536):
        *whole, data = (data + part).split(b"\n")
        yield from (line.decode() for line in whole)
    raise EOFError("the container has ended")


def main() -> None:
    parser = argparse.ArgumentParser(description="How soon a change of this machine is an event in the guest")
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--vm", action="store_true")
    options = parser.parse_args()
    print("| ms | median | 99 of 100 | worst | load |\n|---|---|---|---|---|")
    (in_vm if options.vm else here)(options.changes)


if __name__ == "__main__":
    main()
