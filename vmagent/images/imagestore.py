"""The Engine API's image verbs on the store. Progress and answers have the API's own shapes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog

from vmagent.errors import BadRequest, Conflict, EngineError, NotFound
from vmagent.helpers.pool import run_with_input
from vmagent.images import archiving, hello, removal, search
from vmagent.images import config as image_config
from vmagent.images.changes import apply_changes
from vmagent.images.config import MAX_LAYERS, timestamp
from vmagent.images.faults import ImageFault
from vmagent.images.filters import Filters
from vmagent.images.listing import Listing
from vmagent.images.platforms import Platform
from vmagent.images.pull import pull
from vmagent.images.push import Push
from vmagent.images.records import ImageRecord, Target
from vmagent.images.reference import Reference, registry_of
from vmagent.images.removal import Users
from vmagent.images.store import Store
from vmagent.native import binary

log = structlog.get_logger()

Progress = dict[str, Any]
Shapes = list[dict[str, Any]]


def platform_of(text: str) -> Platform:
    """`os/arch[/variant]`, or the host's where nothing is asked. Raises BadRequest."""
    try:
        return Platform.parse(text) if text else Platform.host()
    except ImageFault as e:
        raise BadRequest(str(e)) from e


class ImageStore:
    """The verbs. All raise vmagent.errors; generators raise before their first item where docker has a status for it,
    later where docker ends its stream with an error."""

    def __init__(self, store: Store, users: Users) -> None:
        """`store`: the state, which others read too. `users` gives all containers with the images they were made of."""
        self._store, self._users = store, users
        self._pruning = False

    async def open(self) -> None:
        """Open the store; a data root opened for the first time gets the image cove/hello. Raises as Store.open."""
        await self._store.open()
        if self._store.is_new:
            await self._make_hello()

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    async def _make_hello(self) -> None:
        try:
            program = await asyncio.to_thread(lambda: binary("hello", os.uname().machine).read_bytes())
        except FileNotFoundError as e:
            log.warning("hello.missing", error=str(e))
            return

        reference = Reference.parse(hello.NAME).with_default_tag()
        async with self._store.ingest() as folder:
            record = await asyncio.to_thread(hello.make, folder, program)
            await self._store.publish(folder, [record], {reference.key: Target(record.id)})

    async def list(
        self, filters: Filters | None = None, *, shared_size: bool = False, manifests: bool = False
    ) -> Shapes:
        """ImageSummary objects, newest first. Raises BadRequest."""
        return Listing(self._store, self._users).images(filters or {}, shared_size=shared_size, manifests=manifests)

    async def inspect(self, ref: str, platform: Platform | None = None, *, manifests: bool = False) -> dict[str, Any]:
        """ImageInspect. Raises NotFound."""
        return Listing(self._store, self._users).inspect(ref, platform, manifests=manifests)

    async def history(self, ref: str, platform: Platform | None = None) -> Shapes:
        """ImageHistory items, newest first. Raises NotFound."""
        return Listing(self._store, self._users).history(ref, platform)

    async def tag(self, ref: str, *, repo: str, tag: str = "") -> None:
        """Let `repo:tag` point to the image. Raises NotFound, BadRequest."""
        target = self._store.target(ref)
        reference = Reference.parse(repo)
        if reference.digest:
            raise BadRequest("refusing to create a tag with a digest reference")
        reference = reference.tagged(tag) if tag else reference.with_default_tag()
        async with self._store.change:
            if target.image_id not in self._store.images:
                raise NotFound(f"No such image: {ref}")
            await self._store.point({reference.key: target})
        self._store.emit("tag", target.image_id, reference.familiar)

    async def remove(
        self, ref: str, *, force: bool = False, noprune: bool = False, platforms: Sequence[Platform] = ()
    ) -> Shapes:
        """Untagged and Deleted items; with `platforms`, only the images for these go. There are no untagged parents to
        keep, so `noprune` changes nothing.

        Raises NotFound, Conflict.
        """
        del noprune
        if platforms:
            removed = await removal.remove_platforms(self._store, ref, platforms, force=force, users=self._users)
        else:
            removed = await removal.remove(self._store, ref, force=force, users=self._users)
        return [dict(item) for item in removed]

    async def prune(self, filters: Filters | None = None) -> dict[str, Any]:
        """The API's answer to a prune; images that containers were made of stay.

        Raises Conflict while another prune runs, BadRequest.
        """
        if self._pruning:
            raise Conflict("a prune operation is already running")
        self._pruning = True
        try:
            answer = await removal.prune(self._store, filters or {}, self._users)
        finally:
            self._pruning = False
        self._store.publish_event("prune", "", {"reclaimed": str(answer["SpaceReclaimed"])})
        return answer

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        *,
        repo: str = "",
        tag: str = "",
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
    ) -> AsyncGenerator[Progress, None]:
        """An image of one layer from a root file system's tar, packed or not; the last item's status is its id."""
        reference = None
        if repo:
            reference = Reference.parse(repo)
            reference = reference.tagged(tag) if tag else reference.with_default_tag()
        wanted = platform_of(platform)
        now = timestamp()
        inner = apply_changes({}, changes)
        config: dict[str, Any] = {
            "created": now,
            "architecture": wanted.architecture,
            "os": wanted.os,
            "config": inner,
            "history": [{"created": now, "comment": message or "Imported from -"}],
        }
        if wanted.variant:
            config["variant"] = wanted.variant
        async with self._store.ingest() as folder:
            job = {**self._job("import", folder), "below": [], "config": config}
            done = await run_with_input(self._store.pool, job, chunks)
            record = ImageRecord(id=done["id"], layers=tuple(done["layers"]))
            await self._store.publish(folder, [record], {reference.key: Target(record.id)} if reference else {})
        self._store.emit("import", record.id, reference.familiar if reference else record.id)
        yield {"status": record.id}

    async def load(
        self, chunks: AsyncIterator[bytes], *, quiet: bool = True, platform: Platform | None = None
    ) -> AsyncGenerator[Progress, None]:
        """The images of a `docker save` archive or an OCI layout, packed or not; with `platform`, those for it."""
        async with contextlib.aclosing(archiving.load(self._store, chunks, quiet=quiet, platform=platform)) as lines:
            async for line in lines:
                yield line

    async def pull(
        self, from_image: str, *, tag: str = "", platform: str = "", auth: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Fetch an image from its registry; without a tag or digest, every tag of the repository."""
        reference = Reference.parse(from_image)
        if tag:
            reference = reference.tagged(tag)
        asked = ""
        if platform:
            wanted = platform_of(platform)
            if wanted.os != "linux":
                raise BadRequest("operating system is not supported")
            asked = str(wanted)
        all_tags = not (reference.tag or reference.digest)
        async with contextlib.aclosing(pull(self._store, reference, asked, auth, all_tags=all_tags)) as lines:
            async for line in lines:
                yield line

    async def push(
        self, ref: str, *, tag: str = "", platform: Platform | None = None, auth: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Send an image to the registry in its name; without a tag, every tag of the repository. Of an index, all of
        it if all is here, else the image of this machine's platform, or of `platform`."""
        reference = Reference.parse(ref)
        if tag:
            reference = reference.tagged(tag)
        if reference.digest:
            raise BadRequest("cannot push a digest reference")
        if reference.tag:
            self._store.find(reference.familiar)
            tags = [reference]
        else:
            tags = [
                one for one in map(Reference.parse, self._store.references) if one.name == reference.name and one.tag
            ]
            if not tags:
                raise NotFound(f"An image does not exist locally with the tag: {reference.familiar}")
        yield {"status": f"The push refers to repository [{reference.name}]"}
        for one in tags:
            target = self._store.target(one.key)
            async with contextlib.aclosing(Push(self._store, one, target, platform, auth).run()) as lines:
                async for line in lines:
                    yield line

    async def log_in(self, auth: Mapping[str, Any]) -> str:
        """Have a registry check an AuthConfig: the identity token that it gave, or "". Raises Unauthorized, BadRequest,
        EngineError in docker's words."""
        domain = registry_of(auth.get("serveraddress") or "")
        job = {
            "op": "login",
            "domain": domain,
            "path": "",
            "hosts": self._store.hosts.to_json(),
            "auth": dict(auth),
        }
        token: str = (await self._store.pool.run(job))["identity_token"]
        return token

    async def search(
        self, term: str, limit: int, filters: Mapping[str, Sequence[str]], auth: Mapping[str, Any] | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Images that a registry's index knows by `term`, which may begin with the registry. Raises BadRequest,
        EngineError in docker's words."""
        search.check(limit, filters)
        domain, name = search.split(term)
        job = {
            "op": "search",
            "domain": domain,
            "path": "",
            "term": name,
            "limit": limit,
            "hosts": self._store.hosts.to_json(),
            "auth": dict(auth or {}),
        }
        return search.chosen((await self._store.pool.run(job))["results"], filters)

    async def distribution(self, ref: str, auth: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The API's DistributionInspect of a reference, by its registry. Raises BadRequest, NotFound, Unauthorized,
        EngineError in docker's words."""
        reference = Reference.parse(ref)
        if not reference.digest:
            reference = reference.with_default_tag()
        job = {
            "op": "describe",
            "domain": reference.domain,
            "path": reference.path,
            "tag": reference.tag,
            "digest": reference.digest,
            "hosts": self._store.hosts.to_json(),
            "auth": dict(auth or {}),
        }
        return await self._store.pool.run(job)

    async def remote_config(
        self, reference: Reference, platform: Platform, auth: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The config of an image at its registry. Raises NotFound, Unauthorized, EngineError in docker's words."""
        job = {
            "op": "artifact",
            "domain": reference.domain,
            "path": reference.path,
            "tag": reference.tag,
            "digest": reference.digest,
            "hosts": self._store.hosts.to_json(),
            "auth": dict(auth),
            "platform": str(platform),
        }
        text = (await self._store.pool.run(job))["config"]
        try:
            return image_config.parse(text.encode())
        except ImageFault as e:
            raise BadRequest(str(e)) from e

    def archive(
        self, refs: Sequence[str], platforms: Sequence[Platform] = ()
    ) -> AbstractAsyncContextManager[archiving.Archive]:
        """A context manager that provides a tar of the images, for `load` and for OCI tools.

        A repository without a tag means all its tags. Raises NotFound, also for a name that has none of the platforms.
        """
        return archiving.archive(self._store, archiving.items_of(self._store, refs, platforms))

    async def commit(
        self, snapshot: Mapping[str, str], *, parent: str, config: Mapping[str, Any], repo: str = "", tag: str = ""
    ) -> str:
        """A new image: the layers of image `parent` and one more, which a helper process makes from a folder.

        `snapshot`: what the job has beside that of an import: "module" and its arguments. `config` is the whole OCI
        config but for its rootfs. Returns the image's id. Raises NotFound, BadRequest, EngineError.
        """
        reference = None
        if repo:
            reference = Reference.parse(repo)
            reference = reference.tagged(tag) if tag else reference.with_default_tag()
        hold = self._store.hold(parent)
        try:
            async with self._store.ingest() as folder:
                below = list(self._store.images[parent].layers)
                if len(below) >= MAX_LAYERS:
                    raise EngineError("max depth exceeded")
                job = {**self._job("import", folder), "below": below, "config": dict(config), **snapshot}
                done = await self._store.pool.run(job)
                record = ImageRecord(id=done["id"], layers=tuple(done["layers"]), parent=parent)
                await self._store.publish(folder, [record], {reference.key: Target(record.id)} if reference else {})
        finally:
            hold.release()
        if reference:
            self._store.emit("tag", record.id, reference.familiar)
        return record.id

    # --- jobs

    def _job(self, op: str, folder: Any) -> dict[str, Any]:
        return {"op": op, "ingest": str(folder), "data_root": str(self._store.root.path), "kind": str(self._store.kind)}
