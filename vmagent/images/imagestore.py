"""What the engine asks of images: the Engine API's verbs on the store. Progress comes as the API's own dicts."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from typing import Any

from vmagent.errors import BadRequest, Conflict, NotFound
from vmagent.images import removal, views
from vmagent.images.config import apply_changes, timestamp
from vmagent.images.faults import ImageFault
from vmagent.images.filters import LIST_KEYS, Filters, Wanted
from vmagent.images.layer import hex_of
from vmagent.images.platforms import Platform
from vmagent.images.pool import run_with_input
from vmagent.images.pull import pull
from vmagent.images.records import ImageRecord
from vmagent.images.reference import Reference
from vmagent.images.removal import Users
from vmagent.images.store import Store

Progress = dict[str, Any]
Shapes = list[dict[str, Any]]


def platform_of(text: str | None) -> Platform:
    """`os/arch[/variant]`, or the host's where nothing is asked. Raises BadRequest."""
    try:
        return Platform.parse(text) if text else Platform.host()
    except ImageFault as e:
        raise BadRequest(str(e)) from e


def _nobody(_image_id: str) -> tuple[()]:
    return ()


class ImageStore(Store):
    """The verbs. All raise vmagent.errors; generators raise before their first item where docker has a status for it,
    later where docker ends its stream with an error."""

    _pruning = False

    async def list(
        self, filters: Filters | None = None, *, shared_size: bool = False, users: Counter[str] | None = None
    ) -> Shapes:
        """ImageSummary objects, newest first. `users` counts the containers of each image. Raises BadRequest."""
        wanted = Wanted.parse(filters or {}, LIST_KEYS, self.created_of)
        naming: Counter[str] = Counter()
        for record in self.shown():
            naming.update(set(record.layers))
        listed = []
        for record in self.shown():
            references = self.references_of(record.id)
            config = self.configs[record.id]
            if wanted.dangling is not None and wanted.dangling == bool(references):
                continue
            if not wanted.takes(config, references):
                continue
            shared = -1
            if shared_size:
                shared = sum(self.layers[one].size for one in set(record.layers) if naming[one] > 1)
            listed.append(
                views.summary(
                    record,
                    config,
                    [item for item in references if wanted.takes_reference(item[0])],
                    self.layers,
                    shared_size=shared,
                    containers=users[record.id] if users is not None else -1,
                )
            )
        listed.sort(key=lambda item: item["Created"], reverse=True)
        return listed

    async def inspect(self, ref: str) -> dict[str, Any]:
        """ImageInspect. Raises NotFound."""
        record = self.images[self.find(ref)[0]]
        paths = [str(self.lower_path(diff_id)) for diff_id in reversed(record.layers)]
        return views.inspect(record, self.configs[record.id], self.references_of(record.id), self.layers, paths)

    async def history(self, ref: str) -> Shapes:
        """ImageHistory items, newest first. Raises NotFound."""
        record = self.images[self.find(ref)[0]]
        return views.history(record, self.configs[record.id], self.references_of(record.id), self.layers)

    async def tag(self, ref: str, repo: str, tag: str = "") -> None:
        """Let `repo:tag` point to the image. Raises NotFound, BadRequest."""
        image_id = self.find(ref)[0]
        reference = Reference.parse(repo)
        if reference.digest:
            raise BadRequest("refusing to create a tag with a digest reference")
        reference = reference.tagged(tag) if tag else reference.with_default_tag()
        async with self.change:
            if image_id not in self.images:
                raise NotFound(f"No such image: {ref}")
            await self.point({reference.key: image_id})
        self.emit("tag", image_id, reference.familiar)

    async def remove(self, ref: str, *, force: bool = False, noprune: bool = False, users: Users = _nobody) -> Shapes:
        """Untagged and Deleted items. `users` tells the containers made of an image. There are no untagged parents to
        keep, so `noprune` changes nothing. Raises NotFound, Conflict."""
        return [dict(item) for item in await removal.remove(self, ref, force=force, users=users)]

    async def prune(self, filters: Filters | None = None, *, in_use: Collection[str] = ()) -> dict[str, Any]:
        """The API's answer to a prune; `in_use` are ids of images that containers were made of.

        Raises Conflict while another prune runs, BadRequest.
        """
        if self._pruning:
            raise Conflict("a prune operation is already running")
        self._pruning = True
        try:
            return await removal.prune(self, filters or {}, in_use)
        finally:
            self._pruning = False

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        repo: str = "",
        tag: str = "",
        changes: Sequence[str] = (),
        message: str = "",
        platform: str | None = None,
        source: str = "-",
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
            "history": [{"created": now, "comment": message or f"Imported from {source}"}],
        }
        if wanted.variant:
            config["variant"] = wanted.variant
        async with self.ingest() as folder:
            job = {**self._job("import", folder), "config": config}
            done = await run_with_input(self.pool, job, chunks)
            record = ImageRecord(id=done["id"], layers=tuple(done["layers"]))
            await self.publish(folder, [record], {reference.key: record.id} if reference else {})
        self.emit("import", record.id, reference.familiar if reference else record.id)
        yield {"status": record.id}

    async def load(
        self, chunks: AsyncIterator[bytes], quiet: bool = True, platform: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        """The images of a `docker save` archive or an OCI layout, packed or not."""
        events: asyncio.Queue[Progress | None] = asyncio.Queue()

        def on_event(event: dict[str, Any]) -> None:
            if not quiet:
                events.put_nowait(
                    {
                        "status": "Loading layer",
                        "progressDetail": {"current": event["current"], "total": event["total"]},
                        "id": hex_of(event["layer"])[:12],
                    }
                )

        async with self.ingest() as folder:
            job = {**self._job("load", folder), "platform": platform or ""}
            work = asyncio.create_task(run_with_input(self.pool, job, chunks, on_event), name="load an image")
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
                    old = names.get(key) or (self.references[key].id if key in self.references else None)
                    if old is not None and old != image["id"]:
                        said.append(
                            f"The image {familiar} already exists, renaming the old one with ID {old} to empty string\n"
                        )
                    names[key] = image["id"]
                    said.append(f"Loaded image: {familiar}\n")
                if not image["references"]:
                    said.append(f"Loaded image ID: {image['id']}\n")
            await self.publish(folder, made, names)
        for image in done["images"]:
            familiars = [Reference.parse(key).familiar for key in image["references"]]
            for name in familiars or [image["id"]]:
                self.emit("load", image["id"], name)
        for text in said:
            yield {"stream": text}

    async def pull(
        self, from_image: str, tag: str = "", platform: str | None = None, auth: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Fetch an image from its registry; without a tag or digest, every tag of the repository."""
        reference = Reference.parse(from_image)
        if tag:
            reference = reference.tagged(tag)
        asked = str(platform_of(platform)) if platform else ""
        all_tags = not (reference.tag or reference.digest)
        async with contextlib.aclosing(pull(self, reference, asked, auth, all_tags=all_tags)) as lines:
            async for line in lines:
                yield line

    # --- jobs

    def _job(self, op: str, folder: Any) -> dict[str, Any]:
        return {"op": op, "ingest": str(folder), "data_root": str(self.root.path), "kind": str(self.kind)}
