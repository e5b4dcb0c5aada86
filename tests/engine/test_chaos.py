"""Containers, each with an exec, killed at random from 8 threads; engine and supervisor get SIGKILL meanwhile.

At the end nothing of the containers may be left, and each exit status must be that of its process. COVE_CHAOS sets the
number of containers (200 take some 60 s); the default is lower, to keep the suite short.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

T = TypeVar("T")

CONTAINERS = int(os.environ.get("COVE_CHAOS", "60"))
THREADS = 8
LIMIT_S = HANG_S
IMAGE = "busybox:latest"
BASE = {"Image": IMAGE, "Labels": {"chaos": "1"}}


class Progress:
    """Counts replies, so that engines are killed by what they have done and not by the clock.

    On a busy machine an engine may need longer to start than any fixed time between two kills.
    """

    def __init__(self) -> None:
        self._replies = 0
        self._seen = 0
        self._changed = threading.Condition()

    def replied(self) -> None:
        with self._changed:
            self._replies += 1
            self._changed.notify_all()

    def wait(self, count: int, limit_s: float) -> bool:
        """Whether `count` replies have come since the last wait that succeeded, within `limit_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._replies >= self._seen + count, limit_s):
                return False
            self._seen = self._replies
            return True


class Patient:
    """One container's life by a client that never knows whether a request without a reply was carried out."""

    def __init__(self, engine: NativeEngine, number: int, progress: Progress) -> None:
        self.client = engine.client(60)  # then it is sent again: the reply may have died with its engine
        self._progress = progress
        self._random = random.Random(number)
        self.name = f"chaos-{number}"
        self.is_victim = number % 2 == 0
        self.exit_code = 137 if self.is_victim else number % 100 + 1

    def live(self) -> int:
        """Create, start, kill (or let end) and wait. Returns the exit status that the engine reports."""
        pause_s = self._random.random() * 0.5
        script = "while :; do sleep 1; done" if self.is_victim else f"sleep {pause_s:.2f}; exit {self.exit_code}"
        network = self._random.choice(["bridge", "none"])
        config = {**BASE, "Cmd": ["sh", "-c", script], "HostConfig": {"NetworkMode": network}}
        self._may_be_done(lambda client: client.create(config, name=self.name), 409)
        while self._status() == "created":
            self._may_be_done(lambda client: client.start(self.name))
        self._exec(is_attached=self._random.random() < 0.5)
        if self.is_victim:
            time.sleep(pause_s)  # it dies at some moment of its life
            while self._status() == "running":
                self._may_be_done(lambda client: client.kill(self.name), 409)
        while self._status() != "exited":
            self._patiently(lambda: self.client.wait(self.name))
        return int(self._patiently(lambda: self.client.inspect(self.name))["State"]["ExitCode"])

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call, again while the connection fails: the engine that had the request was killed, the next one starts."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                result = call()
            except ApiError:
                self._progress.replied()
                raise
            except (ConnectionFailed, ProtocolError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)  # until the next engine serves the socket
            else:
                self._progress.replied()
                return result

    def _exec(self, *, is_attached: bool) -> None:
        """Run a command in the container until one has ended there, or the container has."""
        code = self.exit_code % 100 + 101
        config = {"AttachStdout": is_attached, "Cmd": ["sh", "-c", f"echo output; exit {code}"]}
        while self._status() == "running":
            try:
                exec_id = self._patiently(lambda: self.client.exec_create(self.name, config))
                self._start_exec(exec_id, is_attached=is_attached)
                while (shown := self._patiently(partial(self.client.exec_inspect, exec_id)))["Running"]:
                    time.sleep(0.02)
            except ApiError as e:
                # Not started before its engine died; or the container ended meanwhile, which is 400 for a detached one.
                # A victim lives until its exec has ended.
                if e.status not in (404, 409) and (e.status != 400 or self.is_victim):
                    raise
                continue
            if shown["ExitCode"] == 128 and not self.is_victim:  # it could not be started: the container ends
                continue
            if shown["ExitCode"] is not None:
                possible = [code] if self.is_victim else [code, 137]  # 137: killed with the container
                assert shown["ExitCode"] in possible, shown
                return

    def _start_exec(self, exec_id: str, *, is_attached: bool) -> None:
        """An engine that is killed ends the connection; the exec's state is asked for afterwards."""
        with contextlib.suppress(ConnectionFailed, ProtocolError, OSError):
            if not is_attached:
                self.client.exec_start_detached(exec_id)
                return
            with self.client.exec_start(exec_id) as stream:
                while stream.read() is not None:
                    pass

    def id(self) -> str:
        return str(self._patiently(lambda: self.client.inspect(self.name))["Id"])

    def _status(self) -> str:
        return str(self._patiently(lambda: self.client.inspect(self.name))["State"]["Status"])

    def _may_be_done(self, call: Callable[[EngineClient], object], *done: int) -> None:
        """Call a verb. If its first try was executed before the engine was killed, the second one fails with `done`."""
        try:
            self._patiently(lambda: call(self.client))
        except ApiError as e:
            if e.status not in done:
                raise

    def remove(self) -> None:
        self._may_be_done(lambda client: client.remove(self.name, force=True, volumes=True), 404, 409)


@contextlib.contextmanager
def killer(engine: NativeEngine, progress: Progress) -> Iterator[list[str]]:
    """SIGKILL to engine or supervisor or both, after some replies and at a random moment; yields the names killed."""
    killed: list[str] = []
    over = threading.Event()
    chance = random.Random(1)

    def kill() -> None:
        for name in chance.choice([["cove-engine"], ["cove-supervisor"], ["cove-engine", "cove-supervisor"]]):
            with contextlib.suppress(AssertionError, ProcessLookupError):  # it is being started again just now
                os.kill(engine.pid_of(name), signal.SIGKILL)
                killed.append(name)

    def work() -> None:
        while not over.is_set():
            if not progress.wait(chance.randrange(1, 40), 0.1):
                continue
            kill()
            while chance.random() < 0.4:  # kill the next one too, while it starts; then let one get to work
                over.wait(chance.random() * 0.3)
                kill()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()
        engine.wait_until_answering()
        deadline = time.monotonic() + HANG_S
        while not has_supervisor(engine):
            assert time.monotonic() < deadline, "no new supervisor"
            time.sleep(0.01)  # the keeper is starting it


def has_supervisor(engine: NativeEngine) -> bool:
    with contextlib.suppress(AssertionError):
        return engine.pid_of("cove-supervisor") > 0
    return False


def left_over(engine: NativeEngine, ids: list[str]) -> list[str]:
    """Descriptions of everything that is left of the containers `ids`."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                text = (process / "cgroup").read_text()
                found += [f"process {process.name} of {i}" for i in ids if i in text]
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        found += [f"cgroup {hierarchy.name}/cove/{i}" for i in ids if (hierarchy / "cove" / i).exists()]
    mounts = Path(f"/proc/{engine.pid_of('cove-engine')}/mounts").read_text()
    found += [f"mount of {i}" for i in ids if i in mounts]
    found += [f"file {path}" for path in engine.container_folders()]
    for folder in ("data/trash", "exec/containers", "exec/networks"):
        found += [f"file {path}" for path in (engine.root / folder).iterdir()]
    held = namespaces_held(engine.pid_of("cove-engine"))
    found += [f"cove-engine holds {text}" for text in held if len(held) != 1]  # one spare for the next start is right
    found += [f"cove-supervisor holds {text}" for text in namespaces_held(engine.pid_of("cove-supervisor"))]
    assert engine.process is not None
    found += [f"the keeper holds {text}" for text in namespaces_held(engine.process.pid)]
    return found


def namespaces_held(pid: int) -> list[str]:
    """Network namespaces other than its own that a process has a descriptor of."""
    own = os.readlink(f"/proc/{pid}/ns/net")
    held = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(fd)
            if target.startswith("net:") and target != own:
                held.append(target)
    return held


def test_nothing_is_lost_and_nothing_is_left(own_engine: NativeEngine) -> None:
    progress = Progress()
    patients = [Patient(own_engine, number, progress) for number in range(CONTAINERS)]
    with contextlib.ExitStack() as clients, ThreadPoolExecutor(THREADS) as threads:
        for patient in patients:
            clients.enter_context(contextlib.closing(patient.client))
        with killer(own_engine, progress) as killed:
            codes = list(threads.map(Patient.live, patients))
            ids = [patient.id() for patient in patients]
            list(threads.map(Patient.remove, patients))
        for patient in patients:
            patient.remove()  # an engine may have been killed during a removal
    assert {p.name: code for p, code in zip(patients, codes, strict=True)} == {p.name: p.exit_code for p in patients}
    assert len(killed) >= CONTAINERS // 10
    own_engine.docker("run", "--rm", "--network", "none", IMAGE, "true")  # so that there is one for the next start
    deadline = time.monotonic() + HANG_S
    while (left := left_over(own_engine, ids)) and time.monotonic() < deadline:
        time.sleep(0.1)  # trees are removed in quiet moments, interfaces by a thread of their own
    assert not left, "\n".join(left)
    print(f"{CONTAINERS} containers, {len(killed)} kills")
