"""The operations of images in a helper process (`vmagent.helpers.process`): load, import, save and upkeep, and those of
`vmagent.images.registryjobs`, which is loaded for the first of them.

A job that fails leaves files in its ingest folder only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from vmagent.images import archive, config, saving, verifying
from vmagent.images.faults import ImageFault
from vmagent.images.ingest import file_blocks
from vmagent.images.jobs import Emit, Message, Operations, ingest_of, root_of
from vmagent.images.layer import Expected, Layer, hex_of
from vmagent.images.outlet import Outlet
from vmagent.images.packing import pack
from vmagent.images.platforms import Platform
from vmagent.linux.trees import remove_whole_tree

TITLE = "cove-images"
_REMOVE_TRIES = 3  # names vanish while another process deletes the same tree


class Worker(Operations):
    """The operations that need no registry."""

    def op_import(self, job: Message, fds: list[int]) -> Message:
        """A tar as the layer on top of the layers `below`, with a config: an image."""
        with ingest_of(job) as work:
            layers = [*job["below"], work.add_layer(file_blocks(fds[0])).diff_id]
            made = {**job["config"], "rootfs": {"type": "layers", "diff_ids": layers}}
            image_id = work.put_blob(config.dump(made))
            work.flush()
        return {"id": image_id, "layers": layers}

    def op_load(self, job: Message, fds: list[int]) -> Message:
        def on_layer(diff_id: str, current: int, total: int) -> None:
            event = {"layer": diff_id, "current": current, "total": total}
            self.progress(event, is_last=current >= total)

        with ingest_of(job) as work:
            platform = Platform.parse(job["platform"]) if job.get("platform") else None
            loaded = archive.load(fds[0], work, root_of(job), platform, on_layer)
            work.flush()
        return {"images": [one.to_json() for one in loaded]}

    def op_save(self, job: Message, fds: list[int]) -> Message:
        """Write an archive to the descriptor; "is_whole" is false if its reader has gone."""
        try:
            saving.save(Outlet(fds[0], chunked=job["chunked"]), root_of(job), job["items"])
        except (BrokenPipeError, ConnectionResetError):
            return {"is_whole": False}
        return {"is_whole": True}

    def op_pack_layer(self, job: Message, fds: list[int]) -> Message:
        """The blob of one layer; made in the job's folder where the store has none."""
        root = root_of(job)
        layer = Layer.read(root.layers / hex_of(job["diff_id"]))
        return {"blob": (layer.blob or pack(root, layer, Path(job["ingest"]) / "blobs")).to_json()}

    def op_take_layer(self, job: Message, fds: list[int]) -> Message:
        """Take one layer's blob from the descriptor into the job's folder, flushed."""
        with ingest_of(job) as work:
            expected = Expected(job["digest"], job["size"])
            work.add_layer(file_blocks(fds[0]), expected=expected, diff_id=job["diff_id"])
            work.flush()
        return {}

    def op_flush(self, job: Message, fds: list[int]) -> Message:
        """Flush the job's folder to the disk; the descriptor is the folder's, opened before the first write."""
        with ingest_of(job) as work:
            work.flush(fds[0])
        return {}

    def op_verify(self, job: Message, fds: list[int]) -> Message:
        """Hash blobs and layers; an event for each."""
        return verifying.verify(job, self.emit)

    def op_remove(self, job: Message, fds: list[int]) -> Message:
        """Delete files and folders of the trash; another process may be deleting them at the same time."""
        for item in Path(job["folder"]).glob(job["names"]):
            for _ in range(_REMOVE_TRIES):
                with contextlib.suppress(FileNotFoundError):
                    if item.is_dir() and not item.is_symlink():
                        remove_whole_tree(str(item))
                    else:
                        item.unlink()
                    break
        return {}


def _operation(name: str, emit: Emit) -> Callable[[Message, list[int]], Message]:
    own: Callable[[Message, list[int]], Message] | None = getattr(Worker(emit), f"op_{name}", None)
    if own is not None:
        return own
    from vmagent.images.registryjobs import RegistryOperations

    of_registries: Callable[[Message, list[int]], Message] = getattr(RegistryOperations(emit), f"op_{name}")
    return of_registries


def run(job: Message, fds: Sequence[int], emit: Emit) -> Message:
    """Do the job's operation. Raises what `failure` knows, PeerLost."""
    return _operation(job["op"], emit)(job, [*fds])


def failure(error: Exception) -> Message | None:
    """A failed job as it is sent to the engine; None for a programming error."""
    if isinstance(error, ImageFault):
        return {"failed": str(error), "kind": error.kind}
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename and not isinstance(error.filename, int) else ""
        return {"failed": f"{(error.strerror or str(error)).lower()}{where}", "kind": "failed"}
    return None
