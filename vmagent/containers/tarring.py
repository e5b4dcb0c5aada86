"""Writes and extracts tars of a container's tree.

Writing follows no symbolic link. Extracting resolves each member's parent folder inside the container's root.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import tarfile
from collections.abc import Collection
from contextlib import suppress
from typing import IO, Self

from vmagent.containers.ids import Ids
from vmagent.containers.treewalk import HOST_IDS, Tree, TreeError, split
from vmagent.linux import mounts
from vmagent.linux.files import syncfs
from vmagent.linux.process import PR_SET_PDEATHSIG, prctl

OPAQUE = "trusted.overlay.opaque"
_WHITEOUT, _OPAQUE_NAME = ".wh.", ".wh..wh..opq"
_OWN_XATTRS = ("trusted.overlay.", "user.overlay.")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Writer:
    """Writes a tar; files with several links in the tree become hard links in the tar."""

    def __init__(
        self, out: IO[bytes], *, as_diff: bool = False, crosses: Collection[str] = (), ids: Ids = HOST_IDS
    ) -> None:
        """`crosses`: absolute paths of the mounts whose content is included; other mount points are empty folders."""
        self._crosses, self._ids = crosses, ids
        self._tar = tarfile.open(  # noqa: SIM115 - closed by `close`
            fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20
        )
        self._seen: dict[tuple[int, int], str] = {}
        self._as_diff = as_diff

    def close(self) -> None:
        self._tar.close()

    def add(self, folder_fd: int, name: str, arc_name: str, place: str) -> None:
        """Add `name` in the open folder, with everything below it, as `arc_name`; `place` is its absolute path."""
        info = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        is_hidden = name != "." and place not in self._crosses and _is_mount_point(folder_fd, name)
        if self._as_diff and stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
            parent, _, base = arc_name.rpartition("/")
            self._marker(f"{parent}/{_WHITEOUT}{base}" if parent else f"{_WHITEOUT}{base}")
            return
        entry = self._entry(info, arc_name)
        if entry is None:
            return  # a socket: tar has no type for it
        if entry.type == tarfile.SYMTYPE:
            entry.linkname = os.readlink(name, dir_fd=folder_fd)
        if is_hidden:
            self._tar.addfile(entry)
        elif entry.isreg():
            self._add_file(folder_fd, name, info, entry)
        elif entry.isdir():
            self._add_folder(folder_fd, name, entry, place)
        else:
            self._tar.addfile(entry)

    def _marker(self, name: str) -> None:
        self._tar.addfile(tarfile.TarInfo(name))

    def _entry(self, info: os.stat_result, arc_name: str) -> tarfile.TarInfo | None:
        entry = tarfile.TarInfo(arc_name)
        entry.mode = stat.S_IMODE(info.st_mode)
        entry.uid, entry.gid = self._ids.inside(info.st_uid, info.st_gid)
        entry.mtime = info.st_mtime_ns // 1_000_000_000
        kinds = {
            stat.S_IFREG: tarfile.REGTYPE,
            stat.S_IFDIR: tarfile.DIRTYPE,
            stat.S_IFLNK: tarfile.SYMTYPE,
            stat.S_IFCHR: tarfile.CHRTYPE,
            stat.S_IFBLK: tarfile.BLKTYPE,
            stat.S_IFIFO: tarfile.FIFOTYPE,
        }
        kind = kinds.get(stat.S_IFMT(info.st_mode))
        if kind is None:
            return None
        entry.type = kind
        if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            entry.devmajor, entry.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
        return entry

    def _add_file(self, folder_fd: int, name: str, info: os.stat_result, entry: tarfile.TarInfo) -> None:
        key = (info.st_dev, info.st_ino)
        if info.st_nlink > 1 and key in self._seen:
            entry.type, entry.linkname = tarfile.LNKTYPE, self._seen[key]
            self._tar.addfile(entry)
            return
        self._seen[key] = entry.name
        with open(_open_regular(folder_fd, name), "rb") as file:
            entry.size = os.fstat(file.fileno()).st_size
            _set_xattrs(entry, file.fileno(), self._ids)
            # The file may grow or shrink meanwhile, but the entry must have the size in its header.
            self._tar.addfile(entry, _Exactly(file, entry.size))

    def _add_folder(self, folder_fd: int, name: str, entry: tarfile.TarInfo, place: str) -> None:
        fd = os.open(name, _FOLDER, dir_fd=folder_fd)
        try:
            _set_xattrs(entry, fd, self._ids)
            self._tar.addfile(entry)
            if self._as_diff and OPAQUE in _xattr_names(fd) and os.getxattr(fd, OPAQUE) == b"y":
                self._marker(f"{entry.name}/{_OPAQUE_NAME}")
            for child in sorted(os.listdir(fd)):
                try:
                    self.add(fd, child, f"{entry.name}/{child}", f"{place.rstrip('/')}/{child}")
                except FileNotFoundError:
                    continue  # deleted meanwhile
        finally:
            os.close(fd)


def _open_regular(folder_fd: int, name: str) -> int:
    """A descriptor of the regular file `name`. Raises FileNotFoundError if it is no regular file any more.

    The container's root may have replaced it by a device node since the lstat. Opening some devices has side effects,
    and no device cgroup restricts this process. So the type is checked again before the file is really opened.
    """
    path_fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        if not stat.S_ISREG(os.fstat(path_fd).st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return os.open(f"/proc/self/fd/{path_fd}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(path_fd)


class _Exactly:
    """A file that yields exactly `size` bytes: truncated, or padded with zeros."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = 1 << 20, /) -> bytes:
        size = min(size, self._left)
        data = self._file.read(size)
        data += bytes(size - len(data))
        self._left -= len(data)
        return data


def _xattr_names(fd: int) -> list[str]:
    """The names of the extended attributes; an empty list if the file system has none (procfs and others)."""
    try:
        return os.listxattr(fd)
    except OSError as e:
        if e.errno == errno.ENOTSUP:
            return []
        raise


def _is_mount_point(folder_fd: int, name: str) -> bool:
    """Whether something is mounted on `name`: openat2(2), RESOLVE_NO_XDEV."""
    try:
        os.close(mounts.openat2(folder_fd, name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, mounts.RESOLVE_NO_XDEV))
    except OSError as e:
        if e.errno == errno.EXDEV:
            return True
        raise
    return False


def _set_xattrs(entry: tarfile.TarInfo, fd: int, ids: Ids) -> None:
    found = {}
    for name in _xattr_names(fd):
        if name.startswith(_OWN_XATTRS) or name.startswith(("system.", "security.selinux")):
            continue
        value = ids.xattr_inside(name, os.getxattr(fd, name))
        found[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    if found:
        entry.pax_headers = found


def write_tree(tree: Tree, path: str, out: IO[bytes], crosses: Collection[str] = ()) -> None:
    """Write the tar of the file or folder at `path`; a link there is not followed. Member names begin with its name.

    `crosses`: absolute paths of mounts whose content is included. Raises TreeError 404.
    """
    folder, name = split(path)
    folder_fd = tree.open_folder(folder)
    writer = _Writer(out, crosses=crosses, ids=tree.ids)
    try:
        if name == ".":
            base = folder.rstrip("/").rpartition("/")[2]
            shown = "." if path.endswith(("/.", "/")) and not base else ("." if path.endswith("/.") else base or ".")
        else:
            shown = name
        writer.add(folder_fd, name, shown, os.path.normpath(os.path.join(folder, name)))
        writer.close()
    finally:
        os.close(folder_fd)


def write_root(tree: Tree, out: IO[bytes]) -> None:
    """Write the tar of the whole root file system, mount points as empty folders. Names are relative to the root."""
    fd = tree.open_folder("/")
    try:
        _write_children(fd, _Writer(out, ids=tree.ids))
    finally:
        os.close(fd)


def write_diff(upper: str, out: IO[bytes]) -> None:
    """Write an overlay's upper folder as a layer's tar, with OCI whiteouts (image-spec, layer.md, "Whiteouts")."""
    fd = os.open(upper, _FOLDER)
    try:
        _write_children(fd, _Writer(out, as_diff=True))
    finally:
        os.close(fd)


def _write_children(fd: int, writer: _Writer) -> None:
    for child in sorted(os.listdir(fd)):
        with suppress(FileNotFoundError):  # deleted meanwhile
            writer.add(fd, child, child, f"/{child}")
    writer.close()


class _Member(tarfile.TarInfo):
    """A member whose header must be right: behind the first one, tarfile takes a damaged or cut header for the end."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as e:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(e)) from e


def extract(tree: Tree, path: str, source: IO[bytes], *, keeps_kind: bool, owner: tuple[int, int] | None) -> None:
    """Unpack a tar (plain, gzip, bzip2 or xz) into the existing folder at `path`.

    `keeps_kind`: refuse to replace a folder by a file or a file by a folder. `owner`: (uid, gid) for all members
    instead of the owners in the tar. Raises TreeError.
    """
    try:
        base_fd = tree.open_folder(path)
    except TreeError as e:
        try:
            os.close(mounts.open_in_root(tree.root_fd, path, os.O_PATH | os.O_CLOEXEC))
        except OSError:
            raise e from None
        raise TreeError("extraction point is not a directory", 400) from e
    os.umask(0)
    base = os.path.normpath("/" + path)
    folders: list[tuple[str, tarfile.TarInfo]] = []
    try:
        tree.require_writable(base_fd)
        with tarfile.open(fileobj=source, mode="r|*", tarinfo=_Member) as tar:
            for member in tar:
                _extract_one(tree, base, tar, member, keeps_kind=keeps_kind, owner=owner)
                if member.isdir():
                    folders.append((_target(base, member.name), member))
        for target, member in reversed(folders):  # last, because writing into a folder changes its time
            fd = tree.open_folder(target)
            os.utime(fd, (member.mtime, member.mtime))
            os.close(fd)
    except (tarfile.TarError, EOFError) as e:
        raise TreeError(f"Error processing tar file: {e}", 400) from e
    finally:
        os.close(base_fd)


def _target(base: str, name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise TreeError(f"invalid path in archive: {name!r}", 400)
    return os.path.join(base, *parts) if parts else base


def _extract_one(
    tree: Tree,
    base: str,
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    *,
    keeps_kind: bool,
    owner: tuple[int, int] | None,
) -> None:
    target = _target(base, member.name)
    uid, gid = tree.ids.outside(*(owner or (member.uid, member.gid)))
    if target == base or target == "/":
        return  # the target folder itself keeps its attributes
    folder, _, name = target.rpartition("/")
    folder_fd = _make_folders(tree, folder or "/")
    try:
        _make_room(folder_fd, name, member, keeps_kind=keeps_kind)
        if member.isdir():
            with suppress(FileExistsError):
                os.mkdir(name, member.mode & 0o7777, dir_fd=folder_fd)
            fd = os.open(name, _FOLDER, dir_fd=folder_fd)
        elif member.isreg():
            fd = os.open(name, _NEW_FILE, 0o600, dir_fd=folder_fd)
        else:
            _make_special(tree, base, folder_fd, name, member, uid, gid)
            return
        try:
            if member.isreg() and (content := tar.extractfile(member)) is not None:
                with os.fdopen(os.dup(fd), "wb") as out:
                    shutil.copyfileobj(content, out, 1 << 20)
            os.fchown(fd, uid, gid)
            os.fchmod(fd, member.mode & 0o7777)
            for key, value in member.pax_headers.items():
                if key.startswith("SCHILY.xattr.") and not key[13:].startswith(_OWN_XATTRS):
                    raw = value.encode("utf-8", "surrogateescape")
                    os.setxattr(fd, key[13:], tree.ids.xattr_outside(key[13:], raw))
            os.utime(fd, (member.mtime, member.mtime))
        finally:
            os.close(fd)
    finally:
        os.close(folder_fd)


def _make_folders(tree: Tree, path: str) -> int:
    """Open the folder `path`; make it and its parents if they are missing."""
    try:
        return tree.open_folder(path)
    except TreeError:
        if path == "/":
            raise
    parent, _, name = path.rpartition("/")
    parent_fd = _make_folders(tree, parent or "/")
    try:
        os.mkdir(name, 0o755, dir_fd=parent_fd)
    except FileExistsError:
        pass
    finally:
        os.close(parent_fd)
    return tree.open_folder(path)


def _make_room(folder_fd: int, name: str, member: tarfile.TarInfo, *, keeps_kind: bool) -> None:
    """Remove the existing file or folder that `member` replaces. Raises TreeError if `keeps_kind` forbids it."""
    try:
        there = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    is_folder = stat.S_ISDIR(there.st_mode)
    if is_folder and member.isdir():
        return
    if keeps_kind and is_folder and not member.isdir():
        raise TreeError(f'cannot overwrite directory "{name}" with non-directory "{member.name}"', 500)
    if keeps_kind and not is_folder and member.isdir():
        raise TreeError(f'cannot overwrite non-directory "{name}" with directory "{member.name}"', 500)
    if is_folder:
        shutil.rmtree(name, dir_fd=folder_fd)
    else:
        os.unlink(name, dir_fd=folder_fd)


def _make_special(
    tree: Tree, base: str, folder_fd: int, name: str, member: tarfile.TarInfo, uid: int, gid: int
) -> None:
    if member.issym():
        os.symlink(member.linkname, name, dir_fd=folder_fd)
    elif member.islnk():
        folder, _, linked = _target(base, member.linkname).rpartition("/")
        source_fd = tree.open_folder(folder or "/")
        try:
            os.link(linked, name, src_dir_fd=source_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
        finally:
            os.close(source_fd)
        return
    elif member.isfifo():
        os.mkfifo(name, member.mode & 0o777, dir_fd=folder_fd)
    elif member.ischr() or member.isblk():
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        device = os.makedev(member.devmajor, member.devminor)
        os.mknod(name, kind | member.mode & 0o777, device, dir_fd=folder_fd)
    else:
        raise TreeError(f"unhandled tar header type {member.type!r}", 400)
    os.chown(name, uid, gid, dir_fd=folder_fd, follow_symlinks=False)


def copy_up(tree: Tree, path: str, target: str, ids: Ids) -> None:
    """Copy the image's folder at `path` into the empty folder `target` with content, owners and modes, and flush it.

    Does nothing if the image has no folder there. `ids`: translates the owners for `target`. Raises OSError.
    """
    try:
        source_fd = tree.open_folder(path)
    except TreeError:
        return
    try:
        target_fd = os.open(target, _FOLDER)  # before the first write: syncfs reports only errors after this open
        read_fd, write_fd = os.pipe()
        info = os.fstat(source_fd)
        pid = os.fork()
        if pid == 0:  # the child reads the tar; fork is safe, since this process has one thread
            status = 1
            try:
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                os.close(write_fd)
                with open(read_fd, "rb") as source:
                    inside = Tree(target_fd, ids)
                    extract(inside, "/", source, keeps_kind=False, owner=None)
                status = 0
            finally:
                os._exit(status)
        os.close(read_fd)
        with open(write_fd, "wb") as out:
            _write_children(source_fd, _Writer(out))
        _, wait_status = os.waitpid(pid, 0)
        if wait_status:
            raise OSError(errno.EIO, "copying the image's files into the volume failed", target)
        os.fchown(target_fd, *ids.outside(info.st_uid, info.st_gid))
        os.fchmod(target_fd, stat.S_IMODE(info.st_mode))
        syncfs(target_fd)
        os.close(target_fd)
    finally:
        os.close(source_fd)
