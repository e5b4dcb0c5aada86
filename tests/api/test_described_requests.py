"""Requests made from the OpenAPI description: each gets a reply that is described, and nothing is left of them all.

COVE_DESCRIBED_REQUESTS=10000 sends that many; COVE_DESCRIBED_SEED=N sends others.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import vmagent.api
from tests.support import storecheck
from tests.support.checking import findings
from tests.support.engine import NativeEngine, running
from tests.support.tools import ROOT, schemathesis
from tests.support.waiting import wait_until

COUNT = int(os.environ.get("COVE_DESCRIBED_REQUESTS", "60"))
ENDING_S = 60.0  # of workers that end when they are idle; spent in full only by a test that fails
FEW = 200  # within the whole suite: without those that take a process each
SEED = os.environ.get("COVE_DESCRIBED_SEED", "1")
THREADS = 40  # pools grow up to so many as they are used
PROCESSES = ("cove-engine", "cove-supervisor")


class _Alone(NativeEngine):
    """In a network and a mount namespace of its own: containers get the strangest options."""

    prefix: tuple[str | Path, ...] = (
        "unshare",
        "--net",
        "--mount",
        "sh",
        "-c",
        'ip link set lo up && exec "$@"',
        "alone",
    )


@pytest.fixture
def alone(busybox_tar: Path) -> Iterator[NativeEngine]:
    with running(_Alone()) as engine:
        engine.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), "busybox:latest")
        yield engine


def _held(engine: NativeEngine) -> dict[str, dict[str, int]]:
    """What the engine's processes hold: descriptors, threads, mounts."""
    found = {}
    for name in PROCESSES:
        process = Path(f"/proc/{engine.pid_of(name)}")
        found[name] = {
            "descriptors": len(list((process / "fd").iterdir())),
            "threads": max(THREADS, len(list((process / "task").iterdir()))),
            # Copies of other engines' mounts go with their folders: mount_namespaces(7).
            "mounts": (process / "mountinfo").read_text().count(str(engine.root)),
            "children": len((process / "task" / process.name / "children").read_text().split()),
        }
    return found


@pytest.mark.logs(".*")  # of options that the kernel refuses
@pytest.mark.timeout(600 + COUNT * 3)
def test_every_request_gets_a_described_reply_and_nothing_is_left(alone: NativeEngine, tmp_path: Path) -> None:
    program = [schemathesis(), ROOT / "tests" / "bench" / "described_requests.py"]
    description = Path(vmagent.api.__file__).with_name("openapi.yaml")

    def send(count: int, seed: str) -> dict[str, object]:
        done = subprocess.run(
            [
                *program,
                *("--socket", alone.socket, "--description", description, "--scratch", tmp_path),
                *("--requests", str(count), "--seed", seed),
                *(("--light",) if COUNT <= FEW else ()),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        found: dict[str, object] = json.loads(done.stdout)
        return found

    send(40, "0")  # what is loaded with the first use
    # Idle helper processes end after a while: those of the first requests are not there in the end.
    wait_until(lambda: not _held(alone)["cove-engine"]["children"], ENDING_S)
    engine, before = alone.pid_of("cove-engine"), _held(alone)
    report = send(COUNT, SEED)
    assert report["failures"] == {}, json.dumps(report["failures"], indent=1)
    assert report["sent"] == COUNT
    assert alone.pid_of("cove-engine") == engine, "the engine was started anew"
    with contextlib.suppress(AssertionError):  # the next line says what there is
        wait_until(lambda: _held(alone) == before, ENDING_S)
    assert _held(alone) == before
    assert findings(alone) == []
    assert storecheck.faults(alone.root / "data") == []
