"""The sources of bind mounts: folders and files of this system, and in a VM also those of the host around it.

The host's shared folders are mounted at one place (`vmagent/native/folders`), as the host's tree from its root. A
source that is in a shared folder means the host's; any other must be there in the VM itself.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from vmagent.containers.model import MountPoint
from vmagent.engine.background import Background
from vmagent.engine.threads import run_alone
from vmagent.errors import BadRequest, EngineError, Unavailable
from vmagent.linux import mounts

# How long a request waits for a host that does not reply. The file system itself waits longer.
REPLY_LIMIT_S = 20.0
_CHOOSE = "Choose what is shared: cove config set folders.shared /a/folder,/another"
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_T = TypeVar("_T")
Owner = tuple[int, int]  # uid, gid


class MountsDenied(EngineError):
    """A source that neither the VM nor the shared folders have."""


class HostFolders:
    """Finds and makes sources of bind mounts. Used on the loop."""

    def __init__(self, background: Background, mount: Path | None) -> None:
        """`mount`: where the host's shared folders are mounted; None: this system is the host."""
        self._background = background
        self._mount = mount

    async def check(self, binds: Sequence[MountPoint]) -> None:
        """For a container that is made: raises BadRequest for a missing source that is not made at the start,
        MountsDenied, Unavailable."""
        if binds:
            await self._run(self._check_all, binds)

    async def prepare(self, binds: Sequence[MountPoint], owner: Owner | None) -> dict[str, str]:
        """Make missing sources that shall be made, owned by `owner`. Returns, by destination, what is to be bound in
        place of the source. Raises BadRequest, MountsDenied, Unavailable, OSError."""
        return await self._run(self._prepare_all, binds, owner) if binds else {}

    async def places(self, binds: Iterable[MountPoint]) -> dict[str, str]:
        """By destination, where the sources are that exist. Raises Unavailable, OSError."""
        return await self._run(self._existing, list(binds))

    async def _run(self, function: Callable[..., _T], *args: object) -> _T:
        """In a VM in a thread of its own: a host that is away must not keep the engine's disk threads, nor its end.

        Raises what `function` raises, Unavailable after REPLY_LIMIT_S.
        """
        if self._mount is None:
            return await self._background.on_disk(function, *args)
        try:
            async with asyncio.timeout(REPLY_LIMIT_S):
                return await run_alone(partial(function, *args), "host folders")
        except TimeoutError:
            raise Unavailable("the host's folders can't be reached: the host agent does not answer") from None

    # In a thread -------------------------------------------------------------------------------------------------

    def _check_all(self, binds: Sequence[MountPoint]) -> None:
        for mount in binds:
            self._find_for(mount)

    def _prepare_all(self, binds: Sequence[MountPoint], owner: Owner | None) -> dict[str, str]:
        found = {}
        for mount in binds:
            place = self._find_for(mount)
            if place is None:
                place = self._made(mount.source, owner)
            if place != mount.source:
                found[mount.destination] = place
        return found

    def _existing(self, binds: Sequence[MountPoint]) -> dict[str, str]:
        found = {}
        for mount in binds:
            try:
                place = self._find(mount.source)
            except MountsDenied:
                continue
            if place is not None:
                found[mount.destination] = place
        return found

    def _find_for(self, mount: MountPoint) -> str | None:
        """Where the source of `mount` is; None: nowhere, and it is to be made. Raises BadRequest for one that is not
        to be made, MountsDenied, Unavailable."""
        try:
            place = self._find(mount.source)
        except MountsDenied:
            if mount.create_source:
                raise
            raise _missing(mount.source, f" in the VM, and is not shared from the host\n{_CHOOSE}") from None
        if place is None and not mount.create_source:
            raise _missing(mount.source)
        return place

    def _find(self, source: str) -> str | None:
        """Where `source` is; None: nowhere. Raises MountsDenied, Unavailable."""
        if self._mount is not None:
            try:
                place = self._find_on_host(self._mount, source)
            except FileNotFoundError:
                return None
            if place is not None:
                return place
        if os.path.lexists(source):
            return source
        if self._mount is None:
            return None
        raise MountsDenied(
            f"mounts denied: \nThe path {source} is not shared from the host and is not known to Docker.\n{_CHOOSE}"
        )

    def _find_on_host(self, root: Path, source: str) -> str | None:
        """The path of a source in a shared folder; None: it is in none. Links mean what they mean on the host.

        Raises FileNotFoundError, Unavailable.
        """
        if not os.path.ismount(root):
            raise Unavailable("the host's folders can't be reached: they are not mounted")
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = mounts.openat2(root_fd, source.lstrip("/") or ".", os.O_PATH | os.O_CLOEXEC, mounts.RESOLVE_IN_ROOT)
        except OSError as e:
            if e.errno == errno.EACCES:
                return None
            if e.errno in _NOT_THERE:
                raise FileNotFoundError(e.errno, os.strerror(e.errno), source) from e
            reason = os.strerror(e.errno or 0).lower()
            raise Unavailable(f"the host's folder {source} can't be reached: {reason}") from e
        finally:
            os.close(root_fd)
        try:
            # The folders above shared ones, which nobody made, have the time 0.
            if os.fstat(found).st_ctime_ns == 0:
                return None
            return os.readlink(f"/proc/self/fd/{found}")
        finally:
            os.close(found)

    def _made(self, source: str, owner: Owner | None) -> str:
        """Make the folder `source` and its missing parents. Raises OSError, MountsDenied, Unavailable."""
        above, rest = source, ""
        while (place := self._find(above)) is None:
            above, name = os.path.split(above)
            rest = os.path.join(name, rest) if rest else name
        made = place
        for name in rest.split("/"):
            made = os.path.join(made, name)
            with suppress(FileExistsError):  # made by another start in the same moment
                os.mkdir(made, 0o755)
            if owner is not None:
                os.chown(made, *owner, follow_symlinks=False)
        return made


def _missing(source: str, more: str = "") -> BadRequest:
    return BadRequest(f'invalid mount config for type "bind": bind source path does not exist: {source}{more}')
