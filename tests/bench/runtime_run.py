"""`run /bin/true` by crun, runc and cove-runtime in turn, and where cove-runtime's time goes.

python -m tests.bench.runtime_run [ROUNDS]     as root; peers that are not installed are left out. crun takes no tree of
cgroup v2 beside those of v1: `unshare --mount sh -c 'umount /sys/fs/cgroup/unified; exec python -m …'`.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from tests.support.tools import busybox_tar, unpack_tar
from vmagent.runtime.example import example_spec

_RUNTIME = str(Path(sys.executable).with_name("cove-runtime"))
_ROOT = Path(__file__).resolve().parents[2]
_STEPS = (
    "modules of the command line (argparse, pathlib)",
    "flags made and parsed",
    "modules of the runtime (ctypes, json, plan, launch)",
    "create: document read, checked, compiled; cgroups, clone3, mounts, until the child waits",
    "start: its execve seen",
    "`true` runs, exits, is reaped",
    "delete: cgroups, state",
)
_BARE = "bare interpreter, as the script's"
_INSIDE = """
import sys, time
times = [time.perf_counter()]
sys.path.append(sys.argv.pop(1))
from vmagent.runtime import commandline
times.append(time.perf_counter())
options = commandline._parser("run").parse_args(sys.argv[1:])
times.append(time.perf_counter())
import gc
from vmagent.runtime import foreground, lifecycle
from vmagent.runtime.log import Log
gc.disable()
log = Log("", "text")
times.append(time.perf_counter())
container, launched, master = lifecycle._create(options, log, is_run=True)
times.append(time.perf_counter())
lifecycle._start(container, log)
times.append(time.perf_counter())
foreground.wait(launched, master)
times.append(time.perf_counter())
lifecycle.destroy(container, log)
times.append(time.perf_counter())
print(*(b - a for a, b in zip(times, times[1:])))
"""


def _timed(argv: list[str]) -> tuple[float, str]:
    """(milliseconds, what it printed). Raises CalledProcessError."""
    began = time.perf_counter()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return (time.perf_counter() - began) * 1e3, done.stdout


def _show(name: str, values: list[float]) -> None:
    ordered = sorted(values)
    slow = ordered[int(len(ordered) * 0.95)]
    print(f"{name:90} {statistics.median(ordered):6.1f} ms  (min {ordered[0]:.1f}, p95 {slow:.1f})")


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="cove-bench-") as name:
        folder = Path(name)
        (folder / "rootfs").mkdir()
        unpack_tar(busybox_tar(folder / "busybox.tar"), folder / "rootfs")
        spec = example_spec()
        spec["ociVersion"] = "1.0.2"
        spec["process"].update(terminal=False, args=["/bin/true"])
        (folder / "config.json").write_text(json.dumps(spec))

        def run(*runtime: str) -> tuple[float, str]:
            container_id = f"bench-{uuid.uuid4().hex[:8]}"
            return _timed([*runtime, "--root", f"{folder}/state", "run", "--bundle", str(folder), container_id])

        peers = [peer for peer in ("crun", "runc") if shutil.which(peer)]
        whole: dict[str, list[float]] = {name: [] for name in (*peers, "cove-runtime", _BARE)}
        steps: list[list[float]] = []
        for _ in range(rounds):
            for peer in peers:
                whole[peer].append(run(peer)[0])
            whole["cove-runtime"].append(run(_RUNTIME)[0])
            whole[_BARE].append(_timed([sys.executable, "-c", "pass"])[0])
            said = run(sys.executable, "-I", "-S", "-c", _INSIDE, str(_ROOT))[1]
            steps.append([float(word) * 1e3 for word in said.split()])
        for name, values in whole.items():
            _show(name, values)
        for name, column in zip(_STEPS, zip(*steps, strict=True), strict=True):
            _show("  " + name, list(column))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
