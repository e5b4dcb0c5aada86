"""The operations that talk to a registry: pull, push, log in, search.

A module of its own: what speaks HTTP takes longer to import than all other operations together.

A job that fails leaves files in its ingest folder only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from vmagent.images import resolve, uploading
from vmagent.images.downloads import Download
from vmagent.images.faults import ImageFault
from vmagent.images.hosts import Endpoint, RegistryHosts
from vmagent.images.indexes import Manifest
from vmagent.images.ingest import Job
from vmagent.images.jobs import Message, Operations, ingest_of, root_of
from vmagent.images.layer import Blob, Expected, Layer, hex_of
from vmagent.images.manifests import artifact_manifest
from vmagent.images.packing import pack
from vmagent.images.platforms import Platform
from vmagent.images.reference import Reference
from vmagent.images.registry import Credentials, Registry

_T = TypeVar("_T")


class _WrongContent(ImageFault):
    """A layer's bytes arrived and are not what they must be."""


class RegistryOperations(Operations):
    """Those of one process."""

    def op_push_layer(self, job: Message, fds: list[int]) -> Message:
        """Have one layer at the registry; packed first where the store has no blob of it."""
        root, packed = root_of(job), Path(job["ingest"]) / "blobs"
        layer = Layer.read(root.layers / hex_of(job["diff_id"]))
        blob = layer.blob or pack(root, layer, packed)
        path = (packed if layer.blob is None else root.blobs) / hex_of(blob.digest)

        def on_sent(current: int, total: int) -> None:
            event = {"state": "pushing", "current": current, "total": total}
            self.progress(event, is_last=current == total)

        with _registry(job, "pull,push") as registry:
            outcome = uploading.push_blob(registry, path, blob.digest, job["sources"], on_sent)
            return {"outcome": outcome, "authorization": registry.authorization, "blob": blob.to_json()}

    def op_push_manifest(self, job: Message, fds: list[int]) -> Message:
        """The config and the manifest, once the layers are there."""
        root = root_of(job)
        blobs = [Blob.from_json(blob) for blob in job["blobs"]]
        path = root.blobs / hex_of(job["id"])
        data = uploading.kept_manifest(root, job["manifest"], blobs) or uploading.manifest_of(path.read_bytes(), blobs)
        with _registry(job, "pull,push") as registry:
            uploading.push_blob(registry, path, job["id"], (), lambda _current, _total: None)
            return {"digest": uploading.push_manifest(registry, data, job["tag"]), "size": len(data)}

    def op_push_index(self, job: Message, fds: list[int]) -> Message:
        """Manifests with all that they name, then their index, as they are kept. Layers that are there are not sent
        again."""
        root = root_of(job)
        with _registry(job, "pull,push") as registry:
            for digest in job["manifests"]:
                data = (root.blobs / hex_of(digest)).read_bytes()
                for blob in Manifest.parse(data, digest).blobs():
                    path = root.blobs / hex_of(blob)
                    uploading.push_blob(registry, path, blob, (), lambda _current, _total: None)
                uploading.push_manifest(registry, data, digest)
            data = (root.blobs / hex_of(job["index"])).read_bytes()
            return {"digest": uploading.push_manifest(registry, data, job["tag"]), "size": len(data)}

    def op_push_artifact(self, job: Message, fds: list[int]) -> Message:
        """A config of any type and its manifest, once the layers are there."""
        config = job["config"].encode()
        data = artifact_manifest(config, job["config_type"], [Blob.from_json(blob) for blob in job["blobs"]])
        with _registry(job, "pull,push") as registry, ingest_of(job) as work:
            digest = work.put_blob(config)
            path = work.blobs / hex_of(digest)
            uploading.push_blob(registry, path, digest, (), lambda _current, _total: None)
            return {"digest": uploading.push_manifest(registry, data, job["tag"]), "size": len(data)}

    def op_login(self, job: Message, fds: list[int]) -> Message:
        """Have the credentials checked: the identity token to show instead of the password from now on, or ""."""
        with _registry(job) as registry:
            return {"identity_token": registry.log_in()}

    def op_tags(self, job: Message, fds: list[int]) -> Message:
        return {"tags": _first_of(job, Registry.tags)[0]}

    def op_search(self, job: Message, fds: list[int]) -> Message:
        with _registry(job) as registry:
            return {"results": registry.search(job["term"], job["limit"])}

    def op_describe(self, job: Message, fds: list[int]) -> Message:
        """What a reference points to at its registry."""
        reference = Reference(job["domain"], job["path"], job["tag"], job["digest"])
        return _first_of(job, lambda registry: resolve.describe(registry, reference))[0]

    def op_resolve(self, job: Message, fds: list[int]) -> Message:
        """Manifest and config of a reference, kept in the job's folder; its layers' descriptors."""
        reference = Reference(job["domain"], job["path"], job["tag"], job["digest"])
        platform = Platform.parse(job["platform"]) if job["platform"] else Platform.host()
        found, source = _first_of(
            job, lambda registry: resolve.find(registry, reference, platform, is_asked=bool(job["platform"]))
        )
        with ingest_of(job) as work:
            return {
                "id": work.put_blob(found.config),
                "digest": found.digest,
                "index": work.put_blob(found.index) if found.index is not None else "",
                "manifest": work.put_blob(found.manifest),
                "layers": [
                    {"digest": blob.digest, "size": blob.size, "diff_id": diff_id} for blob, diff_id in found.layers
                ],
                "source": source,
            }

    def op_artifact(self, job: Message, fds: list[int]) -> Message:
        """The config and the layers' descriptors of a build cache, or of an image that may hold one."""
        reference = Reference(job["domain"], job["path"], job["tag"], job["digest"])
        platform = Platform.parse(job["platform"])
        found, source = _first_of(job, lambda registry: resolve.artifact(registry, reference, platform))
        return {
            "config_type": found.config_type,
            "config": found.config.decode("utf-8", "replace"),
            "layers": [{"digest": blob.digest, "size": blob.size} for blob in found.layers],
            "source": source,
        }

    def op_layer(self, job: Message, fds: list[int]) -> Message:
        """Fetch one layer into the job's folder; flushed if the job is for this layer alone."""
        endpoints = _endpoints(job)
        with contextlib.ExitStack() as stack:
            work = stack.enter_context(ingest_of(job))
            download = None
            if job.get("downloads"):
                download = Download.open(Path(job["downloads"]), job["digest"], job["size"])
            if download is not None:
                stack.enter_context(download)
            # What is wrong may be what an earlier pull has left; or else one mirror's.
            tries = [endpoints[index:] for index in range(len(endpoints))]
            if download is not None and download.size:
                tries.insert(0, endpoints)
            for left in tries:
                try:
                    self._fetch(job, left, work, download)
                    break
                except _WrongContent:
                    is_last = left is tries[-1]
                    if download is not None:
                        download.path.unlink() if is_last else download.discard()
                    if is_last:
                        raise
            if job.get("is_alone"):
                work.flush()
        return {}

    def _fetch(self, job: Message, endpoints: Sequence[Endpoint], work: Job, download: Download | None) -> None:
        """Take one layer: what an earlier pull has left of it, then the rest from the endpoints, where one goes on
        after another has failed.

        Raises ImageFault, _WrongContent if all that came from the registry arrived, but is not the layer.
        """
        expected = Expected(job["digest"], job["size"])
        is_broken_off = False

        def blocks() -> Iterator[bytes]:
            nonlocal is_broken_off
            at = 0
            if download is not None:
                at = download.size
                yield from download.blocks()
            for endpoint in endpoints:
                try:
                    with _registry(job, endpoint=endpoint) as registry:
                        for block in registry.blob(expected, at):
                            at += len(block)
                            yield block
                    return
                except ImageFault:
                    if endpoint is endpoints[-1]:
                        is_broken_off = True
                        raise

        def received() -> Iterator[bytes]:
            done = 0
            for block in blocks():
                yield block  # consumed, so hashed and written, before it is reported
                done += len(block)
                event = {"state": "downloading", "current": done, "total": expected.size}
                self.progress(event, is_last=False)
            self.emit({"state": "downloaded", "current": done, "total": expected.size})

        path = None if download is None else download.path
        try:
            work.add_layer(received(), expected=expected, diff_id=job["diff_id"], download=path)
        except ImageFault as e:
            if is_broken_off:
                raise
            raise _WrongContent(str(e), e.kind) from e


@contextlib.contextmanager
def _registry(job: Message, actions: str = "pull", endpoint: Endpoint | None = None) -> Iterator[Registry]:
    """The job's repository, at its own registry or at a mirror. The job's authorization is only for the server that it
    was obtained from."""
    hosts = RegistryHosts.from_json(job["hosts"])
    endpoint = endpoint or hosts.origin(job["domain"])
    source = job.get("source") or {}
    registry = Registry(
        job["domain"],
        job["path"],
        hosts=hosts,
        endpoint=endpoint,
        credentials=Credentials.from_auth(job["auth"]),
        authorization=source["authorization"] if source.get("url") == endpoint.url else "",
        actions=actions,
    )
    with contextlib.closing(registry):
        yield registry


def _endpoints(job: Message) -> list[Endpoint]:
    """Where to pull from, in order: from the server on that the image was found at."""
    endpoints = RegistryHosts.from_json(job["hosts"]).endpoints(job["domain"])
    urls = [endpoint.url for endpoint in endpoints]
    url = (job.get("source") or {}).get("url")
    return endpoints[urls.index(url) :] if url in urls else endpoints


def _first_of(job: Message, question: Callable[[Registry], _T]) -> tuple[_T, Message]:
    """The reply of the first server that has one, and where it came from. Raises the last server's ImageFault."""
    endpoints = _endpoints(job)
    for endpoint in endpoints:
        try:
            with _registry(job, endpoint=endpoint) as registry:
                return question(registry), {"url": endpoint.url, "authorization": registry.authorization}
        except ImageFault:
            if endpoint is endpoints[-1]:
                raise
    raise AssertionError("a domain has at least its own registry")
