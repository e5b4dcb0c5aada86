"""BuildKit's wire, served by the real API server before a builder that records what it is asked to build."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Running, run_server
from tests.api.fake_engine import FakeEngine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli, docker_config
from vmagent.api.buildkit import BuildKitWire
from vmagent.builder.cache import Cache
from vmagent.builder.cachedocument import CachedStep
from vmagent.builder.progress import Progress, Vertex, VertexLog, VertexWarning
from vmagent.builder.remotes import RemoteContext, Remotes
from vmagent.builder.request import BuildRequest, Secrets, Selection, SshAgents
from vmagent.builder.result import BuildResult, BuiltImage
from vmagent.buildkit import messages as pb
from vmagent.buildkit.caches import SessionCaches
from vmagent.buildkit.contexts import KeptFolders
from vmagent.buildkit.jobs import Job
from vmagent.buildkit.service import BuildKit, worker_record
from vmagent.dockerfile.lint import Checked
from vmagent.errors import EngineError
from vmagent.images.layer import Blob
from vmagent.paths import DataRoot

DIGEST = "sha256:" + 64 * "a"


@dataclass
class Recorder:
    """A builder, exporter and cache that record."""

    requests: list[BuildRequest] = field(default_factory=list)
    exported: list[Job] = field(default_factory=list)
    pruned: list[pb.PruneRequest] = field(default_factory=list)
    released: int = 0
    selection: Selection = field(default_factory=Selection)
    files: dict[str, bytes] = field(default_factory=dict)
    sent: int = 0
    action: Any = None  # awaited with the request in each build
    export_action: Any = None  # awaited with the job in each export

    async def build(self, request: BuildRequest, progress: Progress) -> BuildResult:
        self.requests.append(request)
        started = time.time_ns()
        vertex = Vertex(digest="sha256:1", name="[1/1] RUN echo hello", started_ns=started)
        progress.vertex(vertex)
        progress.log(VertexLog(vertex="sha256:1", stream=1, data=b"hello\n", at_ns=started))
        progress.warning(
            VertexWarning(vertex="sha256:1", short="a warning", detail=("more",), url="https://w", lines=((1, 1),))
        )
        if self.action is not None:
            await self.action(request)
        progress.vertex(
            Vertex(digest="sha256:1", name=vertex.name, started_ns=started, completed_ns=time.time_ns(), cached=True)
        )
        return BuildResult((BuiltImage("linux/amd64", {}, ()),), self._release)

    def _release(self) -> None:
        self.released += 1

    async def receive(self, request: BuildRequest) -> None:
        """An action: fetch the context."""
        assert request.context is not None

        def received(size: int) -> None:
            self.sent = size

        folder = await request.context.fetch(self.selection, received)
        self.files = await asyncio.to_thread(
            lambda: {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        )

    async def export(self, job: Job, result: BuildResult) -> Mapping[str, str]:
        self.exported.append(job)
        if self.export_action is not None:
            await self.export_action(job)
        return {"containerimage.digest": DIGEST, "containerimage.config.digest": DIGEST}

    def remotes(self, secrets: Secrets | None, ssh: SshAgents | None) -> AbstractAsyncContextManager[Remotes]:
        raise EngineError("nothing is fetched here")

    def remote_context(self, remotes: Remotes, source: str, subdir: str = "") -> RemoteContext:
        raise EngineError("nothing is fetched here")

    async def take_image_layers(self, *args: Any) -> None:
        raise EngineError("nothing is fetched here")

    async def check(self, request: BuildRequest) -> Checked:
        self.requests.append(request)
        return Checked(())

    async def push_cache(self, *args: Any) -> tuple[str, int]:
        raise EngineError("no caches here")

    async def packed_layers(self, layers: Sequence[str]) -> dict[str, tuple[Blob, Path]]:
        raise EngineError("no caches here")

    async def take_layer(self, step: CachedStep, folder: Path, chunks: AsyncIterator[bytes]) -> None:
        raise EngineError("no caches here")

    async def usage(self, filters: list[str]) -> list[pb.UsageRecord]:
        return [pb.UsageRecord(ID="one", Size=3_000_000, Description="RUN true", RecordType="regular")]

    async def prune(self, request: pb.PruneRequest) -> list[pb.UsageRecord]:
        self.pruned.append(request)
        return await self.usage([])


@dataclass(frozen=True)
class Site:
    """A served wire."""

    running: Running
    builder: Recorder
    folder: Path  # of the wire's data

    def docker(
        self, *args: str | Path, check: bool = True, environment: Mapping[str, str] | None = None, **kwargs: Any
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [docker_cli(), *args],
            stdin=kwargs.pop("stdin", subprocess.DEVNULL) if "input" not in kwargs else None,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
            env={
                **os.environ,
                "DOCKER_HOST": f"unix://{self.running.path}",
                "DOCKER_CONFIG": str(docker_config()),
                "DOCKER_CLI_HINTS": "false",
                **(environment or {}),
            },
            **kwargs,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done


def kept_folders(folder: Path) -> KeptFolders:
    """Of a cache of their own, below `folder`."""
    folder.mkdir(exist_ok=True)
    cache = Cache(DataRoot(folder))
    cache.load()
    return KeptFolders(cache)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    builder, folder = Recorder(), tmp_path / "data"

    async def make() -> BuildKit:
        worker = worker_record("worker", "here", "192.0.2.1")
        caches = SessionCaches(builder, asyncio.to_thread)
        kept = await asyncio.to_thread(kept_folders, folder)
        kit = BuildKit(folder / "history", kept, worker, builder, builder, builder, caches, asyncio.to_thread)
        await kit.open()
        return kit

    for running in run_server(tmp_path / "api.sock", FakeEngine()):

        async def route(running: Running = running) -> None:
            wire = BuildKitWire(make)
            wire.add(running.server.router)
            running.server.http2 = wire.protocol

        running.call(route())
        yield Site(running, builder, folder)
