"""The engine gets SIGKILL at random moments of pulls, loads, removals, prunes and commits: nothing is wrong afterwards.

After each kill `cove system check` must find nothing, and the next pull must complete, with what the killed one fetched
at most 1.1 times the image's bytes. COVE_CHAOS sets the number of kills (100 take some minutes).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError, StreamFailed
from tests.images.kit import BadRegistry, Entry, MadeImage, bad_registry, tar_of
from tests.support.checking import findings
from tests.support.engine import NativeEngine
from tests.support.waiting import wait_until

KILLS = int(os.environ.get("COVE_CHAOS", "8"))
MAX_FACTOR = 1.1
LAYERS, LAYER_BYTES = 4, 6 << 20
SETTLE_S = 60.0  # from an engine's start until it has tidied up
LOST = (ConnectionFailed, ProtocolError, StreamFailed, OSError)
Verb = Callable[["Chaos"], None]


def noise(seed: str, size: int) -> bytes:
    """Bytes that no compression makes smaller."""
    return hashlib.shake_128(seed.encode()).digest(size)


def image(name: str) -> MadeImage:
    layers = (
        tar_of(
            *(Entry(f"{name}-{number}-{part}", noise(f"{name}{number}{part}", LAYER_BYTES // 3)) for part in range(3))
        )
        for number in range(LAYERS)
    )
    return MadeImage(*layers)


class Chaos:
    """The verbs, each by a client that knows that its engine may die."""

    def __init__(self, engine: NativeEngine, registry: BadRegistry, archive: bytes) -> None:
        self.engine, self.registry, self.archive = engine, registry, archive
        self.chance = random.Random(7)
        self.number = 0

    def client(self) -> EngineClient:
        return self.engine.client(60)

    def pull(self) -> None:
        with self.client() as client, client.pull(f"{self.registry.address}/x:latest") as lines:
            for _ in lines:
                pass

    def load(self) -> None:
        with self.client() as client, client.stream("POST", "/images/load", data=self.archive) as lines:
            for _ in lines:
                pass

    def commit(self) -> None:
        self.number += 1
        with self.client() as client:
            query = {"container": "source", "repo": "made", "tag": str(self.number)}
            client.request("POST", "/commit", query, {}, limited=False)

    def remove(self) -> None:
        with self.client() as client:
            for one in client.images():
                names = [name for name in one["RepoTags"] or () if not name.startswith("busybox")]
                for name in names:
                    client.image_remove(name, force=True)

    def prune(self) -> None:
        with self.client() as client:
            client.request("POST", "/images/prune", {"filters": {"dangling": ["false"]}}, limited=False)
            client.request("POST", "/build/prune", limited=False)

    def run(self) -> None:
        with self.client() as client:
            made = client.create({"Image": "busybox:latest", "Cmd": ["true"]})["Id"]
            client.start(made)
            client.wait(made)
            client.remove(made, force=True)

    def kill_within(self, verb: Verb) -> None:
        """Begin the verb and kill the engine at a random moment of it."""
        over = threading.Event()

        def act() -> None:
            with contextlib.suppress(*LOST, ApiError):  # an image in use, or gone already
                verb(self)
            over.set()

        acting = threading.Thread(target=act)
        acting.start()
        over.wait(self.chance.random() ** 2 * 1.5)
        os.kill(self.engine.pid_of("cove-engine"), signal.SIGKILL)
        acting.join()
        self.engine.wait_until_answering()


VERBS: tuple[Verb, ...] = (
    Chaos.pull, Chaos.pull, Chaos.pull, Chaos.load, Chaos.commit, Chaos.remove, Chaos.prune, Chaos.run,
)  # fmt: skip


@pytest.fixture
def registry() -> Iterator[BadRegistry]:
    with bad_registry() as server:
        server.pause_s = 0.008  # a pull takes a second
        yield server


@pytest.mark.timeout(900 + 60 * KILLS)
@pytest.mark.logs("container.stranger")
def test_a_killed_engine_leaves_a_whole_store(own_engine: NativeEngine, registry: BadRegistry, tmp_path: Path) -> None:
    wanted = image("pulled")
    registry.add(wanted)
    own_engine.docker("run", "--name", "source", "busybox:latest", "sh", "-c", "head -c 3000000 /dev/urandom >/big")
    own_engine.docker("commit", "source", "loaded")
    own_engine.docker("save", "-o", str(tmp_path / "loaded.tar"), "loaded")
    chaos = Chaos(own_engine, registry, (tmp_path / "loaded.tar").read_bytes())
    size, worst = sum(map(len, wanted.packed)), 0
    for number in range(KILLS):
        verb = VERBS[number % len(VERBS)] if number < len(VERBS) else chaos.chance.choice(VERBS)
        if verb is Chaos.pull:
            chaos.remove()
            chaos.prune()
        registry.sent.clear()
        chaos.kill_within(verb)
        found: list[dict[str, Any]] = []

        def is_clean() -> bool:
            nonlocal found
            found = findings(own_engine)
            return not found

        with contextlib.suppress(AssertionError):
            wait_until(is_clean, SETTLE_S)  # what an engine tidies after its start is no fault
        assert not found, f"kill {number}, in {verb.__name__}"
        chaos.pull()
        with own_engine.client() as client:
            assert client.image_inspect(f"{registry.address}/x:latest")["Id"] == wanted.id
        sent = sum(registry.sent.values())
        worst = max(worst, sent)
        assert sent <= size * MAX_FACTOR, f"kill {number}, in {verb.__name__}: {sent} bytes for {size}"
    assert findings(own_engine) == []
    own_engine.docker("rm", "source")
    print(f"{KILLS} kills, at most {worst / size:.3f} times the bytes")
