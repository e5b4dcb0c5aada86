"""`RUN --mount`: what a command sees beside its root file system.

Secrets and sockets of ssh agents are in a folder of the exec root, which is in memory and which an engine empties when
it opens. What a bind mount shows is copied, so the command may write there, and nothing of it is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from vmagent.builder.agents import forwarded
from vmagent.builder.cache import CACHE_MOUNT, CacheRecord, key_of
from vmagent.builder.contexts import Root
from vmagent.builder.layering import Layering, Workspace
from vmagent.builder.request import BuildRequest, InvalidBuild
from vmagent.builder.running import BindMount, MemoryMount
from vmagent.dockerfile import tree
from vmagent.dockerfile.stages import Script

log = structlog.get_logger(__name__)
_SSH_TARGET = "/run/buildkit/ssh_agent."
Mounts = Sequence[BindMount | MemoryMount]
AsTree = Callable[[Root], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class MountPlan:
    """The mounts of one RUN. `key`: what of them decides the result; neither secrets nor caches do."""

    key: list[object]
    mounts: tuple[tuple[tree.Mount, str, Root | None], ...]  # with the absolute target
    script: Script
    as_tree: AsTree


class Mounting:
    """Prepares the mounts of one build's RUN steps."""

    def __init__(self, layering: Layering, workspace: Workspace, request: BuildRequest, folder: Path) -> None:
        """`folder`: for secrets and sockets; made when first used."""
        self._layering, self._workspace, self._request, self._folder = layering, workspace, request, folder
        self._number = 0

    async def plan(
        self, found: tree.Run, roots: Sequence[Root | None], cwd: str, script: Script, as_tree: AsTree
    ) -> MountPlan:
        """What the mounts of `found` are. Raises InvalidBuild for a bind's source that is missing, BuildError."""
        key: list[object] = [script.text] if script.kind == "file" else []
        mounts: list[tuple[tree.Mount, str, Root | None]] = []
        agents = 0
        for mount, root in zip(found.mounts, roots, strict=True):
            target = mount.target
            if mount.type == "ssh" and not target:
                target = f"{_SSH_TARGET}{agents}"
                agents += 1
            if mount.type == "secret" and not target and mount.env is None:
                target = f"/run/secrets/{posixpath.basename(mount.id or mount.source)}"
            place = posixpath.normpath(posixpath.join("/", cwd, target)) if target else ""
            if mount.type in ("bind", "cache", "tmpfs") and not target:
                raise InvalidBuild(f"invalid mount target {target!r}: a target is needed")
            described: list[object] = [mount.type, place, mount.readonly, mount.env, mount.size_bytes]
            if root is not None:
                paths = [mount.source or "/"]
                digest = await self._workspace.digest(
                    await as_tree(root), paths, is_context=root.is_context, exclude=()
                )
                described.append(digest)
            key.append(described)
            mounts.append((mount, place, root))
        return MountPlan(key, tuple(mounts), script, as_tree)

    @contextlib.asynccontextmanager
    async def ready(self, plan: MountPlan, folder: Path) -> AsyncIterator[tuple[Mounts, list[str]]]:
        """(the mounts, more variables of the environment) for a command whose step has `folder`.

        Raises InvalidBuild for a required secret or agent that is missing.
        """
        mounts: list[BindMount | MemoryMount] = []
        env: list[str] = []
        async with AsyncExitStack() as stack:
            for number, (mount, place, root) in enumerate(plan.mounts):
                if mount.type == "tmpfs":
                    mounts.append(MemoryMount(destination=place, size=mount.size_bytes))
                elif mount.type == "secret":
                    mounts += await self._secret(mount, place, stack, env)
                elif mount.type == "ssh":
                    mounts += await self._ssh(mount, place, stack, env)
                else:
                    source = folder / f"mount-{number}"
                    if root is not None:
                        await self._copy(mount, root, source, plan.as_tree)
                    if mount.type == "cache":
                        source = await stack.enter_async_context(self._cache(mount, place, source))
                    mounts.append(BindMount(source=str(source), destination=place, readonly=mount.readonly))
            if plan.script.kind == "file":
                path = folder / "script"
                await asyncio.to_thread(_write, path, plan.script.text.encode("utf-8", "surrogateescape"), 0o755)
                destination = f"/dev/pipes/{plan.script.name}"
                mounts.append(BindMount(source=str(path), destination=destination, readonly=True))
            yield mounts, env

    async def _copy(self, mount: tree.Mount, root: Root, into: Path, as_tree: AsTree) -> None:
        job = {
            "op": "materialize",
            "root": dict(await as_tree(root)),
            "path": mount.source or "/",
            "into": str(into),
            "is_context": root.is_context,
            "place": str(self._workspace.path("view")),
        }
        await self._layering.run(job)

    # --- caches

    @contextlib.asynccontextmanager
    async def _cache(self, mount: tree.Mount, place: str, initial: Path) -> AsyncIterator[Path]:
        """The folder of a cache mount; a new one begins with the content of `initial`, if that exists."""
        cache, users = self._layering.cache, self._layering.cache_users
        name = mount.id or place
        key = key_of("cache mount", name)
        if mount.sharing == "private":
            number = 1
            while users.is_used(key):
                number += 1
                key = key_of("cache mount", name, number)
        async with users.using(key, alone=mount.sharing == "locked"):
            folder = cache.mount_folder(key) / "content"
            owner = (mount.uid or 0, mount.gid or 0)
            mode = 0o755 if mount.mode is None else mount.mode
            async with users.beginning:
                await asyncio.to_thread(_begin_cache, folder, initial, mode, owner)
            now = time.time_ns()
            known = cache.get(key)
            record = known or CacheRecord(
                key=key,
                kind=CACHE_MOUNT,
                layer="",
                size=0,
                description=f"cached mount {place} from exec",
                created_ns=now,
                used_ns=now,
            )
            cache.put(record)
            cache.use(key)
            try:
                yield folder
            finally:
                try:
                    size = await asyncio.shield(asyncio.to_thread(_size, folder))
                    cache.put(replace(record, size=size, used_ns=time.time_ns()))
                finally:
                    cache.release([key])  # last: a prune before it would remove the folder of a record that is put back

    # --- secrets and agents

    def _new_path(self, kind: str) -> Path:
        self._number += 1
        return self._folder / f"{kind}-{self._number}"

    async def _secret(self, mount: tree.Mount, place: str, stack: AsyncExitStack, env: list[str]) -> list[BindMount]:
        secret_id = mount.id or mount.source or posixpath.basename(mount.target)
        content = await self._request.secrets.get(secret_id) if self._request.secrets is not None else None
        if content is None:
            if mount.required:
                raise InvalidBuild(f"secret {secret_id}: not found")
            return []
        if mount.env is not None:
            env.append(f"{mount.env}={content.decode('utf-8', 'surrogateescape')}")
        if not place:
            return []
        path = self._new_path("secret")
        mode = 0o400 if mount.mode is None else mount.mode
        await asyncio.to_thread(_write, path, content, mode, (mount.uid or 0, mount.gid or 0))
        stack.callback(path.unlink)
        return [BindMount(source=str(path), destination=place, readonly=True)]

    async def _ssh(self, mount: tree.Mount, place: str, stack: AsyncExitStack, env: list[str]) -> list[BindMount]:
        agents, agent_id = self._request.ssh, mount.id or "default"
        if agents is None or not await agents.has(agent_id):
            if mount.required:
                raise InvalidBuild(f"unset ssh forward key {agent_id}")
            return []
        path = self._new_path("ssh")
        mode = 0o600 if mount.mode is None else mount.mode
        owner = (mount.uid or 0, mount.gid or 0)
        await stack.enter_async_context(forwarded(agents, agent_id, path, mode=mode, owner=owner))
        if not any(entry.startswith("SSH_AUTH_SOCK=") for entry in env):
            env.append(f"SSH_AUTH_SOCK={place}")
        return [BindMount(source=str(path), destination=place, readonly=False)]

    async def close(self) -> None:
        """Remove the folder. Raises OSError."""
        if self._number:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True))


def _write(path: Path, content: bytes, mode: int, owner: tuple[int, int] = (0, 0)) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)


def _begin_cache(folder: Path, initial: Path, mode: int, owner: tuple[int, int]) -> None:
    if folder.exists():
        return
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    if initial.exists():
        os.rename(initial, folder)
        return
    folder.mkdir(mode=0o700)
    os.chown(folder, *owner)
    folder.chmod(mode)


def _size(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total
