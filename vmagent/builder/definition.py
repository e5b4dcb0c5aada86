"""What a build consisted of, for its provenance: each source and each step that made a layer, with what it used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmagent.builder.imagestate import ImageState
from vmagent.dockerfile import tree
from vmagent.dockerfile.errors import Lines

Key = tuple[int, int, str]  # the stage's number, the step's in it, and the name of a source, whose numbers are -1


@dataclass(frozen=True, slots=True)
class Source:
    """An image, a folder of the client, or another context; `identifier` as BuildKit writes it: `docker-image://…`."""

    identifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """A RUN. `mounts`: (type, target, whether it is read-only); of the step's own root file system none is listed."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    network: str
    is_insecure: bool
    mounts: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A COPY, an ADD, or a WORKDIR, which has no sources."""

    sources: tuple[str, ...]
    destination: str
    chown: str
    chmod: str
    is_add: bool


@dataclass(frozen=True, slots=True)
class DefinedStep:
    """`inputs`: what it used, the file system below it first. `lines`: of the Dockerfile; None for a source."""

    key: Key
    what: Source | Exec | Files
    inputs: tuple[Key, ...]
    platform: str
    lines: Lines | None = None


class Definition:
    """The steps of a build for one platform, as they are done; of stages that run at the same time, too."""

    def __init__(self, platform: str) -> None:
        self._platform = platform
        self._steps: dict[Key, DefinedStep] = {}
        self._last: dict[int, Key] = {}  # by stage; a stage on nothing has none before its first step
        self._counts: dict[int, int] = {}

    def source(self, identifier: str) -> Key:
        key = (-1, -1, identifier)
        self._steps.setdefault(key, DefinedStep(key, Source(identifier), (), self._platform))
        return key

    def begin(self, stage: int, base: Key | None) -> None:
        """The stage is based on `base`; None: on nothing."""
        if base is not None:
            self._last[stage] = base

    def end_of(self, stage: int) -> Key | None:
        """The step of the stage so far; None if it has none."""
        return self._last.get(stage)

    def step(self, stage: int, what: Exec | Files, lines: Lines, used: Sequence[Key | None]) -> None:
        """A step on top of the one before it."""
        number = self._counts[stage] = self._counts.get(stage, 0) + 1
        key = (stage, number, "")
        inputs = [one for one in (self._last.get(stage), *used) if one is not None]
        self._steps[key] = DefinedStep(key, what, tuple(dict.fromkeys(inputs)), self._platform, lines)
        self._last[stage] = key

    def steps(self) -> tuple[DefinedStep, ...]:
        """In an order in which each comes after its inputs: a stage uses only earlier ones."""
        return tuple(self._steps[key] for key in sorted(self._steps))


def exec_of(found: tree.Run, words: Sequence[str], state: ImageState, network: str) -> Exec:
    """A RUN that is expanded, with the words that are executed."""
    return Exec(
        args=tuple(words),
        env=tuple(f"{key}={value}" for key, value in state.scope.env.items()),
        cwd=state.cwd,
        user=state.user,
        network=network,
        is_insecure=found.security == "insecure",
        mounts=tuple((mount.type, mount.target, mount.readonly) for mount in found.mounts),
    )


def files_of(found: tree.Copy | tree.Add | tree.Workdir, state: ImageState) -> Files:
    """A COPY, ADD or WORKDIR that is expanded."""
    if isinstance(found, tree.Workdir):
        return Files(sources=(), destination=state.absolute(found.path), chown=state.user, chmod="", is_add=False)
    return Files(
        sources=(*found.sources, *(f"<<{heredoc.name}" for heredoc in found.contents)),
        destination=state.absolute(found.destination),
        chown=found.chown,
        chmod=found.chmod,
        is_add=isinstance(found, tree.Add),
    )
