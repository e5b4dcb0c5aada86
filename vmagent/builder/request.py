"""What a front gives to the builder: the request, and where its files, secrets and ssh agents come from.

The three sources are interfaces, since they differ between the wires: a tar that the client uploads with `POST /build`,
or a session through which the engine fetches what a build uses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vmagent.builder.cachedocument import CachedStep
from vmagent.errors import BadRequest, EngineError
from vmagent.images.platforms import Platform


class BuildError(EngineError):
    """A build failed; `str(self)` is the message for the user."""

    def __init__(
        self, message: str, *, line: int = 0, exit_code: int | None = None, command: tuple[str, ...] = ()
    ) -> None:
        """`line`: of the Dockerfile, from 1; 0 if unknown. `command`, `exit_code`: of the RUN that failed."""
        super().__init__(message)
        self.line = line
        self.exit_code = exit_code
        self.command = command


class InvalidBuild(BuildError, BadRequest):
    """The request or the Dockerfile is invalid: 400."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files of a context a build uses. Patterns are those of .dockerignore, relative to the context's root."""

    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()  # paths that steps copy; empty: all
    follow: tuple[str, ...] = ()  # paths whose symbolic links are resolved, so that the targets are included too


Received = Callable[[int], None]  # called with the number of bytes received so far


class Context(Protocol):
    """A tree of files: the main context, or a named one (`--build-context name=DIR`)."""

    async def read(self, path: str, limit_bytes: int) -> bytes | None:
        """The content of one file; None if there is no such file. Raises EngineError."""

    async def digest(self, selection: Selection, received: Received) -> str:
        """What tells the selected files from others: never the same for files of which a build could see a difference.

        "": unknown. It may differ for equal files. The files need not have arrived for it. Raises EngineError.
        """

    async def fetch(self, selection: Selection, received: Received) -> Path:
        """A folder of the engine with the selected files; nothing changes it until the build has ended.

        The context removes it, or keeps it. Owners on disk do not matter. Raises EngineError.
        """


@dataclass(frozen=True, slots=True)
class ImageContext:
    """A named context that is an image: `--build-context name=docker-image://REF`."""

    reference: str


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image whose layers are in the image store, at least until the build ends."""

    config: Mapping[str, Any]
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadableImage:
    """A named context that is an image of the client's: `--build-context name=oci-layout://FOLDER`.

    `load` raises EngineError.
    """

    load: Callable[[Platform], Awaitable[LoadedImage]]


NamedContext = Context | ImageContext | LoadableImage


class Secrets(Protocol):
    """What `RUN --mount=type=secret` mounts."""

    async def get(self, secret_id: str) -> bytes | None:
        """The secret's content; None if the client has no such secret. Raises EngineError."""


class SshAgents(Protocol):
    """What `RUN --mount=type=ssh` forwards."""

    async def has(self, agent_id: str) -> bool:
        """Whether the client offers this agent (`default` without `--ssh id=…`)."""

    async def forward(self, agent_id: str, connection_fd: int) -> None:
        """Carry bytes between the socket `connection_fd` and the client's agent, until either end closes it.

        The caller closes the descriptor. Raises EngineError.
        """


class Credentials(Protocol):
    """What the client knows about registries."""

    async def get(self, registry: str) -> Mapping[str, Any]:
        """docker's AuthConfig for a registry's host name (docker.io: the Hub); {} if there is none.

        Raises EngineError.
        """


@dataclass(frozen=True, slots=True)
class RegistryCache:
    """A build cache at a registry, or an image that holds one."""

    reference: str


@dataclass(frozen=True, slots=True)
class CacheExport:
    """A cache that a build writes. `everything`: also of steps whose layers are in no image (mode `max`)."""

    target: RegistryCache
    everything: bool
    ignores_errors: bool = False


class CacheSource(Protocol):
    """A cache that a build imports."""

    @property
    def title(self) -> str:
        """As the progress names it."""

    async def steps(self) -> Sequence[CachedStep]:
        """Raises EngineError, ValueError for what is no cache."""

    async def fetch(self, step: CachedStep, folder: Path) -> None:
        """Bring the step's layer into a new ingest folder, flushed. Raises EngineError."""


@dataclass(frozen=True, slots=True)
class Ulimit:
    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of each RUN step; 0 or "": none. Sizes in bytes, CPU times in microseconds as in the Engine API."""

    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One build. Strings are as the user gave them, after the client's own parsing."""

    dockerfile: bytes
    dockerfile_name: str = "Dockerfile"  # for messages, and for NAME.dockerignore
    context: Context | None = None  # None: the build has no files (`docker build - < Dockerfile`)
    contexts: Mapping[str, NamedContext] = field(default_factory=dict)
    target: str = ""  # name or number of the stage; "": the last one
    build_args: Mapping[str, str] = field(default_factory=dict)
    proxies: Mapping[str, str] = field(default_factory=dict)  # predefined arguments where build_args have none
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()  # `os/arch[/variant]`; empty: the engine's own
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()  # `--no-cache-filter`
    pull: bool = False  # ask the registry for each base image, even if the store has it
    network: str = ""  # default for RUN: "", "default", "bridge", "none", "host", or a network's name
    extra_hosts: tuple[str, ...] = ()  # NAME:ADDRESS
    shm_size: int = 0  # bytes; 0: docker's 64 MiB
    ulimits: tuple[Ulimit, ...] = ()
    limits: Limits = NO_LIMITS
    cgroup_parent: str = ""
    allow_insecure: bool = False  # the entitlement security.insecure
    allow_host_network: bool = True  # the entitlement network.host
    source_date_epoch: int | None = None  # seconds since 1970 for every time in the image
    cache_from: tuple[RegistryCache | CacheSource, ...] = ()
    inline_cache: bool = False  # the images hold the cache of their steps
    secrets: Secrets | None = None
    ssh: SshAgents | None = None
    credentials: Credentials | None = None
