"""The Engine API's image verbs on the store. Progress and answers have the API's own shapes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import structlog

from vmagent.errors import BadRequest, Conflict, NotFound
from vmagent.helpers.pool import run_with_input, run_with_output
from vmagent.images import config as image_config
from vmagent.images import hello, removal, search, views
from vmagent.images.changes import apply_changes
from vmagent.images.config import timestamp
from vmagent.images.faults import ImageFault
from vmagent.images.filters import LIST_KEYS, Filters, Wanted
from vmagent.images.layer import hex_of, top_first
from vmagent.images.platforms import Platform
from vmagent.images.pull import pull
from vmagent.images.push import Push
from vmagent.images.records import ImageRecord
from vmagent.images.reference import Reference, registry_of
from vmagent.images.removal import Users
from vmagent.images.store import Store
from vmagent.native import binary

log = structlog.get_logger()

MAX_WAITING = 1000  # progress lines queued for a slow client; further ones are dropped

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

        async def chunks() -> AsyncIterator[bytes]:
            yield hello.layer(program)

        reference = Reference.parse(hello.NAME).with_default_tag()
        async with self._store.ingest() as folder:
            job = {**self._job("import", folder), "below": [], "config": hello.config(Platform.host())}
            done = await run_with_input(self._store.pool, job, chunks())
            record = ImageRecord(id=done["id"], layers=tuple(done["layers"]))
            await self._store.publish(folder, [record], {reference.key: record.id})

    async def list(self, filters: Filters | None = None, *, shared_size: bool = False) -> Shapes:
        """ImageSummary objects, newest first. Raises BadRequest."""
        containers = Counter(user.image_id for user in self._users())
        wanted = Wanted.parse(filters or {}, LIST_KEYS, self._store.created_of)
        naming: Counter[str] = Counter()
        for record in self._store.shown():
            naming.update(set(record.layers))
        listed = []
        for record in self._store.shown():
            references = self._store.references_of(record.id)
            config = self._store.configs[record.id]
            if wanted.dangling is not None and wanted.dangling == bool(references):
                continue
            if not wanted.takes(config, references):
                continue
            shared = -1
            if shared_size:
                shared = sum(self._store.layers[one].size for one in set(record.layers) if naming[one] > 1)
            listed.append(
                views.summary(
                    record,
                    config,
                    [item for item in references if wanted.takes_reference(item[0])],
                    self._store.layers,
                    shared_size=shared,
                    containers=containers[record.id],
                )
            )
        listed.sort(key=lambda item: item["Created"], reverse=True)
        return listed

    async def inspect(self, ref: str) -> dict[str, Any]:
        """ImageInspect. Raises NotFound."""
        record = self._store.images[self._store.find(ref)[0]]
        paths = [str(self._store.lower_path(diff_id)) for diff_id in top_first(record.layers)]
        return views.inspect(
            record, self._store.configs[record.id], self._store.references_of(record.id), self._store.layers, paths
        )

    async def history(self, ref: str) -> Shapes:
        """ImageHistory items, newest first. Raises NotFound."""
        record = self._store.images[self._store.find(ref)[0]]
        return views.history(
            record, self._store.configs[record.id], self._store.references_of(record.id), self._store.layers
        )

    async def tag(self, ref: str, *, repo: str, tag: str = "") -> None:
        """Let `repo:tag` point to the image. Raises NotFound, BadRequest."""
        image_id = self._store.find(ref)[0]
        reference = Reference.parse(repo)
        if reference.digest:
            raise BadRequest("refusing to create a tag with a digest reference")
        reference = reference.tagged(tag) if tag else reference.with_default_tag()
        async with self._store.change:
            if image_id not in self._store.images:
                raise NotFound(f"No such image: {ref}")
            await self._store.point({reference.key: image_id})
        self._store.emit("tag", image_id, reference.familiar)

    async def remove(self, ref: str, *, force: bool = False, noprune: bool = False) -> Shapes:
        """Untagged and Deleted items. There are no untagged parents to keep, so `noprune` changes nothing.

        Raises NotFound, Conflict.
        """
        del noprune
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
            await self._store.publish(folder, [record], {reference.key: record.id} if reference else {})
        self._store.emit("import", record.id, reference.familiar if reference else record.id)
        yield {"status": record.id}

    async def load(
        self, chunks: AsyncIterator[bytes], *, quiet: bool = True, platform: str = ""
    ) -> AsyncGenerator[Progress, None]:
        """The images of a `docker save` archive or an OCI layout, packed or not."""
        events: asyncio.Queue[Progress | None] = asyncio.Queue()

        def on_event(event: dict[str, Any]) -> None:
            if not quiet and events.qsize() < MAX_WAITING:
                events.put_nowait(
                    {
                        "status": "Loading layer",
                        "progressDetail": {"current": event["current"], "total": event["total"]},
                        "id": hex_of(event["layer"])[:12],
                    }
                )

        async with self._store.ingest() as folder:
            job = {**self._job("load", folder), "platform": platform}
            work = asyncio.create_task(run_with_input(self._store.pool, job, chunks, on_event), name="load an image")
            work.add_done_callback(lambda _: events.put_nowait(None))
            try:
                while (event := await events.get()) is not None:
                    yield event
                done = await work
            finally:
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            made = []
            names: dict[str, str] = {}
            said = []
            for image in done["images"]:
                made.append(ImageRecord(id=image["id"], layers=tuple(image["layers"])))
                for key in image["references"]:
                    familiar = Reference.parse(key).familiar
                    old = names.get(key) or (self._store.references[key].id if key in self._store.references else None)
                    if old is not None and old != image["id"]:
                        said.append(
                            f"The image {familiar} already exists, renaming the old one with ID {old} to empty string\n"
                        )
                    names[key] = image["id"]
                    said.append(f"Loaded image: {familiar}\n")
                if not image["references"]:
                    said.append(f"Loaded image ID: {image['id']}\n")
            await self._store.publish(folder, made, names)
        for image in done["images"]:
            familiars = [Reference.parse(key).familiar for key in image["references"]]
            for name in familiars or [image["id"]]:
                self._store.emit("load", image["id"], name)
        for text in said:
            yield {"stream": text}

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
        self, ref: str, *, tag: str = "", auth: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Send an image to the registry in its name; without a tag, every tag of the repository."""
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
            image_id = self._store.references[one.key].id
            async with contextlib.aclosing(Push(self._store, one, image_id, auth).run()) as lines:
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

    async def save(self, refs: Sequence[str]) -> AsyncGenerator[bytes, None]:
        """A tar of the images, for `load` and for OCI tools. A repository without a tag means all its tags."""
        names: dict[str, list[str]] = {}
        for ref in refs:
            for image_id, key in self._meant(ref):
                names.setdefault(image_id, [])
                if key is not None and key not in names[image_id]:
                    names[image_id].append(key)
        async with contextlib.aclosing(self.save_as(names)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def save_as(
        self, names: Mapping[str, Sequence[str]], index_names: Sequence[str] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """As `save`: images by their ids, with the names (keys of references) that they get in the archive.

        `index_names`: they are the platforms of one image index of these names, and have none themselves.
        """
        with contextlib.ExitStack() as stack:
            for image_id in names:
                stack.callback(self._store.hold(image_id).release)
            images = [
                {"id": image_id, "layers": self._store.image(image_id).layers, "names": [*keys]}
                for image_id, keys in names.items()
            ]
            job: dict[str, Any] = {"op": "save", "data_root": str(self._store.root.path), "images": images}
            job["index_names"] = None if index_names is None else [*index_names]
            async with contextlib.aclosing(run_with_output(self._store.pool, job)) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _meant(self, ref: str) -> Sequence[tuple[str, str | None]]:
        """The images (id, key of the name) that a `save` of `ref` includes."""
        with contextlib.suppress(BadRequest):
            reference = Reference.parse(ref)
            if not reference.tag and not reference.digest:
                own = [
                    (pointer.id, key)
                    for key, pointer in self._store.references.items()
                    if Reference.parse(key).name == reference.name and Reference.parse(key).tag
                ]
                if own:
                    return own
        image_id, key = self._store.find(ref)
        return [(image_id, key if key and Reference.parse(key).tag else None)]

    async def commit(
        self, snapshot: Mapping[str, str], *, parent: str, config: Mapping[str, Any], repo: str = "", tag: str = ""
    ) -> str:
        """A new image: the layers of image `parent` and one more, which a helper process makes from a folder.

        `snapshot`: what the job has beside that of an import: "module" and its arguments. `config` is the whole OCI
        config but for its rootfs. Returns the image's id. Raises NotFound, BadRequest.
        """
        reference = None
        if repo:
            reference = Reference.parse(repo)
            reference = reference.tagged(tag) if tag else reference.with_default_tag()
        hold = self._store.hold(parent)
        try:
            async with self._store.ingest() as folder:
                below = list(self._store.images[parent].layers)
                job = {**self._job("import", folder), "below": below, "config": dict(config), **snapshot}
                done = await self._store.pool.run(job)
                record = ImageRecord(id=done["id"], layers=tuple(done["layers"]), parent=parent)
                await self._store.publish(folder, [record], {reference.key: record.id} if reference else {})
        finally:
            hold.release()
        if reference:
            self._store.emit("tag", record.id, reference.familiar)
        return record.id

    # --- jobs

    def _job(self, op: str, folder: Any) -> dict[str, Any]:
        return {"op": op, "ingest": str(folder), "data_root": str(self._store.root.path), "kind": str(self._store.kind)}
