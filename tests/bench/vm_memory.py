"""What the VM takes of this machine: memory and processor while idle, and what it gives back after work.

    python -m tests.bench.vm_memory [--idle-minutes 5]

Boots a VM of its own twice, cold and from the template, and prints QEMU's resident memory, its processor time and the
data disk's size on this machine at each step. The work: an image of 200 MB is loaded, 1 GB is written and removed, a
container uses 600 MB, and all of it is removed. Then the VM is left alone; the resource saver, which would save it, is
off.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tarfile
import tempfile
import time
from pathlib import Path

from tests.support.processes import cpu_s
from tests.support.tools import busybox_tar
from tests.vm.conftest import Vm

IMAGE = "busybox:latest"
SETTLE_S = 30.0
CPU_S = 60.0
LOADED_MB, WRITTEN_MB, USED_MB = 200, 1024, 600
BACK_LIMIT_S = 60.0
COLUMNS = ("Rss", "Pss", "Anonymous")


class Qemu:
    """The VM's process and disk, as this machine sees them."""

    def __init__(self, vm: Vm) -> None:
        pid = vm.state().qemu_pid
        assert pid is not None
        self._pid, self._disk = pid, vm.paths.data_disk

    def memory_mb(self) -> dict[str, float]:
        """All that is resident (Rss), its share of what other processes have too (Pss), and what no file holds
        (Anonymous): proc(5), smaps_rollup."""
        lines = Path(f"/proc/{self._pid}/smaps_rollup").read_text().splitlines()[1:]
        found = {key: int(rest.split()[0]) / 1024 for key, _, rest in (line.partition(":") for line in lines)}
        return {key: found[key] for key in COLUMNS}

    def cells(self) -> str:
        return " | ".join(f"{mb:.0f}" for mb in (*self.memory_mb().values(), self.disk_mb()))

    def cpu_s(self) -> float:
        return cpu_s(self._pid)

    def disk_mb(self) -> float:
        return self._disk.stat().st_blocks * 512 / 1e6

    def idle_percent(self) -> float:
        """Of one processor, over CPU_S."""
        before = self.cpu_s()
        time.sleep(CPU_S)
        return (self.cpu_s() - before) / CPU_S * 100


def show(what: str, qemu: Qemu) -> None:
    print(f"| {what} | {qemu.cells()} |", flush=True)


def large_image(path: Path) -> None:
    """An image's root file system with one file that no compression makes smaller."""
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("large")
        member.size = LOADED_MB << 20
        tar.addfile(member, io.BytesIO(random.Random(1).randbytes(member.size)))


def work(vm: Vm, qemu: Qemu, folder: Path) -> None:
    large_image(folder / "large.tar")
    vm.docker("import", folder / "large.tar", "large:latest")
    show(f"an image of {LOADED_MB} MB loaded", qemu)
    write = f"dd if=/dev/zero of=/v/large bs=1M count={WRITTEN_MB} conv=fsync 2>/dev/null"
    random_write = write.replace("/dev/zero", "/dev/urandom")
    vm.docker("run", "--rm", "-v", "bench:/v", IMAGE, "sh", "-c", random_write)
    show(f"{WRITTEN_MB} MB written", qemu)
    full_mb = qemu.disk_mb()
    vm.docker("run", "--rm", "-v", "bench:/v", IMAGE, "rm", "/v/large")
    removed = time.monotonic()
    while qemu.disk_mb() > full_mb - WRITTEN_MB * 0.95:
        if time.monotonic() - removed > BACK_LIMIT_S:
            print("the disk has not shrunk")
            break
        time.sleep(0.05)
    show(f"and removed: back after {time.monotonic() - removed:.1f} s", qemu)
    use = f"dd if=/dev/zero of=/dev/null bs={USED_MB}M count=2 2>/dev/null"
    vm.docker("run", "--rm", IMAGE, "sh", "-c", use)
    show(f"a container has used {USED_MB} MB", qemu)
    vm.docker("rmi", "large:latest")
    vm.docker("volume", "rm", "bench")


def main() -> None:
    parser = argparse.ArgumentParser(description="What the VM takes of this machine")
    parser.add_argument("--idle-minutes", type=int, default=5)
    options = parser.parse_args()
    vm = Vm()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            vm.paths.config_file.write_text(json.dumps({"vm": {"save_after_minutes": 0}, "folders": {"shared": []}}))
            vm.start_agent()
            vm.start()
            print("| MB | memory of QEMU | its share | of no file | disk |\n|---|---|---|---|---|")
            show("cold start", Qemu(vm))
            vm.docker("import", "-c", "ENV PATH=/bin", busybox_tar(folder / "busybox.tar"), IMAGE)
            vm.cove("vm", "stop", "--shutdown")
            vm.start()
            qemu = Qemu(vm)
            show("start from the template", qemu)
            time.sleep(SETTLE_S)
            show(f"idle for {SETTLE_S:.0f} s", qemu)
            idle_percent = qemu.idle_percent()
            work(vm, qemu, folder)
            for minute in range(1, options.idle_minutes + 1):
                time.sleep(60)
                show(f"idle for {minute} min", qemu)
            print(
                f"\nidle: {idle_percent:.1f} % of a processor after the start, {qemu.idle_percent():.1f} % after work"
            )
        finally:
            vm.close()


if __name__ == "__main__":
    main()
