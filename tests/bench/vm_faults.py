"""Random faults on a real VM, and what each of them harms.

    python -m tests.bench.vm_faults [--faults 30] [--seed 1] [--stop 60] [--kinds REGEX] [--cuts [JOB...]]

The VM works all the time: containers count lines, one has ended, there are images, a volume with checksums, a network;
often a pull, a load or a build is under way. Each fault strikes right after a file was synced and a record was made.
Afterwards nothing of that may be lost, no container may have ended that the fault does not end, a pull, load or build
must work again and its image be whole, and `cove system check` must find nothing. Printed for each fault: the seconds
until its cause was told, until the VM worked again, and how old the oldest output is that was lost. All kinds come
before one comes again.

`--cuts`: first, QEMU is killed 0, 100 and 500 ms after a pull, a load and a build have succeeded; their images must be
whole. `--stop`: the longest time in seconds for which a process is kept stopped. The exit code is 1 if there was harm.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from tests.bench.faults.home import Home, Missed, home
from tests.bench.faults.kinds import KINDS, Scene, kill_qemu, names
from tests.bench.faults.work import COUNTERS, JOBS, Job, Work
from tests.support.registry import registry

HOME_MB = 3000
SETTINGS = {
    "vm": {"memory_mb": 1024, "cpus": 2, "disk_gb": 4, "accelerator": "tcg", "save_after_minutes": 0},
    "folders": {"shared": []},
}
CUTS_MS = (0, 100, 500)
TOLD_GOAL_S = 10.0
HEAD = "| | fault | under way | told, s | back, s | lost output, s | detail | harm |\n" + "|---" * 8 + "|"


class Row(NamedTuple):
    kind: str
    job: str
    told_s: float | None
    back_s: float
    lost_s: float
    detail: str
    harm: tuple[str, ...]

    def show(self, number: int) -> None:
        told = "" if self.told_s is None else f"{self.told_s:.1f}"
        lost = f"{self.lost_s:.1f}" if self.lost_s else ""
        harm = "; ".join(self.harm) or "none"
        cells = (str(number), self.kind, self.job, told, f"{self.back_s:.1f}", lost, self.detail, harm)
        print(f"| {' | '.join(cells)} |", flush=True)


def fault(work: Work, scene: Scene, name: str, *, with_jobs: bool) -> Row:
    """One fault with all that is looked at before and after."""
    kind, vm = KINDS[name], scene.vm
    what = scene.rng.choice(["", *JOBS]) if kind.has_job and with_jobs else ""
    if kind.idle:
        work.run_counters()
        vm.docker("stop", *COUNTERS)
    before = work.before(counts=not kind.idle)
    job = Job(work, what) if what else None
    if job is not None:
        job.start()
        time.sleep(scene.rng.uniform(0.1, 3.0))
    told_s, back_s, detail, harm, at = None, 0.0, "", [], time.time()
    try:
        told_s, back_s, detail = kind.strike(scene)
    except Missed as e:
        harm.append(str(e))
        vm.until_back(time.monotonic())
    if told_s is not None and told_s > TOLD_GOAL_S:
        harm.append(f"told after {told_s:.1f} s")
    if "BUT" in detail:
        harm.append(detail)
    if job is not None:
        job.join()
        if job.failed and kind.job_survives:
            harm.append(job.failed)
        harm += job_harm(work, job)
    wrong, lost_s = work.harm(before, ends=kind.ends, cuts=kind.cuts, at=at)
    return Row(name, what, told_s, back_s, lost_s, detail, tuple(harm + wrong))


def job_harm(work: Work, job: Job) -> list[str]:
    """What is wrong with the image of a job that a fault has met; one that failed is done again."""
    failed = work.job(job.what) if job.failed else ""
    harm = [f"again: {failed}"] if failed else work.job_harm()
    work.drop_job()
    return harm


def cut(work: Work, scene: Scene, what: str, after_ms: int) -> Row:
    """QEMU is killed after a job has succeeded."""
    vm = scene.vm
    qemu = vm.qemu_pid
    if failed := work.job(what):
        raise Missed(failed)
    time.sleep(after_ms / 1000)
    told_s, back_s, _ = kill_qemu(vm, qemu)
    harm = work.job_harm() + work.check_harm()
    work.drop_job()
    return Row("power cut", what, told_s, back_s, 0.0, f"{after_ms} ms after", tuple(harm))


def order(rng: random.Random, chosen: list[str], count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        found += rng.sample(chosen, len(chosen))
    return found[:count]


def summary(rows: list[Row]) -> None:
    print("\n| fault | times | told, s: median, worst | back, s: median, worst | lost output, s: worst | harmed |")
    print("|---|---|---|---|---|---|")
    for kind in sorted({row.kind for row in rows}):
        of = [row for row in rows if row.kind == kind]
        told = [row.told_s for row in of if row.told_s is not None]
        back = [row.back_s for row in of]
        shown = f"{statistics.median(told):.1f}, {max(told):.1f}" if told else ""
        lost = max(row.lost_s for row in of)
        harmed = sum(bool(row.harm) for row in of)
        print(
            f"| {kind} | {len(of)} | {shown} | {statistics.median(back):.1f}, {max(back):.1f} | "
            f"{f'{lost:.1f}' if lost else ''} | {harmed} |"
        )


def run(options: argparse.Namespace, vm: Home, folder: Path, address: str) -> list[Row]:
    rng = random.Random(options.seed)
    work, scene, rows = Work(vm, folder, address, rng), Scene(vm, rng, options.stop), []
    vm.cove("vm", "start")
    work.set_up()
    print(HEAD)
    cuts = [] if options.cuts is None else options.cuts or JOBS
    todo = [(what, after) for what in cuts for after in CUTS_MS]
    faults = order(rng, names(options.kinds), options.faults)
    deadline = time.monotonic() + options.minutes * 60
    try:
        for what, after_ms in todo:
            rows.append(cut(work, scene, what, after_ms))
            rows[-1].show(len(rows))
        for name in faults:
            if time.monotonic() > deadline:
                break
            rows.append(fault(work, scene, name, with_jobs=options.jobs))
            rows[-1].show(len(rows))
    except (Exception, KeyboardInterrupt):  # noqa: BLE001  (the rows so far are shown)
        traceback.print_exc()
        print(vm.cove("vm", "status", check=False).stdout)
        rows.append(Row("the program", "", None, 0, 0, "", ("it ended",)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Random faults on a real VM")
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stop", type=float, default=60.0)
    parser.add_argument("--kinds", default="")
    parser.add_argument("--cuts", nargs="*", choices=JOBS)
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no fault after so many")
    parser.add_argument("--no-jobs", dest="jobs", action="store_false")
    options = parser.parse_args()
    if not names(options.kinds):
        parser.error(f"--kinds {options.kinds}: it matches none of {', '.join(KINDS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the VM and the registry end too, and the rows are shown
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with registry(folder) as address, home(HOME_MB, SETTINGS) as vm:
            rows = run(options, vm, folder, address)
    summary(rows)
    print(f"\nseed {options.seed}, {len(rows)} faults, {sum(bool(row.harm) for row in rows)} with harm")
    sys.exit(any(row.harm for row in rows))


if __name__ == "__main__":
    main()
