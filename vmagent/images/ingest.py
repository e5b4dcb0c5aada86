"""From a stream of bytes to a layer in a job's ingest folder: hashed on both sides, checked to its end, unpacked.

An ingest folder is {job}/blobs/<hex> and {job}/layers/<hex>/…; the store moves what is in it to its final names once
all digests agree. Until then nothing outside has changed; deleting the ingest folder undoes the job.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vmagent.durable import fsync_dir
from vmagent.images.channel import Stage
from vmagent.images.compression import Gzip, decompress, peek
from vmagent.images.faults import ImageFault
from vmagent.images.flush import FEW, EarlyWriteback, entries_of, flush_file
from vmagent.images.layer import DIFF, INDEX, RECORD, TAR, UNFLUSHED, Blob, Compression, Expected, Kind, Layer, hex_of
from vmagent.images.tarindex import TarIndex
from vmagent.images.tarstream import ByteSource
from vmagent.images.treetar import TreeTar
from vmagent.images.unpack import Unpacker
from vmagent.linux.files import syncfs

_RAW_DEPTH = 8  # blocks of up to 256 KiB between receiving and decompressing
_PLAIN_DEPTH = 4  # blocks of up to 1 MiB between decompressing and unpacking
FILE_BLOCK = 256 << 10


class Job:
    """One ingest folder, used by one worker at a time."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.folder = folder
        self.kind = kind
        self.blobs = folder / "blobs"
        self.layers = folder / "layers"
        for made in (folder, self.blobs, self.layers):
            made.mkdir(exist_ok=True)
        # Opened before the first write: syncfs reports the errors from here on.
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._fd)

    def put_blob(self, data: bytes) -> str:
        """Keep a small blob (a config, a manifest), flushed; its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        path = self.blobs / hex_of(digest)
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
        return digest

    def flush(self, fd: int | None = None) -> None:
        """Flush the layers to disk, so that a record may name them; there is none among them that `is_unflushed`.

        The files of layers of kind tar were flushed as they were written: for these only the folders are left to flush.
        `fd`: a descriptor of the folder that was opened before the first write; needed where several processes wrote,
        because syncfs(2) reports only write errors that happened after its descriptor was opened.
        """
        if any((layer / DIFF).is_dir() for layer in self.layers.iterdir()):
            syncfs(self._fd if fd is None else fd)
        else:
            for layer in self.layers.iterdir():
                fsync_dir(layer)
            for folder in (self.blobs, self.layers):
                fsync_dir(folder)

    def add_layer(
        self,
        raw: Iterable[bytes],
        *,
        expected: Expected | None = None,
        diff_id: str | None = None,
        on_plain: Callable[[int], None] | None = None,
        download: Path | None = None,
    ) -> Layer:
        """Take one layer from the stream `raw`.

        With `expected`, `raw` must be that blob to the byte; with `diff_id`, its plain tar must have that digest.
        `on_plain` is called with the size of each plain block. `download`: a file for `raw`, which stays; what it
        has already is overwritten from its beginning. Raises ImageFault, OSError; the layer's half-made folder stays in
        the job, which the engine throws away whole.
        """
        work = Path(tempfile.mkdtemp(dir=self.folder))
        compression, raw = peek(raw)
        keep_raw = expected is not None or compression in (Compression.GZIP, Compression.ZSTD)
        with contextlib.ExitStack() as stack:
            kept = download or work / "blob"
            fd = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600) if keep_raw else -1
            if fd >= 0:
                stack.callback(os.close, fd)
            incoming = _Incoming(raw, fd, expected)
            received = stack.enter_context(Stage("receive", incoming, _RAW_DEPTH))
            plain: Iterable[bytes] = received
            if compression is not Compression.NONE:
                plain = stack.enter_context(Stage("decompress", decompress(compression, received), _PLAIN_DEPTH))
            made = _Layering(work, self.kind, repack=not keep_raw, on_plain=on_plain)
            stack.callback(made.close)
            made.run(plain)
            for _ in plain:  # to the end of the compressed stream, whatever the tar said
                pass
            for _ in received:
                pass
            found = made.digest()
            if diff_id is not None and found != diff_id:
                raise ImageFault(f"layer verification failed: its content is {found}, the image says {diff_id}")
            blob = incoming.blob(compression) if keep_raw else made.repacked()
        layer = made.layer(found, blob)
        if blob is not None and download is not None:
            os.link(download, self.blobs / hex_of(blob.digest))
        self._publish(made.folder, layer)
        return layer

    def _publish(self, made: Path, layer: Layer) -> None:
        """Give the layer in the folder `made` its name in the job, and its blob, if that is still beside it."""
        if layer.blob is not None and (packed := made.parent / "blob").exists():
            os.rename(packed, self.blobs / hex_of(layer.blob.digest))
        final = self.layers / hex_of(layer.diff_id)
        layer.write(made)
        if layer.kind is Kind.TAR:
            for name in (TAR, INDEX):
                flush_file(made / name)
            flush_file(made / RECORD)
            if layer.blob is not None:
                flush_file(self.blobs / hex_of(layer.blob.digest))
        try:
            os.rename(made, final)
        except OSError as e:
            if e.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # the image has this layer twice
                raise

    def take_tar(self, blocks: Iterable[bytes]) -> Layer:
        """Make a layer of kind tar from a tar that this engine makes. Raises ImageFault, OSError, what `blocks`
        raises."""
        work = Path(tempfile.mkdtemp(dir=self.folder))
        made = _Layering(work, Kind.TAR, repack=False, on_plain=None)
        with contextlib.closing(made):
            made.run(blocks)
        layer = made.layer(made.digest(), made.repacked())
        self._publish(made.folder, layer)
        return layer

    def take_folder(self, upper: Path) -> Layer:
        """Make a layer of an overlay's upper folder, which nothing uses any more and which becomes the job's.

        With few entries, the folder itself becomes a layer of kind dir: to index a tar takes a process, and to mount it
        a system call in each use. Else a layer of kind tar is a copy. Raises ImageFault, OSError.
        """
        entries = entries_of(upper, FEW)
        tree = TreeTar()
        if self.kind is Kind.TAR and entries is None:
            return self.take_tar(tree.blocks(str(upper)))
        found, size = hashlib.sha256(), 0
        for block in tree.blocks(str(upper)):
            found.update(block)
            size += len(block)
        diff_id = f"sha256:{found.hexdigest()}"
        layer = Layer(diff_id=diff_id, kind=Kind.DIR, size=tree.file_bytes, tar_size=size, blob=None)
        final = self.layers / hex_of(diff_id)
        final.mkdir()
        layer.write(final, RECORD if entries is None else UNFLUSHED)
        os.rename(upper, final / DIFF)
        return layer

    def is_unflushed(self, layer: Layer) -> bool:
        """Whether a layer that `take_folder` made is left to `flush_few`, because it has few entries."""
        return (self.layers / hex_of(layer.diff_id) / UNFLUSHED).exists()


class _Incoming:
    """The incoming blob: hashed, counted, and written to `fd` if it is kept (else -1)."""

    def __init__(self, blocks: Iterable[bytes], fd: int, expected: Expected | None) -> None:
        self._blocks, self._fd = blocks, fd
        self._expected = expected
        self._hash = hashlib.sha256()
        self._size = 0
        self._writeback = EarlyWriteback(fd)

    def __iter__(self) -> Iterator[bytes]:
        limit = self._expected.size if self._expected else None
        for block in self._blocks:
            self._size += len(block)
            if limit is not None and self._size > limit:
                raise ImageFault(f"blob {self._name} is larger than its {limit} bytes")
            self._hash.update(block)
            if self._fd >= 0:
                write_all(self._fd, block)
                self._writeback.wrote(len(block))
            yield block
        if self._expected is not None:
            if self._size != self._expected.size:
                raise ImageFault(
                    f"blob {self._name} ended early: {self._size} of {self._expected.size} bytes", "failed"
                )
            if (found := f"sha256:{self._hash.hexdigest()}") != self._expected.digest:
                raise ImageFault(f"filesystem layer verification failed for digest {self._name}: the data is {found}")

    @property
    def _name(self) -> str:
        return self._expected.digest if self._expected else ""

    def blob(self, compression: Compression) -> Blob:
        return Blob(f"sha256:{self._hash.hexdigest()}", self._size, compression)


class _Layering:
    """Writes the plain tar into the layer's folder, and into a gzip blob if the source was not compressed."""

    def __init__(self, work: Path, kind: Kind, *, repack: bool, on_plain: Callable[[int], None] | None) -> None:
        self.folder = work / "layer"
        self.folder.mkdir()
        self._kind = kind
        self._hash = hashlib.sha256()
        self._on_plain = on_plain
        self._size = 0
        self._packed_hash = hashlib.sha256()
        self._packed_size = 0
        # A layer of kind tar keeps its tar, so it can be packed when it is pushed.
        self._gzip = Gzip() if repack and kind is Kind.DIR else None
        self._blob_fd = os.open(work / "blob", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600) if self._gzip else -1
        self._tar_fd = -1
        self._tar_size = 0

    def close(self) -> None:
        for fd in (self._blob_fd, self._tar_fd):
            if fd >= 0:
                os.close(fd)
        self._blob_fd = self._tar_fd = -1

    def run(self, plain: Iterable[bytes]) -> None:
        if self._kind is Kind.TAR:
            self._tar_fd = os.open(self.folder / TAR, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._writeback = EarlyWriteback(self._tar_fd)
        source = ByteSource(plain, self._take)
        if self._kind is Kind.TAR:
            index = TarIndex()
            index.read(source)
            source.drain()
            self._size, self._tar_size = index.file_bytes, source.taken
            if (image := index.image(source.taken)) is None:
                self._fall_back()
            else:
                with (self.folder / INDEX).open("xb") as file:
                    file.writelines(image)
        else:
            self._unpack(source)
            source.drain()
            self._tar_size = source.taken
        if self._gzip is not None:
            self._pack([self._gzip.finish()])

    def _unpack(self, source: ByteSource) -> None:
        diff = self.folder / DIFF
        diff.mkdir()
        diff.chmod(0o755)
        root = os.open(diff, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        umask = os.umask(0)  # modes come from the layer; no other thread of the pipeline makes files
        try:
            with Unpacker(root) as unpacker:
                unpacker.unpack(source)
                self._size = unpacker.file_bytes
        finally:
            os.umask(umask)
            os.close(root)

    def _fall_back(self) -> None:
        """Unpack a tar with members which only unpacking handles."""
        with (self.folder / TAR).open("rb", buffering=0) as file:
            self._gzip_late(file.fileno())
            file.seek(0)
            self._unpack(ByteSource(file_blocks(file.fileno())))
        (self.folder / TAR).unlink()
        self._kind = Kind.DIR

    def _gzip_late(self, fd: int) -> None:
        blob = self.folder.parent / "blob"
        if blob.exists():
            return
        packer = Gzip()
        self._blob_fd = os.open(blob, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for block in file_blocks(fd):
            self._pack(packer.write(block))
        self._pack([packer.finish()])

    def _take(self, block: bytes) -> None:
        self._hash.update(block)
        if self._tar_fd >= 0:
            write_all(self._tar_fd, block)
            self._writeback.wrote(len(block))
        if self._gzip is not None:
            self._pack(self._gzip.write(block))
        if self._on_plain is not None:
            self._on_plain(len(block))

    def _pack(self, packed: Iterable[bytes]) -> None:
        for block in packed:
            self._packed_hash.update(block)
            self._packed_size += len(block)
            write_all(self._blob_fd, block)

    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def repacked(self) -> Blob | None:
        if not self._packed_size:
            return None
        return Blob(f"sha256:{self._packed_hash.hexdigest()}", self._packed_size, Compression.GZIP)

    def layer(self, diff_id: str, blob: Blob | None) -> Layer:
        return Layer(diff_id=diff_id, kind=self._kind, size=self._size, tar_size=self._tar_size, blob=blob)


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all of `data` is taken. Raises OSError."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def file_blocks(fd: int, size: int = FILE_BLOCK) -> Iterator[bytes]:
    """What is left to read of `fd` (a file, a pipe, a socket), in blocks."""
    while block := os.read(fd, size):
        yield block
