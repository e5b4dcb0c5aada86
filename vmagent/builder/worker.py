"""The builder's operations in a helper process: contexts, cache keys of files, COPY, ADD, WORKDIR, and snapshots.

Overlays are mounted in a mount namespace of the job's own, so nothing of a killed worker stays mounted. A step's folder
is in the build's ingest folder; a layer made there is taken into the store by the engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from vmagent.builder import copying, downloading, gitting, modes, packages
from vmagent.builder.foldertar import FolderTar, NotPlain
from vmagent.builder.trees import FOLDER, Digest, Excluded, Found, TreeFault, clean, find
from vmagent.containers import tarring
from vmagent.containers.treewalk import Tree, TreeError
from vmagent.dockerfile.ignore import Ignore, compile_ignore
from vmagent.images.compression import SNIFF_LENGTH, decompress, peek, sniff
from vmagent.images.faults import ImageFault
from vmagent.images.flush import FEW, entries_of
from vmagent.images.ingest import Job, file_blocks
from vmagent.images.layer import Compression, Kind
from vmagent.linux import mounts
from vmagent.linux.process import CLONE_NEWNS, setns, unshare
from vmagent.runtime.failure import LaunchError
from vmagent.runtime.plantypes import Overlay
from vmagent.runtime.rootfs import mount_overlay
from vmagent.runtime.users import look_up_owner

TITLE = "cove-build"
Message = dict[str, Any]
_TAR_HEADER = 512
_RECEIVED_STEP = 1 << 20  # bytes between two events about an upload


class _Namespace:
    """The mount namespace of the engine, to which each job returns."""

    home_fd = -1

    @classmethod
    @contextlib.contextmanager
    def own(cls) -> Iterator[None]:
        """A mount namespace that begins as a copy of the engine's, and vanishes with its mounts. Raises OSError."""
        if cls.home_fd < 0:
            cls.home_fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        unshare(CLONE_NEWNS)
        try:
            mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
            yield
        finally:
            setns(cls.home_fd, CLONE_NEWNS)


@contextlib.contextmanager
def _no_umask() -> Iterator[None]:
    """Modes of what is made are those of the layer; the process's own files are for root only."""
    umask = os.umask(0)
    try:
        yield
    finally:
        os.umask(umask)


@contextlib.contextmanager
def _view(root: Message, place: str) -> Iterator[int]:
    """A descriptor of the root of a tree that is only read, in a mount namespace of the job's own if one is needed."""
    needs_mount = "folder" not in root and len(root["lowers"]) != 1
    with _Namespace.own() if needs_mount else contextlib.nullcontext(), _tree(root, place) as fd:
        yield fd


@contextlib.contextmanager
def _tree(root: Message, place: str) -> Iterator[int]:
    """A descriptor of the root of a tree: a folder, or an overlay that is mounted at `place`."""
    if "folder" in root:
        path = root["folder"]
    elif len(root["lowers"]) == 1 and "upper" not in root:
        path = root["lowers"][0]
    else:
        path = place
        os.makedirs(path, exist_ok=True)
        lowers = tuple(root["lowers"])
        if not lowers or ("upper" not in root and len(lowers) == 1):
            empty = f"{place}.empty"
            os.makedirs(empty, exist_ok=True)
            lowers = (*lowers, empty)
        upper, work = root.get("upper", ""), root.get("work", "")  # the layer that it becomes is flushed later
        mount_overlay(path, Overlay(lowers, upper, work, is_volatile=bool(upper)))
    fd = os.open(path, FOLDER)
    try:
        yield fd
    finally:
        os.close(fd)


def _excluded(patterns: Sequence[str]) -> Excluded:
    if not patterns:
        return lambda path: False
    return compile_ignore(patterns).ignores


def _remove_ignored(folder_fd: int, prefix: str, ignore: Ignore) -> None:
    """Remove from a context what its ignore file excludes. Raises OSError."""
    with os.scandir(folder_fd) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in listed:
        path = prefix + name
        ignored = ignore.ignores(path)
        if is_folder and ignored and not (ignore.negates and ignore.may_count_below(path)):
            shutil.rmtree(name, dir_fd=folder_fd)
        elif is_folder:
            fd = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=folder_fd)
            try:
                _remove_ignored(fd, f"{path}/", ignore)
            finally:
                os.close(fd)
            if ignored:
                with contextlib.suppress(OSError):  # not empty: a pattern brings something in it back
                    os.rmdir(name, dir_fd=folder_fd)
        elif ignored:
            os.unlink(name, dir_fd=folder_fd)


class _Work:
    """The operations, each a method."""

    def __init__(self, emit: Callable[[Message], None]) -> None:
        self._emit = emit

    def op_spool(self, job: Message, fds: Sequence[int]) -> Message:
        """Unpack an uploaded context, packed or not, into the new folder `into`.

        Returns how many bytes arrived and their digest, and the text, as `op_read`, of those files of `read` that are
        at most `limit` long.
        """
        os.makedirs(job["into"])
        os.chmod(job["into"], 0o755)  # what a bind mount of the context shows; a folder above is for root only
        received = 0
        reported = 0
        digest = hashlib.sha256()

        def blocks() -> Iterator[bytes]:
            nonlocal received, reported
            for block in file_blocks(fds[0]):
                received += len(block)
                digest.update(block)
                if received - reported >= _RECEIVED_STEP:
                    reported = received
                    self._emit({"received": received})
                yield block

        compression, raw = peek(blocks())
        root = os.open(job["into"], FOLDER)
        try:
            with _no_umask(), io.BufferedReader(_Stream(decompress(compression, raw)), 1 << 20) as source:
                if source.peek(1):
                    tarring.extract(Tree(root), "/", source, keeps_kind=False, owner=(0, 0))
                while source.read(1 << 20):
                    pass
            texts = _texts(root, job.get("read", ()), job.get("limit", 0))
            return {"received": received, "digest": digest.hexdigest(), "texts": texts}
        finally:
            os.close(root)

    def op_exclude(self, job: Message, _fds: Sequence[int]) -> Message:
        """Remove from the folder `into` what the ignore file's patterns exclude."""
        fd = os.open(job["into"], FOLDER)
        try:
            _remove_ignored(fd, "", compile_ignore(job["exclude"]))
        finally:
            os.close(fd)
        return {}

    def op_read(self, job: Message, _fds: Sequence[int]) -> Message:
        """The text of a file of a tree, as latin-1; None if there is none."""
        with _view(job["root"], job["place"]) as root:
            return {"content": _text(root, job["path"], job["limit"])}

    def op_digest(self, job: Message, _fds: Sequence[int]) -> Message:
        """The digest of the sources of a COPY or of a bind mount; and of the lists `more`, where that is possible."""
        with _view(job["root"], job["place"]) as root:
            asked = _digest(root, job["paths"], job["exclude"], is_context=job["is_context"])
            more: list[str | None] = []
            for paths in job["more"]:
                try:
                    more.append(_digest(root, paths, (), is_context=job["is_context"]))
                except (TreeFault, OSError):  # of a step that is asked for later, if at all
                    more.append(None)
            return {"digest": asked, "more": more}

    def op_packages(self, job: Message, _fds: Sequence[int]) -> Message:
        """The packages that are installed in a tree."""
        with _view(job["root"], job["place"]) as root:
            return packages.contents(root).to_json()

    def op_materialize(self, job: Message, _fds: Sequence[int]) -> Message:
        """Copy what a bind mount of a RUN shows to the new path `into`: a folder with its content, or a file."""
        with _view(job["root"], job["place"]) as root, _no_umask():
            (found,) = find(root, re.sub(r"([*?\[\\])", r"\\\1", job["path"]))
            folder, name = os.path.split(job["into"])
            target = os.open(folder, FOLDER)
            try:
                copier = copying.Copier(root, target, copying.Dressing(owner=None, is_context=job["is_context"]))
                with contextlib.closing(copier):
                    copier.copy(found, name, into=False)
            finally:
                os.close(target)
            if found.is_folder:
                source = mounts.open_in_root(root, found.path or ".", FOLDER)
                info = os.fstat(source)
                os.close(source)
                if not job["is_context"]:
                    os.chown(job["into"], info.st_uid, info.st_gid)
                os.chmod(job["into"], stat.S_IMODE(info.st_mode))
        return {"is_folder": found.is_folder}

    def op_download(self, job: Message, _fds: Sequence[int]) -> Message:
        """Fetch a URL of ADD to the file `into`: its name, digest, and time."""
        return downloading.fetch(job["url"], Path(job["into"]), job["checksum"])

    def op_git_commit(self, job: Message, _fds: Sequence[int]) -> Message:
        """The commit that a ref of a git repository names."""
        return gitting.resolve(job)

    def op_git(self, job: Message, _fds: Sequence[int]) -> Message:
        """Check a git repository out to the new folder `into`."""
        return gitting.fetch(job)

    def op_subfolder(self, job: Message, _fds: Sequence[int]) -> Message:
        """The path of a folder inside another one, from which no link leads out."""
        return {"folder": gitting.folder_in(job["folder"], job["path"])}

    def op_url(self, job: Message, _fds: Sequence[int]) -> Message:
        """Fetch a context to the new folder `into`: an archive is unpacked, another file gets the name `name`."""
        digest: str = downloading.fetch(job["url"], Path(job["file"]), "")["digest"]
        with open(job["file"], "rb") as file:
            is_file = not _is_archive_file(file)
            if not is_file:
                self.op_spool(job, [file.fileno()])
        if is_file:
            os.makedirs(job["into"])
            os.chmod(job["into"], 0o755)
            os.rename(job["file"], os.path.join(job["into"], job["name"]))
        return {"is_file": is_file, "digest": digest}

    def op_copy(self, job: Message, _fds: Sequence[int]) -> Message:
        """COPY or ADD: the layer with the files."""
        with _Namespace.own():
            with contextlib.suppress(NotPlain):
                if (packed := self._packed(job)) is not None:
                    return packed
            self._copied(job)
        return self._layer(job)

    def _copied(self, job: Message) -> None:
        """Make the files of COPY or ADD in the step's upper folder, in a mount namespace of the job's own."""
        with _tree(job["target"], job["place"]) as target, _no_umask():
            owner = look_up_owner(target, job["chown"]) if job["chown"] else None
            destination: str = job["destination"]
            into = destination.endswith("/") or copying.is_folder(target, clean(destination))
            for number, source in enumerate(job["sources"]):
                if "content" in source:
                    if source.get("unpacks") and self._unpacked_file(source["file"], target, destination, owner):
                        continue
                    self._write(source, target, destination, owner, job["chmod"], into=into)
                    continue
                with _tree(source["root"], f"{job['place']}.{number}") as root:
                    self._copy(source, root, target, job, owner, into=into)

    def _packed(self, job: Message) -> Message | None:
        """The layer of kind tar of a COPY of one folder with more than a few entries; None if it is something else.

        In a mount namespace of the job's own. Raises NotPlain.
        """
        [source, *more] = job["sources"]
        if more or job["parents"] or "content" in source or len(source["paths"]) != 1 or job["kind"] != Kind.TAR:
            return None
        lowers = job["target"]["lowers"]
        view = {"lowers": lowers} if lowers else {"folder": job["target"]["upper"]}
        with contextlib.ExitStack() as stack:
            root = stack.enter_context(_tree(source["root"], f"{job['place']}.source"))
            found = find(root, source["paths"][0])
            if len(found) != 1 or not found[0].is_folder:
                return None
            folder = mounts.open_in_root(root, found[0].path or ".", FOLDER)
            stack.callback(os.close, folder)
            if entries_of(Path(f"/proc/self/fd/{folder}"), FEW) is not None:
                return None
            target = stack.enter_context(_tree(view, f"{job['place']}.view"))
            owner = look_up_owner(target, job["chown"]) if job["chown"] else None
            dressing = copying.Dressing(owner=owner, is_context=source["is_context"], chmod=job["chmod"])
            place, excluded = clean(job["destination"]), _excluded(source["exclude"])
            with contextlib.closing(Job(Path(job["ingest"]), Kind.TAR)) as work:
                layer = work.take_tar(FolderTar(folder, target, place, dressing, excluded, job["epoch"]).blocks())
                work.flush()
        return {"diff_id": layer.diff_id, "size": layer.size, "is_flushed": True}

    def _copy(
        self, source: Message, root: int, target: int, job: Message, owner: tuple[int, int] | None, *, into: bool
    ) -> None:
        dressing = copying.Dressing(owner=owner, is_context=source["is_context"], chmod=job["chmod"])
        copier = copying.Copier(root, target, dressing, _excluded(source["exclude"]))
        with contextlib.closing(copier):
            for pattern in source["paths"]:
                copier.close()  # hard links are kept within one source as it is written
                for found in find(root, pattern, deep=job["parents"]):
                    if source["unpacks"] and not found.is_folder and _is_archive(root, found):
                        with _open(root, found) as file:
                            self._unpack(file, target, job["destination"], owner)
                        continue
                    parents = _kept_parents(found) if job["parents"] else None
                    copier.copy(found, job["destination"], into=into, parents=parents)

    @staticmethod
    def _write(
        source: Message, target: int, destination: str, owner: tuple[int, int] | None, chmod: str, *, into: bool
    ) -> None:
        """A heredoc's content, or a file that was downloaded."""
        path = clean(f"{destination}/{source['name']}") if into else copying.follow(target, clean(destination))
        given = source.get("mode", 0o644)
        mode = modes.changed(chmod, stat.S_IFREG | given) if chmod else given
        with contextlib.ExitStack() as stack:
            content: IO[bytes] = io.BytesIO(source["content"].encode("utf-8", "surrogateescape"))
            if "file" in source:
                content = stack.enter_context(open(source["file"], "rb"))
            copying.write_file(target, path, content, owner=owner or (0, 0), mode=mode, mtime_ns=source.get("mtime_ns"))

    @staticmethod
    def _unpack(file: IO[bytes], target: int, destination: str, owner: tuple[int, int] | None) -> None:
        """An archive of ADD. `owner`: of folders that are made on the way; what it unpacks has its own owners."""
        place = clean(destination)
        os.close(copying.make_folders(target, place, owner or (0, 0)))
        compression, raw = peek(file_blocks(file.fileno()))
        with io.BufferedReader(_Stream(decompress(compression, raw)), 1 << 20) as source:
            tarring.extract(Tree(target), f"/{place}", source, keeps_kind=False, owner=None)

    def _unpacked_file(self, path: str, target: int, destination: str, owner: tuple[int, int] | None) -> bool:
        """Unpack a file that was downloaded; False if it is no archive."""
        with open(path, "rb", buffering=0) as file:
            if is_archive := _is_archive_file(file):
                self._unpack(file, target, destination, owner)
        return is_archive

    def op_mkdir(self, job: Message, _fds: Sequence[int]) -> Message:
        """WORKDIR: the layer with the folder."""
        with _Namespace.own(), _tree(job["target"], job["place"]) as target, _no_umask():
            owner = look_up_owner(target, job["chown"]) if job["chown"] else (0, 0)
            os.close(copying.make_folders(target, clean(job["destination"]), owner))
        return self._layer(job)

    def op_snapshot(self, job: Message, _fds: Sequence[int]) -> Message:
        """The layer of what a RUN step has written. `stubs`: paths of mounts, whose mount points may be in it."""
        for stub in job["stubs"]:
            _remove_stub(job["target"], clean(stub))
        return self._layer(job)

    @staticmethod
    def _layer(job: Message) -> Message:
        """Make the layer of the upper folder in the job's folder; flushed, unless it has few entries."""
        if job["epoch"] is not None:
            copying.clamp_times(job["target"]["upper"], job["epoch"])
        with contextlib.closing(Job(Path(job["ingest"]), Kind(job["kind"]))) as work:
            layer = work.take_folder(Path(job["target"]["upper"]))
            is_flushed = not work.is_unflushed(layer)
            if is_flushed:
                work.flush()
        return {"diff_id": layer.diff_id, "size": layer.size, "is_flushed": is_flushed}


def _text(root: int, path: str, limit: int) -> str | None:
    """The first `limit` bytes of a regular file of a tree as latin-1; None if there is none. Raises OSError."""
    try:
        fd = mounts.open_in_root(root, clean(path), os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(limit).decode("latin-1") if stat.S_ISREG(os.fstat(fd).st_mode) else None


def _texts(root: int, paths: Sequence[str], limit: int) -> Message:
    """Those of the files that can be read and are at most `limit` long; None for one that is not there."""
    found: Message = {}
    for path in paths:
        with contextlib.suppress(OSError, TreeFault):  # `op_read` will say what is wrong
            text = _text(root, path, limit + 1)
            if text is None or len(text) <= limit:
                found[path] = text
    return found


def _digest(root: int, paths: Sequence[str], exclude: Sequence[str], *, is_context: bool) -> str:
    """The digest of what a COPY of `paths` reads. Raises TreeFault, OSError."""
    digest = Digest(root, is_context=is_context, excluded=_excluded(exclude))
    for pattern in paths:
        for found in find(root, pattern, deep=True):  # not less than what is copied
            digest.add(found)
    return digest.hexdigest()


def _remove_stub(target: Message, path: str) -> None:
    """Remove the mount point that the runtime made for a mount, and the folders that it made for it, if empty."""
    while path:
        place = f"{target['upper']}/{path}"
        if any(os.path.lexists(f"{lower}/{path}") for lower in target["lowers"]) or os.path.islink(place):
            return
        try:
            if os.path.isdir(place):
                os.rmdir(place)
            elif os.path.getsize(place):
                return
            else:
                os.unlink(place)
        except OSError:  # not empty: the command has written there; or there was no mount point
            return
        path = path.rpartition("/")[0]


class _Stream(io.RawIOBase):
    """Blocks as a file that can be read."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _open(root: int, found: Found) -> IO[bytes]:
    return os.fdopen(mounts.open_in_root(root, found.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _is_archive(root: int, found: Found) -> bool:
    """Whether ADD unpacks the file: a tar, plain or compressed, by its content and not by its name."""
    try:
        file = _open(root, found)
    except OSError:
        return False
    with file:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode) and _is_archive_file(file)


def _is_archive_file(file: IO[bytes]) -> bool:
    """The same of an open file, which is then read from its beginning again."""
    head = file.read(SNIFF_LENGTH)
    file.seek(0)
    try:
        compression = sniff(head)
        blocks = decompress(compression, iter(lambda: file.read(1 << 16), b""))
        plain = b""
        for block in blocks:
            plain += block
            if len(plain) >= _TAR_HEADER:
                break
    except ImageFault:
        return False
    finally:
        file.seek(0)
    if len(plain) < _TAR_HEADER:
        return False
    return plain[257:262] == b"ustar" or (compression is Compression.NONE and _has_checksum(plain[:_TAR_HEADER]))


def _has_checksum(header: bytes) -> bool:
    """Whether a header of the old tar format, which has no magic, has the right checksum."""
    try:
        told = int(header[148:156].strip(b"\0 ") or b"x", 8)
    except ValueError:
        return False
    return told == sum(header[:148]) + sum(header[156:]) + 8 * 0x20


def _kept_parents(found: Found) -> str:
    """The part of the path that `COPY --parents` keeps: what follows a `/./` in the source as written."""
    _, pivot, rest = found.pattern.partition("/./")
    if not pivot:
        return found.path
    skipped = clean(found.pattern.partition("/./")[0])
    return found.path[len(skipped) :].lstrip("/") if rest else found.path


def run(job: Message, fds: Sequence[int], emit: Callable[[Message], None]) -> Message:
    """Do the job's operation. Raises what `failure` knows, PeerLost."""
    operation: Callable[[Message, Sequence[int]], Message] = getattr(_Work(emit), f"op_{job['op']}")
    return operation(job, fds)


def failure(error: Exception) -> Message | None:
    """The reply for a failed job; None for a programming error."""
    if isinstance(error, TreeFault | LaunchError):
        return {"failed": str(error), "kind": "invalid"}
    if isinstance(error, TreeError):
        return {"failed": str(error), "kind": "invalid"}
    if isinstance(error, ImageFault):
        return {"failed": str(error), "kind": "invalid"}
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename and not isinstance(error.filename, int) else ""
        return {"failed": f"{(error.strerror or str(error)).lower()}{where}", "kind": "failed"}
    return None
