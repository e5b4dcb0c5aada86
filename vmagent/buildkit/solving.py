"""One solve of the Dockerfile frontend: options in, what the builder made out."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from grpclib.const import Status as Code
from grpclib.exceptions import GRPCError

from vmagent.builder.progress import Progress, Vertex, VertexStatus
from vmagent.builder.remotes import RemoteContext, Remotes, is_remote
from vmagent.builder.reporting import Report
from vmagent.builder.request import (
    BuildError,
    BuildRequest,
    Context,
    ImageContext,
    InvalidBuild,
    LoadableImage,
    NamedContext,
    Received,
    Secrets,
    Selection,
    SshAgents,
)
from vmagent.builder.result import BuildResult, Fetched
from vmagent.buildkit import exports, frontend, layouts, subrequests
from vmagent.buildkit import messages as pb
from vmagent.buildkit.attachments import SessionAgents, SessionCredentials, SessionSecrets
from vmagent.buildkit.builds import source_detail
from vmagent.buildkit.caches import SessionCaches, wants_inline
from vmagent.buildkit.content import SessionContent
from vmagent.buildkit.contexts import KeptFolders, SessionFolder
from vmagent.buildkit.filesync import OnDisk
from vmagent.buildkit.jobs import Job
from vmagent.buildkit.status import StatusLog
from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.lint import Checked
from vmagent.errors import EngineError
from vmagent.images.layer import Expected

MAX_DOCKERFILE = 16 << 20  # bytes
_REQUEST_DETAIL = "github.com/moby/buildkit/errdefs.Subrequest+json"


class Builds(Protocol):
    """The builder, as far as this package uses it."""

    async def check(self, request: BuildRequest) -> Checked:
        """Raises EngineError."""

    def remotes(self, secrets: Secrets | None, ssh: SshAgents | None) -> AbstractAsyncContextManager[Remotes]:
        """What fetches contexts, until the exit."""

    def remote_context(self, remotes: Remotes, source: str, subdir: str = "") -> RemoteContext:
        """Raises DockerfileError."""

    async def take_image_layers(
        self, layers: Sequence[tuple[Expected, str]], read: Callable[[str], AsyncIterator[bytes]]
    ) -> None:
        """Raises EngineError."""

    async def build(self, request: BuildRequest, progress: Progress) -> BuildResult:
        """Raises EngineError, mostly BuildError."""


class Solver:
    """Solves for all jobs."""

    def __init__(self, builder: Builds, caches: SessionCaches, kept: KeptFolders, on_disk: OnDisk) -> None:
        self._builder, self._caches, self._kept, self._on_disk = builder, caches, kept, on_disk

    async def answer(self, job: Job, name: str, options: Mapping[str, str]) -> subrequests.Metadata:
        """The answer to the question in `requestid`. Raises GRPCError or EngineError."""
        frontend.check_frontend(name, options)
        question = options.get("requestid", "")
        if question == subrequests.DESCRIBE:
            return subrequests.describe()
        if question not in (subrequests.OUTLINE, subrequests.TARGETS, subrequests.LINT):
            raise _unsupported(question)
        folders = _Folders(job, self._builder, self._kept, self._on_disk)
        try:
            request = await _made_request(job, options, folders)
            try:
                if question == subrequests.OUTLINE:
                    return subrequests.outlined(request)
                if question == subrequests.TARGETS:
                    return subrequests.listed_targets(request)
                return subrequests.linted(request, await self._builder.check(request))
            except DockerfileError as e:
                raise GRPCError(Code.UNKNOWN, str(e), _details(e.lines, request)) from e
        finally:
            await folders.close()

    async def solve(
        self, job: Job, name: str, options: Mapping[str, str], imports: Sequence[pb.CacheOptionsEntry] = ()
    ) -> BuildResult:
        """`imports`: caches beside those of the options and of the job's request.

        Raises GRPCError or EngineError; the details of a failed build's error show the place in the Dockerfile."""
        frontend.check_frontend(name, options)
        frontend.check_options(options)
        exports.check(job.request, options)
        job.frontend, job.options = name, dict(options)
        folders = _Folders(job, self._builder, self._kept, self._on_disk)
        try:
            sources = self._caches.sources(job.session, options, [*job.request.Cache.Imports, *imports])
            request = replace(
                await _made_request(job, options, folders),
                cache_from=sources,
                inline_cache=wants_inline(job.request, options),
            )
            job.status.source = _source(request)
            try:
                result = await job.work(self._builder.build(request, job.status))
                job.contexts = folders.fetched()
                return result
            except DockerfileError as e:
                raise GRPCError(Code.UNKNOWN, str(e), _details(e.lines, request)) from e
            except BuildError as e:
                lines = Lines(e.line, e.line) if e.line else None
                raise GRPCError(Code.UNKNOWN, str(e), _details(lines, request)) from e
        finally:
            await folders.close()


class _Folders:
    """The client's folders that one solve uses, by name, and the contexts that the engine fetches."""

    def __init__(self, job: Job, builder: Builds, kept: KeptFolders, on_disk: OnDisk) -> None:
        self._job, self._builder, self._kept, self._on_disk = job, builder, kept, on_disk
        self._made: dict[str, SessionFolder] = {}
        self._remotes: Remotes | None = None
        self._stack = AsyncExitStack()
        self._contexts: dict[str, RemoteContext] = {}

    def fetched(self) -> dict[str, Fetched]:
        """What the contexts are that the engine has fetched, by what the client calls them."""
        return {source: one.fetched for source, one in self._contexts.items() if one.fetched is not None}

    def get(self, name: str) -> SessionFolder:
        if name not in self._made:
            self._made[name] = SessionFolder(self._job.session, name, self._kept, self._on_disk)
        return self._made[name]

    async def remote(self, source: str, subdir: str = "") -> RemoteContext:
        """Raises DockerfileError."""
        if self._remotes is None:
            secrets, agents = SessionSecrets(self._job.session), SessionAgents(self._job.session)
            self._remotes = await self._stack.enter_async_context(self._builder.remotes(secrets, agents))
        context = self._builder.remote_context(self._remotes, source, subdir)
        self._stack.push_async_callback(context.close)
        self._contexts[source] = context
        return context

    def layout(self, source: str) -> LoadableImage:
        """An image in an OCI layout of the client. Raises InvalidBuild."""
        store, digest = layouts.store_and_digest(source)
        content = SessionContent(self._job.session, f"oci:{store}", self._on_disk)
        take = self._builder.take_image_layers
        return LoadableImage(lambda platform: layouts.load(content, digest, platform, take))

    async def close(self) -> None:
        await self._stack.aclose()
        for folder in self._made.values():
            await folder.close()


@dataclass(frozen=True, slots=True)
class _MainContext:
    """The main context. NAME.dockerignore lies beside the Dockerfile, which may be in another folder."""

    files: SessionFolder
    beside: SessionFolder
    dockerfile_name: str

    async def read(self, path: str, limit_bytes: int) -> bytes | None:
        if path == f"{self.dockerfile_name}.dockerignore":
            return await self.beside.read(path, limit_bytes)
        return await self.files.read(path, limit_bytes)

    async def digest(self, selection: Selection, received: Received) -> str:
        return await self.files.digest(selection, received)

    async def fetch(self, selection: Selection, received: Received) -> Path:
        return await self.files.fetch(selection, received)


async def _made_request(job: Job, options: Mapping[str, str], folders: _Folders) -> BuildRequest:
    """Raises GRPCError, EngineError."""
    try:
        return await _request(job, options, folders)
    except DockerfileError as e:  # of a context's name
        raise InvalidBuild(str(e)) from e


async def _request(job: Job, options: Mapping[str, str], folders: _Folders) -> BuildRequest:
    name = options.get("filename", "") or "Dockerfile"
    context: Context
    if remote := options.get("context", ""):
        context = fetched = await folders.remote(remote, options.get("contextsubdir", ""))
        if key := options.get("dockerfilekey", ""):
            dockerfile = await _load_dockerfile(job.status, folders.get(key), name)
        else:
            dockerfile, name = await _remote_dockerfile(job.status, fetched, name)
    else:
        beside = folders.get(options.get("dockerfilekey", "") or "dockerfile")
        context = _MainContext(folders.get(options.get("contextkey", "") or "context"), beside, name)
        dockerfile = await _load_dockerfile(job.status, beside, name)
    build_args = frontend.prefixed(options, "build-arg:")
    no_cache, no_cache_stages = frontend.no_cache(options)
    entitlements = set(job.request.Entitlements)
    return BuildRequest(
        dockerfile=dockerfile,
        dockerfile_name=name,
        context=context,
        contexts=await _named_contexts(options, folders),
        target=options.get("target", ""),
        build_args=build_args,
        labels=frontend.prefixed(options, "label:"),
        platforms=frontend.platforms(options),
        no_cache=no_cache,
        no_cache_stages=no_cache_stages,
        pull=options.get("image-resolve-mode", "") == "pull",
        network=options.get("force-network-mode", ""),
        extra_hosts=frontend.extra_hosts(options),
        shm_size=frontend.shm_size(options),
        ulimits=frontend.ulimits(options),
        cgroup_parent=options.get("cgroup-parent", ""),
        allow_insecure="security.insecure" in entitlements,
        allow_host_network="network.host" in entitlements,
        source_date_epoch=frontend.source_date_epoch(build_args),
        secrets=SessionSecrets(job.session),
        ssh=SessionAgents(job.session),
        credentials=SessionCredentials(job.session),
    )


async def _named_contexts(options: Mapping[str, str], folders: _Folders) -> dict[str, NamedContext]:
    """`context:NAME` to where it comes from. Raises InvalidBuild, DockerfileError."""
    made: dict[str, NamedContext] = {}
    for name, source in frontend.prefixed(options, "context:").items():
        scheme, colon, rest = source.partition(":")
        if scheme == "docker-image" and rest.startswith("//"):
            made[name] = ImageContext(rest.removeprefix("//"))
        elif scheme == "local" and colon:
            made[name] = folders.get(rest)
        elif scheme == "oci-layout":
            made[name] = folders.layout(rest)
        elif is_remote(source):
            made[name] = await folders.remote(source)
        else:
            raise InvalidBuild(f"unsupported context source {scheme} for {name}")
    return made


async def _load_dockerfile(status: StatusLog, folder: SessionFolder, name: str) -> bytes:
    """Raises InvalidBuild if it is missing."""
    title = f"[internal] load build definition from {name}"
    digest = f"sha256:{sha256(title.encode()).hexdigest()}"
    started = time.time_ns()
    status.vertex(Vertex(digest=digest, name=title, started_ns=started))
    error, data = "", None
    # Both are read in one transfer; the second is asked for when the context is read.
    wanted = [name, f"{name}.dockerignore"]
    if name == "Dockerfile":
        wanted.append("dockerfile")
    try:
        read = await folder.read_some(wanted, MAX_DOCKERFILE)
        data = read[name] if read[name] is not None else read.get("dockerfile")
        if data is None:
            error = f"failed to read dockerfile: open {name}: no such file or directory"
    except EngineError as e:
        error = f"failed to read dockerfile: {e}"
    except OSError as e:  # a full disk
        error = f"failed to read dockerfile: {(e.strerror or str(e)).lower()}"
    ended = time.time_ns()
    size = len(data or b"")
    if data is not None:
        status.status(
            VertexStatus(
                vertex=digest,
                id="transferring dockerfile:",
                current=size,
                at_ns=ended,
                started_ns=started,
                completed_ns=ended,
            )
        )
    status.vertex(Vertex(digest=digest, name=title, started_ns=started, completed_ns=ended, error=error))
    if data is None:
        raise InvalidBuild(error)
    return data


async def _remote_dockerfile(status: StatusLog, context: RemoteContext, name: str) -> tuple[bytes, str]:
    """Of a context that the engine fetches: its text and its name. Raises InvalidBuild."""
    title = "load remote build context"
    vertex = Vertex(digest=f"sha256:{sha256(title.encode()).hexdigest()}", name=title)
    report = Report(status, vertex)
    report.start()
    try:
        name = await context.dockerfile_name(name)
        data = await context.read(name, MAX_DOCKERFILE)
        if data is None and name == "Dockerfile":
            data = await context.read("dockerfile", MAX_DOCKERFILE)
        if data is None:
            raise InvalidBuild(f"failed to read dockerfile: open {name}: no such file or directory")
    except BaseException as e:
        report.complete(error=str(e) or "context canceled")
        raise
    report.complete()
    return data, name


def _unsupported(question: str) -> GRPCError:
    detail = pb.Detail(type_url=_REQUEST_DETAIL, value=json.dumps({"name": question}).encode())
    return GRPCError(Code.UNIMPLEMENTED, f"unsupported request {question}", [detail])


def _source(request: BuildRequest) -> pb.SourceInfo:
    return pb.SourceInfo(filename=request.dockerfile_name, data=request.dockerfile, language="Dockerfile")


def _details(lines: Lines | None, request: BuildRequest) -> list[pb.Detail]:
    return [] if lines is None else [source_detail(lines, request.dockerfile_name, request.dockerfile)]
