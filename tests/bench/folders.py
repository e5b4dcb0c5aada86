"""How fast shared folders are, beside a plain folder: small files, and one large file.

    sudo .venv/bin/python tests/bench/folders.py [--files 5000] [--megabytes 256] [--vm]

Without --vm, client and server are both on this machine, with a socket between them. With it, a container of a VM works
in a volume and in a folder of this machine. Printed are seconds for all files, and MB/s; machines are noisy, so trust
the ratio of the two columns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.folders import SharedFolder
from tests.support.tools import busybox_tar
from tests.vm.conftest import Vm

SIZE = 1024
CHUNK = 1 << 20
IMAGE = "busybox:latest"
Figures = dict[str, float]

# What the container does in the folder $1; each step prints its name and the seconds of /proc/uptime.
SCRIPT = """
now() { read -r up _ </proc/uptime; echo "$1 $up"; }
mkdir $1/small; cd $1/small; head -c 1024 /dev/zero >/tmp/one
now begin
i=0; while [ $i -lt FILES ]; do cat /tmp/one >f$i; i=$((i+1)); done; now create
ls -l >/dev/null; now 'list and stat'
cat f* >/dev/null; now read
cd ..; rm -r small; now remove
dd if=/dev/zero of=large bs=1M count=MEGABYTES conv=fsync 2>/dev/null; now write
echo 3 >/proc/sys/vm/drop_caches; now dropped
dd if=large of=/dev/null bs=1M 2>/dev/null; now 'read large'
rm large
"""


def measured(folder: Path, files: int, megabytes: int) -> Figures:
    """Seconds for small files, MB/s for the large one."""
    small, large = folder / "small", folder / "large"
    content, chunk = os.urandom(SIZE), os.urandom(CHUNK)
    figures: Figures = {}

    def step(name: str, work: Callable[[], object], total_mb: int = 0) -> None:
        began = time.perf_counter()
        work()
        took_s = time.perf_counter() - began
        figures[name] = total_mb / took_s if total_mb else took_s

    def write_large() -> None:
        with large.open("wb", buffering=0) as file:
            for _ in range(megabytes):
                file.write(chunk)
            os.fsync(file.fileno())

    def read_large() -> None:
        with large.open("rb", buffering=0) as file:
            while file.read(CHUNK):
                pass

    small.mkdir()
    names = [small / f"f{number}" for number in range(files)]
    step("create", lambda: [name.write_bytes(content) for name in names])
    step("list and stat", lambda: [entry.stat() for entry in os.scandir(small)])
    step("read", lambda: [name.read_bytes() for name in names])
    step("remove", lambda: shutil.rmtree(small))
    step("write large, MB/s", write_large, megabytes)
    _drop_caches()
    step("read large, MB/s", read_large, megabytes)
    large.unlink()
    return figures


def _drop_caches() -> None:
    Path("/proc/sys/vm/drop_caches").write_text("3")


def measured_in_container(vm: Vm, mount: str, files: int, megabytes: int) -> Figures:
    script = SCRIPT.replace("FILES", str(files)).replace("MEGABYTES", str(megabytes))
    out = vm.docker("run", "--rm", "--privileged", "-v", f"{mount}:/w", IMAGE, "sh", "-c", script, "sh", "/w").stdout
    marks = [(name, float(at)) for name, _, at in (line.rpartition(" ") for line in out.splitlines())]
    figures: Figures = {}
    for (_, before), (name, at) in itertools.pairwise(marks):
        took_s = max(at - before, 0.01)
        if name in ("write", "read large"):
            figures["write large, MB/s" if name == "write" else "read large, MB/s"] = megabytes / took_s
        elif name != "dropped":
            figures[name] = took_s
    return figures


def show(plain: Figures, shared: Figures, titles: tuple[str, str]) -> None:
    print(f"{'':20}{titles[0]:>12}{titles[1]:>12}")
    for name, value in plain.items():
        print(f"{name:20}{value:12.2f}{shared[name]:12.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast shared folders are")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--vm", action="store_true")
    options = parser.parse_args()
    if not options.vm:
        folder = SharedFolder()
        with tempfile.TemporaryDirectory() as plain:
            figures = measured(Path(plain), options.files, options.megabytes)
        try:
            show(figures, measured(folder.mounted, options.files, options.megabytes), ("plain", "shared"))
        finally:
            folder.close()
        return
    vm = Vm()
    with tempfile.TemporaryDirectory() as shared:
        try:
            vm.paths.config_file.write_text(json.dumps({"folders": {"shared": [shared]}}))
            vm.start_agent()
            vm.start()
            vm.docker("import", "-c", "ENV PATH=/bin", busybox_tar(Path(shared) / "busybox.tar"), IMAGE)
            plain_figures = measured_in_container(vm, "volume", options.files, options.megabytes)
            shared_figures = measured_in_container(vm, shared, options.files, options.megabytes)
            show(plain_figures, shared_figures, ("volume", "shared"))
        finally:
            vm.close()


if __name__ == "__main__":
    main()
