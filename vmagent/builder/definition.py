"""What a build consisted of, for its provenance: each source and each step that made a layer, with what it used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vmagent.builder.imagestate import ImageState
from vmagent.builder.request import ImageContext, LoadableImage, NamedContext
from vmagent.dockerfile import stages, tree
from vmagent.dockerfile.errors import Lines
from vmagent.images.reference import Reference

Key = tuple[int, int, str]  # the stage's number, the step's in it, and the name of a source, whose numbers are -1


@dataclass(frozen=True, slots=True)
class Source:
    """An image, a folder of the client, or another context; `identifier` as BuildKit writes it: `docker-image://…`."""

    identifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """A RUN. `mounts`: (type, target, whether it is read-only); the step's own root file system is not one of them."""

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


@dataclass(frozen=True, slots=True)
class DefinedStep:
    """`below`: the file system that it changes; None for an empty one. `used`: what each source of `Files`, or each
    mount of `Exec`, shows; None for what is of no other step. `lines`: of the Dockerfile; None for a source."""

    key: Key
    what: Source | Exec | Files
    platform: str
    below: Key | None = None
    used: tuple[Key | None, ...] = ()
    lines: Lines | None = None

    @property
    def inputs(self) -> tuple[Key, ...]:
        """All that it used, each once; what is below it first."""
        return tuple(dict.fromkeys(one for one in (self.below, *self.used) if one is not None))


class Definition:
    """The steps of a build for one platform, as they are done; of stages that run at the same time, too.

    The instructions that it is told are expanded.
    """

    def __init__(self, platform: str, dockerfile: tree.Dockerfile, contexts: Mapping[str, NamedContext]) -> None:
        """`contexts`: the build's named ones."""
        self._platform, self._dockerfile, self._contexts = platform, dockerfile, contexts
        self._steps: dict[Key, DefinedStep] = {}
        self._last: dict[int, Key] = {}  # by stage; a stage on nothing has none before its first step
        self._counts: dict[int, int] = {}

    def begin(self, stage: int, base: stages.Base) -> None:
        """The stage is based on `base`, which is done if it is a stage."""
        below = self._last.get(base.stage) if base.stage is not None else self._tree(base.name)
        if below is not None:
            self._last[stage] = below

    def ran(self, stage: int, found: tree.Run, words: Sequence[str], network: str, state: ImageState) -> None:
        """A RUN on `state`, with the words that were executed, after all that it used."""
        what = Exec(
            args=tuple(words),
            env=tuple(f"{key}={value}" for key, value in state.scope.env.items()),
            cwd=state.cwd,
            user=state.user,
            network=network,
            is_insecure=found.security == "insecure",
            mounts=tuple((mount.type, mount.target, mount.readonly) for mount in found.mounts),
        )
        used = [self._named(found, mount.from_) if mount.shows_files else None for mount in found.mounts]
        self._step(stage, what, found.lines, used)

    def copied(self, stage: int, found: tree.Copy | tree.Add | tree.Workdir, state: ImageState) -> None:
        """A COPY, ADD or WORKDIR on `state`, after all that it used."""
        if isinstance(found, tree.Workdir):
            made = Files(sources=(), destination=state.absolute(found.path), chown=state.user, chmod="")
            self._step(stage, made, found.lines, ())
            return
        what = Files(
            sources=(*found.sources, *(f"<<{heredoc.name}" for heredoc in found.contents)),
            destination=state.absolute(found.destination),
            chown=found.chown,
            chmod=found.chmod,
        )
        used = [*(self._source_of(found, source) for source in found.sources), *(None for _ in found.contents)]
        self._step(stage, what, found.lines, used)

    def steps(self) -> tuple[DefinedStep, ...]:
        """In an order in which each comes after its inputs: a stage uses only earlier ones."""
        return tuple(self._steps[key] for key in sorted(self._steps))

    def _step(self, stage: int, what: Exec | Files, lines: Lines, used: Sequence[Key | None]) -> None:
        """A step on top of the one before it. `used`: see `DefinedStep`."""
        number = self._counts[stage] = self._counts.get(stage, 0) + 1
        key = (stage, number, "")
        self._steps[key] = DefinedStep(key, what, self._platform, self._last.get(stage), tuple(used), lines)
        self._last[stage] = key

    def _source(self, identifier: str) -> Key:
        key = (-1, -1, identifier)
        self._steps.setdefault(key, DefinedStep(key, Source(identifier), self._platform))
        return key

    def _source_of(self, found: tree.Copy | tree.Add, source: str) -> Key | None:
        """What a source of COPY or ADD is of."""
        if isinstance(found, tree.Copy):
            return self._named(found, found.from_)
        return self._source(source) if source in found.fetched else self._named(found, "")

    def _named(self, found: tree.Instruction, name: str) -> Key | None:
        """What `--from=name` means, "" the main context; None for an empty tree."""
        if not name:
            return self._source("local://context")
        if name not in self._contexts:
            for known, index in stages.sources(self._dockerfile, found):
                if known == name and index is not None:
                    return self._last.get(index)
        return self._tree(name)

    def _tree(self, name: str) -> Key | None:
        """The image or the context that `name` means where it means no stage; None for an empty tree."""
        named = self._contexts.get(name)
        if named is not None and not isinstance(named, ImageContext):
            return self._source(f"{'oci-layout' if isinstance(named, LoadableImage) else 'local'}://{name}")
        image = named.reference if named is not None else name
        if image == "scratch":
            return None
        return self._source(f"docker-image://{Reference.parse(image).with_default_tag().key}")
