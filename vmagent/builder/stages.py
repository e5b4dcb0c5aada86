"""One build for one platform: its stages run at the same time, each instruction after the other.

A stage waits for another one only where it uses it. What the target does not need, directly or not, never runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from vmagent.builder import imagestate
from vmagent.builder.bases import Bases
from vmagent.builder.cache import key_of
from vmagent.builder.checking import check
from vmagent.builder.contexts import Contexts, Root
from vmagent.builder.definition import Definition
from vmagent.builder.imagestate import ImageState, is_metadata
from vmagent.builder.layering import Layering, Made, Workspace
from vmagent.builder.mounting import Mounting
from vmagent.builder.progress import Progress, Step, Vertex
from vmagent.builder.remotes import Remotes, added
from vmagent.builder.reporting import CANCELED, Report
from vmagent.builder.request import BuildError, BuildRequest, ImageContext, InvalidBuild, LoadableImage
from vmagent.builder.result import Fetched
from vmagent.builder.running import Command, Runner
from vmagent.dockerfile import expand, lint, stages, tree
from vmagent.dockerfile.giturl import GitSource
from vmagent.dockerfile.parser import parse_trigger
from vmagent.errors import EngineError
from vmagent.images.config import MAX_LAYERS
from vmagent.images.platforms import Platform

_EXPANDED = frozenset("$\\`\"'")
_FULL_BYTES = 1 << 20  # a disk with less left counts as full


class Stages:
    """The stages of one build. `run` gives the target's image."""

    def __init__(
        self,
        request: BuildRequest,
        dockerfile: tree.Dockerfile,
        platform: Platform,
        *,
        layering: Layering,
        workspace: Workspace,
        contexts: Contexts,
        bases: Bases,
        runner: Runner,
        secrets_folder: Path,
        progress: Progress,
        shows_platform: bool,
    ) -> None:
        """`definition` and `fetched`: what it consisted of so far, and what ADD has fetched. Raises DockerfileError."""
        self._request, self._dockerfile, self._platform = request, dockerfile, platform
        self._layering, self._workspace, self._contexts = layering, workspace, contexts
        self._images, self._runner, self._progress = bases, runner, progress
        self._prefix = f"{platform} " if shows_platform else ""
        host = str(Platform.host())
        given = dict(request.build_args)
        self._predefined = expand.predefined_arguments(host, str(platform), request.target, given)
        self._arguments = expand.global_scope(dockerfile, given, self._predefined)
        self._base_images: dict[int, lint.BaseImage] = {}
        names = request.contexts.keys()
        self._bases = stages.bases(dockerfile, self._arguments, names)
        self._target = stages.target_stage(dockerfile, request.target)
        self._needed = sorted(stages.needed_stages(dockerfile, self._bases, self._target, names))
        stages.check_references(dockerfile, self._needed, names)
        self._foreseen = [
            [*one.sources]
            for index in self._needed
            for one in dockerfile.stages[index].instructions
            if isinstance(one, tree.Copy) and _is_literal(one)
        ]
        self.definition = Definition(str(platform), dockerfile, request.contexts)
        self.fetched: list[Fetched] = []
        self._tasks: dict[int, asyncio.Task[ImageState]] = {}
        self._group: asyncio.TaskGroup
        self._remotes = Remotes(layering, workspace.path("remotes"), request.secrets, request.ssh)
        self._mounting = Mounting(layering, workspace, request, secrets_folder)
        self._total = sum(1 + len(dockerfile.stages[index].instructions) for index in self._needed)
        self._first: dict[int, int] = {}
        number = 1
        for index in self._needed:
            self._first[index] = number
            number += 1 + len(dockerfile.stages[index].instructions)

    async def run(self) -> ImageState:
        """Build all needed stages. Raises BuildError, DockerfileError, EngineError: the first failure."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for index in self._needed:
                    self._task(index)
        except BaseExceptionGroup as failures:
            first = failures.exceptions[0]
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None
        finally:
            await self._mounting.close()
        self._check()
        return self._tasks[self._target].result()

    def _task(self, index: int) -> asyncio.Task[ImageState]:
        """What builds a stage. One that only a trigger of a base image names begins when it is asked for."""
        if index not in self._tasks:
            self._tasks[index] = self._group.create_task(self._stage(index), name=f"stage {index}")
        return self._tasks[index]

    def _check(self) -> None:
        """Report the build checks' warnings. They come last, because they know the base images by then."""
        check(
            self._dockerfile,
            given=self._request.build_args,
            predefined=self._predefined,
            images=self._base_images,
            stages=self._needed,
            platform=str(self._platform),
            progress=self._progress,
        )

    # --- one stage

    async def _stage(self, index: int) -> ImageState:
        stage = self._dockerfile.stages[index]
        layered = 1 + sum(not is_metadata(one) for one in stage.instructions)
        counter = iter(range(1, layered + 1))
        label = self._label(stage, next(counter), layered)
        state, was_cached = await self._from(stage, label)
        number = self._first.get(index)
        for trigger in state.inner.get("OnBuild") or ():
            instruction = parse_trigger(trigger, stage.lines)
            stages.check_trigger(self._dockerfile, self._bases, stage, instruction, self._request.contexts.keys())
            state, was_cached = await self._step(stage, instruction, state, label, None, was_cached=was_cached)
        if state.inner.get("OnBuild"):
            state = state.with_config("", OnBuild=None)
        for instruction in stage.instructions:
            number = None if number is None else number + 1
            step = self._numbered(number, stage, instruction)
            if not is_metadata(instruction):
                label = self._label(stage, next(counter), layered)
            state, was_cached = await self._step(stage, instruction, state, label, step, was_cached=was_cached)
        return state

    def _numbered(self, number: int | None, stage: tree.Stage, instruction: tree.Instruction) -> Step | None:
        """The step of the classic wire; None in a stage that was not known to be needed when steps were counted."""
        if number is None:
            return None
        return Step(number, self._total, instruction.text, instruction.lines.first, stage.name or str(stage.index))

    def _label(self, stage: tree.Stage, number: int, total: int) -> str:
        """`[build 2/5]`: what stands before the instruction in BuildKit's progress."""
        name = f"{stage.name or f'stage-{stage.index}'} " if len(self._dockerfile.stages) > 1 else ""
        return f"[{self._prefix}{name}{number}/{total}]"

    async def _from(self, stage: tree.Stage, label: str) -> tuple[ImageState, bool]:
        base = self._bases[stage.index]
        step = self._numbered(self._first.get(stage.index), stage, stage)
        vertex = Vertex(
            digest=f"sha256:{key_of('from', stage.index, str(self._platform))}",
            name=f"{label} FROM {base.name}",
            step=step,
        )
        report = Report(self._progress, vertex)
        with _reported(report, stage):
            if base.stage is not None:
                state = imagestate.of_stage(await self._task(base.stage))
            else:
                report.start()
                state = await self._base(base, report)
                shell = bool(state.inner.get("Shell"))
                self._base_images[stage.index] = lint.BaseImage(dict(state.scope.env), shell)
            self.definition.begin(stage.index, base)
            report.complete(cached=True, image_id=state.image_id)
        return state, True

    async def _base(self, base: stages.Base, report: Report) -> ImageState:
        platform = Platform.parse(base.platform) if base.platform else self._platform
        epoch = self._request.source_date_epoch
        named = self._request.contexts.get(base.name)
        if isinstance(named, LoadableImage):
            loaded = await named.load(platform)
            return imagestate.of_image(loaded.config, loaded.layers, epoch)
        if named is None and base.name == "scratch":
            return imagestate.empty(platform, epoch)
        if named is not None and not isinstance(named, ImageContext):
            raise InvalidBuild(f"failed to solve: {base.name}: a stage cannot be based on a local build context")
        name = named.reference if isinstance(named, ImageContext) else base.name
        image = await self._images.get(name, platform, report)
        return imagestate.of_image(image.config, image.layers, epoch)

    # --- one instruction

    async def _step(
        self,
        stage: tree.Stage,
        instruction: tree.Instruction,
        state: ImageState,
        label: str,
        step: Step | None,
        *,
        was_cached: bool,
    ) -> tuple[ImageState, bool]:
        text = instruction.text
        vertex = Vertex(
            digest=f"sha256:{key_of('step', stage.index, instruction.lines.first, text, label, str(self._platform))}",
            name=f"{label} {text}",
            step=step,
            is_metadata=is_metadata(instruction),
        )
        report = Report(self._progress, vertex)
        with _reported(report, instruction):
            expanded = expand.step(instruction, state.scope, self._arguments, self._dockerfile.escape)
            found = expanded.instruction
            if is_metadata(found):
                after = imagestate.apply(state, found, expanded.scope)
                report.complete(cached=was_cached, image_id=after.image_id)
                return after, was_cached
            after, cached = await self._layered(stage, found, replace(state, scope=expanded.scope), report)
            report.complete(cached=cached, image_id=after.image_id)
            return after, cached

    async def _layered(
        self, stage: tree.Stage, found: tree.Instruction, state: ImageState, report: Report
    ) -> tuple[ImageState, bool]:
        name = stage.name or str(stage.index)
        uses_cache = not (self._request.no_cache or name in self._request.no_cache_stages)
        match found:
            case tree.Workdir():
                self.definition.copied(stage.index, found, state)
                return await self._workdir(found, state, report, uses_cache=uses_cache)
            case tree.Run():
                words, network = _words(found, state), self._network(found)
                made = await self._run(found, words, network, state, report, uses_cache=uses_cache)
                self.definition.ran(stage.index, found, words, network, state)
                return made
            case tree.Copy() | tree.Add():
                made = await self._copy(found, state, report, uses_cache=uses_cache)
                self.definition.copied(stage.index, found, state)
                return made
        raise ValueError(f"{found.keyword} makes no layer")

    def _with(self, state: ImageState, made: Made, created_by: str, report: Report) -> tuple[ImageState, bool]:
        report.settling = made.settling
        if len(state.layers) >= MAX_LAYERS:
            raise BuildError("max depth exceeded")
        epoch = self._request.source_date_epoch
        created = made.record.created if epoch is None else imagestate.rfc3339(epoch)
        return state.with_layer(made.record.layer, created_by, created), made.cached

    async def _lowers(self, layers: Sequence[str]) -> list[str]:
        return await self._layering.store.stack_lowers(layers)

    async def _workdir(
        self, found: tree.Workdir, state: ImageState, report: Report, *, uses_cache: bool
    ) -> tuple[ImageState, bool]:
        path = state.absolute(found.path).rstrip("/") or "/"
        state = state.with_config("", WorkingDir=path)
        if path == "/":
            return state.with_config(f"WORKDIR {path}"), True

        async def make(folder: Path) -> dict[str, Any]:
            report.start()
            job = self._workspace.job("mkdir", folder, await self._lowers(state.layers))
            return await self._layering.run(job | {"destination": path, "chown": state.user, "epoch": self._epoch})

        key = key_of("workdir", state.chain, path, state.user, self._epoch)
        made = await self._layering.layer(key, f"WORKDIR {path}", self._workspace, make, use_cache=uses_cache)
        return self._with(state, made, f"WORKDIR {path}", report)

    @property
    def _epoch(self) -> int | None:
        return self._request.source_date_epoch

    # --- RUN

    async def _run(
        self,
        found: tree.Run,
        words: Sequence[str],
        network: str,
        state: ImageState,
        report: Report,
        *,
        uses_cache: bool,
    ) -> tuple[ImageState, bool]:
        env = [f"{key}={value}" for key, value in state.scope.env.items()]
        if found.security == "insecure" and not self._request.allow_insecure:
            raise InvalidBuild("security.insecure is not allowed")
        for device in found.devices:  # no CDI device is registered here; one that is not required may be missing
            if device.required:
                raise InvalidBuild(f'required device "{device.name}" is not registered')
        sources = [await self._mount_root(found, mount, report) for mount in found.mounts]
        plan = await self._mounting.plan(found, sources, state.cwd, stages.run_script(found), self._named_layers)
        request = self._request
        key = key_of(
            *("run", state.chain, words, env, state.cwd, state.user, plan.key, network, found.security, self._epoch),
            *(request.extra_hosts, request.shm_size, [(one.name, one.soft, one.hard) for one in request.ulimits]),
        )
        proxies = expand.proxy_environment(request.build_args, request.proxies)
        known = {entry.partition("=")[0] for entry in env}

        async def make(folder: Path) -> dict[str, Any]:
            report.start()
            lowers = await self._lowers(state.layers)
            async with self._mounting.ready(plan, folder) as (mounts, more_env):
                command = Command(
                    argv=tuple(words),
                    env=(*env, *(f"{k}={v}" for k, v in proxies.items() if k not in known), *more_env),
                    cwd=state.cwd,
                    user=state.user,
                    lowers=lowers,
                    folder=folder,
                    mounts=mounts,
                    network=network,
                    insecure=found.security == "insecure",
                    extra_hosts=request.extra_hosts,
                    shm_size=request.shm_size,
                    ulimits=request.ulimits,
                    limits=request.limits,
                    cgroup_parent=request.cgroup_parent,
                )
                async with self._runner.run(command, report.output) as code:
                    if code:
                        await _fail(found, words, code, folder)
                    job = self._workspace.job("snapshot", folder, lowers, epoch=self._epoch)
                    return await self._layering.run(job | {"stubs": [mount.destination for mount in mounts]})

        made = await self._layering.layer(key, report.name, self._workspace, make, use_cache=uses_cache)
        arguments = expand.history_arguments(state.scope)
        return self._with(state, made, f"RUN {' '.join((*arguments, *words))} # buildkit", report)

    def _network(self, found: tree.Run) -> str:
        network = found.network if found.network != "default" else self._request.network or "bridge"
        if network == "host" and not self._request.allow_host_network:
            raise InvalidBuild("network.host is not allowed")
        return "bridge" if network == "default" else network

    async def _mount_root(self, found: tree.Run, mount: tree.Mount, report: Report) -> Root | None:
        return await self._root(found, mount.from_, report) if mount.shows_files else None

    async def _named_layers(self, root: Root) -> Mapping[str, Any]:
        """The tree as a worker takes it."""
        if root.folder is not None:
            return {"folder": str(root.folder)}
        return {"lowers": await self._lowers(root.layers)}

    async def _root(self, instruction: tree.Instruction, name: str, report: Report) -> Root:
        """What `--from=name` means: a named context, a stage, or an image; "" is the main context."""
        if not name:
            return Root(folder=await self._contexts.folder("", None))
        named = self._request.contexts.get(name)
        if isinstance(named, LoadableImage):
            return Root(layers=(await named.load(self._platform)).layers)
        if named is not None and not isinstance(named, ImageContext):
            return Root(folder=await self._contexts.folder(name, named))
        if named is None:
            for known, index in stages.sources(self._dockerfile, instruction):
                if known == name and index is not None:
                    return Root(layers=(await self._task(index)).layers)
        reference = named.reference if isinstance(named, ImageContext) else name
        if reference == "scratch":
            return Root()
        return Root(layers=(await self._images.get(reference, self._platform, report)).layers)

    # --- COPY and ADD

    async def _copy(
        self, found: tree.Copy | tree.Add, state: ImageState, report: Report, *, uses_cache: bool
    ) -> tuple[ImageState, bool]:
        is_add = isinstance(found, tree.Add)
        destination = state.absolute(found.destination)
        name = found.from_ if isinstance(found, tree.Copy) else ""
        remote = found.fetched if isinstance(found, tree.Add) else ()
        local = [source for source in found.sources if source not in remote]
        sources: list[dict[str, Any]] = []
        described: list[object] = []
        if local:
            root = await self._root(found, name, report)
            tree_ = dict(await self._named_layers(root))
            foreseen = () if name else self._foreseen
            digest = await self._workspace.digest(
                tree_, local, is_context=root.is_context, exclude=found.exclude, foreseen=foreseen
            )
            described.append(("files", digest))
            unpacks = is_add and (found.unpack if isinstance(found, tree.Add) and found.unpack is not None else True)
            sources.append(
                {
                    "root": tree_,
                    "paths": local,
                    "is_context": root.is_context,
                    "exclude": [*found.exclude],
                    "unpacks": unpacks,
                }
            )
        repositories: list[tuple[dict[str, Any], GitSource]] = []
        for url in remote:
            if (repository := _repository(url, found)) is not None:
                report.start()
                commit = await self._remotes.commit(repository)
                described.append(("git", commit, repository.folder, repository.keeps_git, repository.submodules))
                self.fetched.append(Fetched(repository.uri, {"sha1": commit}))
                sources.append({"paths": ["."], "is_context": True, "exclude": [*found.exclude], "unpacks": False})
                repositories.append((sources[-1], replace(repository, commit=commit)))
                continue
            sources.append(await self._download(url, found, report))
            described.append(("url", sources[-1]["name"], sources[-1]["digest"], sources[-1]["unpacks"]))
        for heredoc in found.contents:
            sources.append({"name": heredoc.name, "content": heredoc.text})
            described.append(("content", heredoc.name, heredoc.text))
        parents = isinstance(found, tree.Copy) and found.parents
        below = () if found.link else state.layers
        key = key_of(
            *("add" if is_add else "copy", found.link or state.chain, described, [*local], destination),
            *(found.chown, found.chmod, parents, [*found.exclude], self._epoch),
            sources[0].get("unpacks") if sources else None,
        )
        # With --link names of owners are looked up in an empty root, so only numbers work, as in BuildKit.

        async def make(folder: Path) -> dict[str, Any]:
            report.start()
            for source, repository in repositories:
                source["root"] = {"folder": str((await self._remotes.checkout(repository))[0])}
            job = self._workspace.job("copy", folder, await self._lowers(below), epoch=self._epoch)
            more = {"chown": found.chown, "chmod": found.chmod, "parents": parents, "sources": sources}
            return await self._layering.run(job | more | {"destination": destination})

        made = await self._layering.layer(key, report.name, self._workspace, make, use_cache=uses_cache)
        return self._with(state, made, f"{_copied(found)} # buildkit", report)

    async def _download(self, url: str, found: tree.Copy | tree.Add, report: Report) -> dict[str, Any]:
        report.start()
        await self._workspace.begun()
        file = self._workspace.path("download")
        checksum = found.checksum if isinstance(found, tree.Add) else ""
        done = await self._layering.run({"op": "download", "url": url, "into": str(file), "checksum": checksum})
        algorithm, _, digest = done["digest"].partition(":")
        self.fetched.append(Fetched(url, {algorithm: digest}))
        unpacks = isinstance(found, tree.Add) and found.unpack is True
        return {**done, "file": str(file), "content": "", "mode": 0o600, "unpacks": unpacks}


def _words(found: tree.Run, state: ImageState) -> tuple[str, ...]:
    """What a RUN executes."""
    script = stages.run_script(found)
    match script.kind:
        case "exec":
            return tuple(script.words)
        case "shell":
            return (*state.shell, script.text)
    return (f"/dev/pipes/{script.name}",)


def _is_literal(found: tree.Copy) -> bool:
    """Whether its sources are known before it is expanded: files of the context without variables and quotes."""
    return not (found.from_ or found.exclude or _EXPANDED.intersection("".join(found.sources)))


def _repository(url: str, found: tree.Copy | tree.Add) -> GitSource | None:
    keeps_git = isinstance(found, tree.Add) and found.keep_git_dir
    return added(url, keeps_git=keeps_git, checksum=found.checksum if isinstance(found, tree.Add) else "")


def _copied(found: tree.Copy | tree.Add) -> str:
    """What the history shows of COPY and ADD."""
    words = ["ADD" if isinstance(found, tree.Add) else "COPY"]
    if found.chown:
        words.append(f"--chown={found.chown}")
    if found.chmod:
        words.append(f"--chmod={found.chmod}")
    words += [*found.sources, *(f"<<{heredoc.name}" for heredoc in found.contents), found.destination]
    return " ".join(words)


@contextlib.contextmanager
def _reported(report: Report, instruction: tree.Instruction) -> Iterator[None]:
    """Complete the vertex with the error that its step raises, and give the error its line."""
    try:
        yield
    except asyncio.CancelledError:
        if report.is_started:
            report.complete(error=CANCELED)
        raise
    except OSError as e:
        failure = BuildError(f"{(e.strerror or str(e)).lower()} ({e.filename})", line=instruction.lines.first)
        report.complete(error=str(failure))
        raise failure from e
    except EngineError as e:
        report.complete(error=str(e))
        if isinstance(e, BuildError) and not e.line:
            e.line = instruction.lines.first
        raise


async def _fail(found: tree.Run, words: Sequence[str], code: int, folder: Path) -> NoReturn:
    """Raise the BuildError for a command of RUN that ended with `code`."""
    # Its output is on the same disk, so the command's own word of it may be lost.
    full = ": no space left on device" if await asyncio.to_thread(_is_full, folder) else ""
    raise BuildError(
        f'process "{" ".join(words)}" did not complete successfully: exit code: {code}{full}',
        line=found.lines.first,
        exit_code=code,
        command=tuple(words),
    )


def _is_full(folder: Path) -> bool:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < _FULL_BYTES
