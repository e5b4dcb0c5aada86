"""Files that the engine itself fetches for a build: git repositories, and what lies at a URL."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vmagent.builder.agents import forwarded
from vmagent.builder.layering import Layering
from vmagent.builder.request import InvalidBuild, Received, Secrets, Selection, SshAgents
from vmagent.builder.result import Fetched
from vmagent.dockerfile.giturl import GitSource, git_source

URL_FILE = "context"  # the name of a file that is a whole context, as in BuildKit
_TOKEN = "GIT_AUTH_TOKEN"  # buildx offers it as a secret where the client has such a variable


class Remotes:
    """Fetches for one build, with the client's secrets and agents."""

    def __init__(self, layering: Layering, folder: Path, secrets: Secrets | None, ssh: SshAgents | None) -> None:
        """`folder`: of the build; what is fetched is in it."""
        self._layering, self._folder, self._secrets, self._ssh = layering, folder, secrets, ssh
        self._number = 0

    def path(self, name: str) -> Path:
        self._number += 1
        return self._folder / f"{name}-{self._number}"

    async def commit(self, source: GitSource) -> str:
        """The commit that a repository's ref names now. Raises BuildError."""
        found: str = (await self._git("git_commit", source, self.path("commit")))["commit"]
        if not found.startswith(source.commit):
            raise InvalidBuild(f"expected checksum to match {source.commit}, got {found}")
        return found

    async def checkout(self, source: GitSource) -> tuple[Path, Fetched]:
        """A folder with the files of a repository, and the commit that they are of. Raises BuildError."""
        done = await self._git("git", source, self.path("git"))
        return Path(done["folder"]), Fetched(source.uri, {"sha1": done["commit"]})

    async def _git(self, op: str, source: GitSource, into: Path) -> dict[str, Any]:
        job = {
            "op": op,
            "remote": source.remote,
            "ref": source.ref,
            "folder": source.folder,
            "commit": source.commit,
            "keeps_git": source.keeps_git,
            "submodules": source.submodules,
            "into": str(into),
            "header": await self._header(source.remote),
        }
        async with self._agent(source.remote) as agent:
            return await self._layering.run({**job, "agent": agent})

    async def _header(self, remote: str) -> str:
        """The header with the client's token for the remote; "" without one."""
        host = urlsplit(remote).hostname if remote.startswith("http") else None
        if self._secrets is None or host is None:
            return ""
        for name in (f"{_TOKEN}.{host}", _TOKEN):
            if token := await self._secrets.get(name):
                word = base64.b64encode(b"x-access-token:" + token.strip()).decode()
                return f"Authorization: basic {word}"
        return ""

    @contextlib.asynccontextmanager
    async def _agent(self, remote: str) -> AsyncIterator[str]:
        """The socket of the client's agent if the remote is reached by ssh, else ""."""
        uses_ssh = remote.startswith("ssh:") or "://" not in remote
        if not uses_ssh or self._ssh is None or not await self._ssh.has("default"):
            yield ""
            return
        path = self.path("agent")
        async with forwarded(self._ssh, "default", path):
            yield str(path)

    async def download(self, url: str) -> tuple[Path, bool, Fetched]:
        """A folder with what lies at a URL: the content of an archive, or the one file `URL_FILE` (then True).

        Raises BuildError.
        """
        into = self.path("url")
        job = {"op": "url", "url": url, "file": str(self.path("download")), "into": str(into), "name": URL_FILE}
        done = await self._layering.run(job)
        algorithm, _, digest = done["digest"].partition(":")
        return into, bool(done["is_file"]), Fetched(url, {algorithm: digest})


def is_remote(text: str) -> bool:
    """Whether a context is one that `RemoteContext` fetches. Raises DockerfileError."""
    return text.startswith(("http://", "https://")) or git_source(text, is_context=True) is not None


class RemoteContext:
    """`Context` of a git repository or a URL, fetched when it is first asked for."""

    def __init__(self, remotes: Remotes, layering: Layering, source: str, subdir: str = "") -> None:
        """`source`: as the user wrote it. `subdir`: a folder of it that is the context. Raises DockerfileError."""
        self._remotes, self._layering, self._source, self._subdir = remotes, layering, source, subdir
        self._git = git_source(source, is_context=True)
        self._fetching: asyncio.Task[tuple[Path, bool]] | None = None
        self.fetched: Fetched | None = None  # once it is

    async def _ready(self) -> tuple[Path, bool]:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._load(), name=f"fetch {self._source}")
        return await asyncio.shield(self._fetching)

    async def _load(self) -> tuple[Path, bool]:
        if self._git is not None:
            (folder, self.fetched), is_file = await self._remotes.checkout(self._git), False
        else:
            folder, is_file, self.fetched = await self._remotes.download(self._source)
        if self._subdir:
            job = {"op": "subfolder", "folder": str(folder), "path": self._subdir}
            folder = Path((await self._layering.run(job))["folder"])
        return folder, is_file

    async def dockerfile_name(self, asked: str) -> str:
        """The Dockerfile's name: the one asked for, or that of the only file. Raises BuildError."""
        return URL_FILE if (await self._ready())[1] else asked

    async def read(self, path: str, limit_bytes: int) -> bytes | None:
        """See Context."""
        folder, _ = await self._ready()
        job = {"op": "read", "root": {"folder": str(folder)}, "path": path, "limit": limit_bytes, "place": ""}
        content: str | None = (await self._layering.run(job))["content"]
        return None if content is None else content.encode("latin-1")

    async def digest(self, selection: Selection, received: Received) -> str:
        """See Context. Unknown: what is there may have changed."""
        return ""

    async def fetch(self, selection: Selection, received: Received) -> Path:
        """See Context. What is excluded is removed: all users of this context exclude the same."""
        folder, _ = await self._ready()
        if selection.exclude:
            await self._layering.run({"op": "exclude", "into": str(folder), "exclude": [*selection.exclude]})
        return folder

    async def close(self) -> None:
        """Cancel the transfer."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)


def added(url: str, *, keeps_git: bool, checksum: str) -> GitSource | None:
    """The repository that a source of ADD names; None for other URLs. Raises DockerfileError, InvalidBuild."""
    found = git_source(url)
    if found is None:
        return None
    commit = checksum.removeprefix("sha1:") or found.commit
    if ":" in commit:
        raise InvalidBuild(f"checksum of a git repository is its commit, not {checksum}")
    return GitSource(
        remote=found.remote,
        ref=found.ref,
        folder=found.folder,
        commit=commit,
        keeps_git=keeps_git or found.keeps_git,
        submodules=found.submodules,
    )
