"""A monkey at the window: `.venv/bin/python -m tests.ui.monkey [ACTIONS [SEED]]`, as root.

It starts an engine and an X server of its own, prints what it found, and exits with 1 if anything went wrong. What the
window wrote stays in the folder that is printed.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from tests.support.tools import busybox_tar
from tests.ui.monkey.play import play
from tests.ui.monkey.stage import stage
from tests.ui.screen import open_screen


def main() -> int:
    actions = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1_000_000)
    folder = Path(tempfile.mkdtemp(prefix="cove-monkey-"))
    print(f"seed {seed}, folder {folder}", flush=True)
    began = time.monotonic()
    tar = busybox_tar(folder / "busybox.tar")
    with open_screen() as screen, stage(tar) as engine:
        outcome = play(engine, screen, folder, tar, actions, seed)
    print(f"{actions} actions in {time.monotonic() - began:.0f} s, {outcome.deleted} things deleted")
    if outcome.is_well:
        return 0
    print(f"exit status {outcome.status}\n{outcome.faults}\ndeleted, and no dialog named it: {outcome.unnamed}")
    print(f"gone without an event: {outcome.lost}\nthe last actions:\n{outcome.last}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
