"""Lets the monkey play on a stage, and tells what it broke."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.engine import NativeEngine
from tests.support.tools import ROOT
from tests.ui.monkey.stage import supply
from tests.ui.monkey.witness import Deletions, confirmed
from tests.ui.screen import NO_BUS, Screen

SHOWN = 40  # actions before the end
FEW, LOOK_EVERY_S = 26, 3.0  # with fewer things on its engine the monkey gets new ones


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a game ended: the exit status of the window's process (negative: a signal), what must not happen and did,
    what was deleted in all, and the last actions."""

    status: int
    faults: str
    unnamed: list[str]
    lost: list[str]
    deleted: int
    last: str

    @property
    def is_well(self) -> bool:
        return self.status == 0 and not self.faults and not self.unnamed and not self.lost


def things(engine: NativeEngine) -> dict[str, str]:
    """Every container, image, volume and network of the engine: a name by its kind and id."""
    with engine.client() as client:
        found = {f"container {c['Id']}": str(c["Names"][0]) for c in client.containers(all=True)}
        found |= {f"image {i['Id']}": str((i["RepoTags"] or [""])[0]) for i in client.images()}
        found |= {f"volume {v['Name']}": "" for v in client.volumes()}
        return found | {f"network {n['Id']}": str(n["Name"]) for n in client.networks()}


def play(engine: NativeEngine, screen: Screen, folder: Path, busybox_tar: Path, actions: int, seed: int) -> Outcome:
    """`actions` actions at a window on `engine`, which is supplied with new containers as they become few. `folder`
    gets all that the window writes."""
    before = things(engine)
    deletions = Deletions(engine)
    try:
        with _window(screen, folder, [engine.host, str(actions), str(seed)]) as window:
            while window.poll() is None:
                if len(things(engine)) < FEW:
                    supply(engine, busybox_tar)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    window.wait(LOOK_EVERY_S)
        status = window.returncode
    finally:
        deletions.end()
    gone = {f"{each.kind} {each.key}" for each in deletions.gone}
    after = things(engine)
    return Outcome(
        status,
        (folder / "faults").read_text(),
        deletions.unnamed(confirmed(folder / "dialogs")),
        [
            *(f"{key} {name}" for key, name in before.items() if key not in after and key not in gone),
            *(f"from the bin: {name}" for name in deletions.lost_from_bin),
        ],
        len(deletions.gone),
        "\n".join((folder / "trace").read_text().splitlines()[-SHOWN:]),
    )


@contextlib.contextmanager
def _window(screen: Screen, folder: Path, words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The window's process, whose home and temporary files are in `folder`."""
    own: Mapping[str, str] = {
        **screen.environment,
        **NO_BUS,
        **dict.fromkeys(("HOME", "COVE_HOME", "TMPDIR", "XDG_RUNTIME_DIR"), str(folder)),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_DATA_HOME": str(folder / "data"),
        "DOCKER_CONFIG": str(folder / "docker"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "tests.ui.monkey.window", str(folder), *words]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own})
    try:
        yield process
    finally:
        process.kill()
        process.wait()
