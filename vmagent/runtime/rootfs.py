"""The container's file system, made by its own first process in its own mount namespace.

Every mount is built detached (fsopen … fsmount, or open_tree for binds) and then attached to a descriptor that openat2
found below the root: no path is resolved twice, so no link in an image or volume, swapped at any moment, leads a mount
out of the container (CVE-2021-30465, CVE-2025-31133, CVE-2025-52881). Runs in the child between clone3 and execve:
nothing may be imported here.
"""

from __future__ import annotations

import errno
import os
import stat

from vmagent.linux import mounts as m
from vmagent.runtime.copyup import copy_up
from vmagent.runtime.failure import MOUNT, OTHER, LaunchError, failed
from vmagent.runtime.plantypes import (
    MAY_COVER_PROC,
    MUST_BE_PROC,
    ON_PROC,
    ON_SYS,
    ORDINARY,
    BindMount,
    CgroupBind,
    CgroupHierarchy,
    CgroupLink,
    CgroupMount,
    CgroupRoot,
    CgroupWhole,
    Remount,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmagent.runtime.plantypes import Device, Mount, NewMount, Overlay, Rootfs, ShownCgroup, Sysctl

_PAGE = 4096
_MAX_LINKS = 40  # as the kernel's own limit of a path resolution
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)


def open_bind_sources(mount_list: tuple[Mount, ...], prepared: dict[int, int]) -> dict[int, int]:
    """Detached copies of the sources of bind mounts, by the mount's position; `prepared` are already open.

    Call it before the mount tree is made a slave of the host's: a copy made now remains a peer of its source, as
    `rshared` and `rslave` require. Raises LaunchError (mount).
    """
    sources = dict(prepared)
    for position, mount in enumerate(mount_list):
        if isinstance(mount, BindMount) and position not in prepared:
            flags = m.OPEN_TREE_CLONE | (m.AT_RECURSIVE if mount.recursive else 0)
            try:
                sources[position] = m.open_tree(m.AT_FDCWD, mount.label, flags)
            except OSError as e:
                raise failed(doing(mount), e, MOUNT) from e
    return sources


def enter_root(plan: Rootfs, root_fd: int = -1) -> int:
    """Mount the overlay at the root's path, or bind the folder onto itself; its descriptor. Raises LaunchError.

    `root_fd`: a detached mount of the folder or the overlay, for a process that cannot traverse the path. It is then
    attached at /dev, which every host has, and whose devices are open by now.
    """
    path, overlay = plan.path, plan.overlay
    try:
        m.mount(None, "/", None, m.MS_REC | m.MS_SLAVE)
        if overlay is not None and root_fd < 0:
            mount_overlay(path, overlay)
            return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        target = os.open(path if root_fd < 0 else "/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if root_fd < 0:
            root_fd = m.open_tree(m.AT_FDCWD, path, m.OPEN_TREE_CLONE | m.AT_RECURSIVE)
        m.mount_setattr(root_fd, propagation=m.MS_SLAVE, recursive=True)
        m.move_mount(root_fd, target)
        os.close(target)
        return root_fd
    except OSError as e:
        raise failed(f"error mounting the root file system at {path}", e, MOUNT) from e


def mount_overlay(target: str, overlay: Overlay) -> None:
    """Mount an overlay at `target`. Raises OSError."""
    folders = list(overlay.lowers)
    writable = [overlay.upper, overlay.work] if overlay.upper else []
    data = _overlay_options(folders, writable, is_volatile=overlay.is_volatile)
    descriptors: list[int] = []
    if len(os.fsencode(data)) >= _PAGE or any(c in path for path in folders + writable for c in ":,\\"):
        # mount(2) takes one page of options, and these characters are separators in it: pass short names instead.
        descriptors = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in folders + writable]
        names = [f"/proc/self/fd/{fd}" for fd in descriptors]
        data = _overlay_options(names[: len(folders)], names[len(folders) :], is_volatile=overlay.is_volatile)
    try:
        m.mount("overlay", target, "overlay", 0, data)
    finally:
        for fd in descriptors:
            os.close(fd)


def _overlay_options(lowers: list[str], writable: list[str], *, is_volatile: bool) -> str:
    # index=off: otherwise an upper folder is busy while a dying mount namespace still has it mounted.
    options = ("volatile," if is_volatile else "") + "index=off,lowerdir=" + ":".join(lowers)
    return f"{options},upperdir={writable[0]},workdir={writable[1]}" if writable else options


def mount_all(
    root_fd: int,
    mount_list: tuple[Mount, ...],
    sources: dict[int, int],
    cgroups: list[ShownCgroup],
) -> dict[str, int]:
    """Carry out the mounts in their order. `cgroups`: what a mount of type cgroup shows. Raises LaunchError (mount).

    Returns descriptors of what was mounted at /proc and /sys, for `mask` and `make_read_only`.
    """
    trees: dict[str, int] = {}
    for position, mount in enumerate(mount_list):
        try:
            if isinstance(mount, BindMount):
                _attach_bind(root_fd, mount, sources[position], trees)
            elif isinstance(mount, CgroupMount):
                _mount_cgroups(root_fd, mount, cgroups)
            elif isinstance(mount, Remount):
                _remount(root_fd, mount)
            else:
                _mount_new(root_fd, mount, trees)
        except OSError as e:
            raise failed(doing(mount), e, MOUNT) from e
    return trees


def doing(mount: Mount) -> str:
    """The beginning of the error message of a mount that failed."""
    return f'error mounting "{mount.label}" to rootfs at "{mount.destination}"'


def _mount_new(root_fd: int, mount: NewMount, trees: dict[str, int]) -> None:
    attributes = 0 if mount.copies_up else mount.attributes
    fd = m.new_mount(mount.fstype, mount.source, list(mount.options), attributes)
    if mount.copies_up:
        try:
            copy_up(root_fd, mount.destination, fd)
        except OSError as e:
            raise failed(f"error copying {mount.destination} into its tmpfs", e, MOUNT) from e
        m.mount_setattr(fd, set_=mount.attributes)
    if mount.all_set or mount.all_cleared:
        m.mount_setattr(fd, set_=mount.all_set, clear=mount.all_cleared)
    _attach(root_fd, mount, fd, trees, is_folder=True)


def _attach_bind(root_fd: int, mount: BindMount, fd: int, trees: dict[str, int]) -> None:
    is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
    if mount.all_set or mount.all_cleared:
        m.mount_setattr(fd, set_=mount.all_set, clear=mount.all_cleared, recursive=True)
    if mount.attributes or mount.cleared:
        m.mount_setattr(fd, set_=mount.attributes, clear=mount.cleared)
    _attach(root_fd, mount, fd, trees, is_folder=is_folder)


def _remount(root_fd: int, mount: Remount) -> None:
    """Change the attributes of the mount that already is at the destination."""
    target = m.open_in_root(root_fd, mount.destination)
    try:
        m.mount_setattr(target, set_=mount.attributes, clear=mount.cleared)
        if mount.all_set or mount.all_cleared:
            m.mount_setattr(target, set_=mount.all_set, clear=mount.all_cleared, recursive=True)
        for flag, recursive in mount.propagation:
            m.mount_setattr(target, propagation=flag, recursive=recursive)
    finally:
        os.close(target)


def _attach(
    root_fd: int, mount: NewMount | BindMount | CgroupMount, fd: int, trees: dict[str, int], *, is_folder: bool
) -> None:
    """Put the detached mount `fd` on its destination, made if it is missing; closes `fd`, or keeps it in `trees`."""
    destination = mount.destination
    for flag, recursive in mount.propagation:
        m.mount_setattr(fd, propagation=flag, recursive=recursive)
    if mount.place & ORDINARY:
        target = _ordinary_folder(root_fd, destination)
    else:
        target = ensure(root_fd, destination, is_folder=is_folder)
        if mount.place & MUST_BE_PROC and m.filesystem_type(fd) != m.PROC_SUPER_MAGIC:
            raise LaunchError(MOUNT, f'"{destination}" cannot be mounted because it is not of type proc')
        if not mount.place & MAY_COVER_PROC and m.filesystem_type(target) == m.PROC_SUPER_MAGIC:
            raise LaunchError(MOUNT, f'"{destination}" cannot be mounted because it is inside /proc')
    m.move_mount(fd, target)
    os.close(target)
    if mount.place & (ON_PROC | ON_SYS):
        trees["/proc" if mount.place & ON_PROC else "/sys"] = fd
    else:
        os.close(fd)


def _ordinary_folder(root_fd: int, path: str) -> int:
    """Refuse a link at /proc or /sys: paths below them must later lead to the kernel's file systems."""
    os.close(ensure(root_fd, path, is_folder=True))
    return m.openat2(
        root_fd, path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, m.RESOLVE_IN_ROOT | m.RESOLVE_NO_SYMLINKS
    )


def _mount_cgroups(root_fd: int, mount: CgroupMount, cgroups: list[ShownCgroup]) -> None:
    """Show the container's cgroups: one cgroup2 mount, or a tmpfs with one folder for each v1 hierarchy."""
    if isinstance(cgroups[0], (CgroupRoot, CgroupWhole)):
        for entry in cgroups:
            if isinstance(entry, CgroupRoot):
                fd = m.new_mount(entry.fstype, "cgroup", list(entry.options), mount.attributes)
            else:
                assert isinstance(entry, CgroupWhole)
                fd = _bound_cgroup(entry.source, mount)
            _attach(root_fd, mount, fd, {}, is_folder=True)
        return
    tmpfs = m.new_mount("tmpfs", "tmpfs", [("mode", "755")], mount.attributes & ~m.MOUNT_ATTR_RDONLY)
    _attach(root_fd, mount, os.dup(tmpfs), {}, is_folder=True)
    os.fchdir(tmpfs)  # attached now; only this process can change its folders, so mount(2) by path meets no link
    for entry in cgroups:
        if isinstance(entry, CgroupLink):
            os.symlink(entry.target, entry.name, dir_fd=tmpfs)
            continue
        assert isinstance(entry, (CgroupHierarchy, CgroupBind))
        os.mkdir(entry.folder, 0o755, dir_fd=tmpfs)
        if isinstance(entry, CgroupHierarchy):
            # One system call for each of the nine hierarchies; a mount by descriptors needs ten.
            m.mount("cgroup", entry.folder, "cgroup", mount.mount_flags, entry.options)
            continue
        fd = _bound_cgroup(entry.source, mount)
        target = os.open(entry.folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=tmpfs)
        m.move_mount(fd, target)
        os.close(target)
        os.close(fd)
    if mount.attributes & m.MOUNT_ATTR_RDONLY:
        m.mount_setattr(tmpfs, set_=m.MOUNT_ATTR_RDONLY)
    os.close(tmpfs)
    os.chdir("/")


def _bound_cgroup(source: str, mount: CgroupMount) -> int:
    fd = m.open_tree(m.AT_FDCWD, source, m.OPEN_TREE_CLONE)
    m.mount_setattr(fd, set_=mount.attributes, propagation=m.MS_PRIVATE)
    return fd


def make_devices(root_fd: int, devices: tuple[Device, ...], made: dict[str, int], *, with_links: bool) -> None:
    """Make device nodes, and the links of every /dev. `made`: nodes to bind instead, by path. Raises LaunchError."""
    if not devices and not with_links:
        return
    step = "error creating device nodes"
    try:
        dev_fd = ensure(root_fd, "/dev", is_folder=True)
        for device in devices:
            step = f"error creating device {device.path}"
            parent = dev_fd if device.folder == "/dev" else ensure(root_fd, device.folder, is_folder=True)
            if device.path in made:
                _bind_node(root_fd, device.path, made[device.path])
            else:
                _make_node(parent, device)
            if parent != dev_fd:
                os.close(parent)
        if with_links:
            step = "error creating the links of /dev"
            for name, target in _LINKS:
                _make_link(dev_fd, name, target)
            if os.path.exists("/proc/kcore"):
                _make_link(dev_fd, "core", "/proc/kcore")
        os.close(dev_fd)
    except OSError as e:
        raise failed(step, e) from e


def _make_node(parent: int, device: Device) -> None:
    try:
        os.mknod(device.name, device.mode, device.device, dir_fd=parent)
    except FileExistsError:
        info = os.stat(device.name, dir_fd=parent, follow_symlinks=False)
        if stat.S_IFMT(info.st_mode) != stat.S_IFMT(device.mode) or info.st_rdev != device.device:
            raise
    if device.uid or device.gid:
        os.chown(device.name, device.uid, device.gid, dir_fd=parent, follow_symlinks=False)


def _bind_node(root_fd: int, path: str, fd: int) -> None:
    target = ensure(root_fd, path, is_folder=False)
    m.move_mount(fd, target)
    os.close(target)


def _make_link(parent: int, name: str, target: str) -> None:
    try:
        os.symlink(target, name, dir_fd=parent)
    except FileExistsError:
        return  # the image has it, on a /dev that is not a new tmpfs


def mask(root_fd: int, paths: tuple[str, ...], null_fd: int, trees: dict[str, int]) -> None:
    """Hide `paths`: a file behind /dev/null (the host's own, `null_fd`), a folder behind an empty read-only tmpfs.

    Paths below /proc and /sys are looked up in `trees`, the mounts made there: another container with the same root
    file system may meanwhile have renamed the folder, with its mount, and put another one in its place.
    The null device is bound read-only. It can still be read and written, but its mode and owner, which are the host's,
    cannot be changed.
    """
    for path in paths:
        target = _open_existing(root_fd, path, trees)
        if target < 0:
            continue
        try:
            if stat.S_ISDIR(os.fstat(target).st_mode):
                cover = m.new_mount("tmpfs", "tmpfs", [("nr_blocks", "1"), ("nr_inodes", "1")], m.MOUNT_ATTR_RDONLY)
            else:
                cover = m.open_tree(null_fd, "", m.OPEN_TREE_CLONE)
                flags = m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NOEXEC
                m.mount_setattr(cover, set_=flags, propagation=m.MS_PRIVATE)
            m.move_mount(cover, target)
        except OSError as e:
            raise failed(f"error masking {path}", e, MOUNT) from e
        os.close(cover)
        os.close(target)


def make_read_only(root_fd: int, paths: tuple[str, ...], trees: dict[str, int]) -> None:
    """Bind each of `paths`, looked up as by `mask`, onto itself, read-only with all below. Raises LaunchError."""
    for path in paths:
        target = _open_existing(root_fd, path, trees)
        if target < 0:
            continue
        try:
            copy = m.open_tree(target, "", m.OPEN_TREE_CLONE | m.AT_RECURSIVE)
            m.mount_setattr(copy, set_=m.MOUNT_ATTR_RDONLY, recursive=True)
            m.move_mount(copy, target)
        except OSError as e:
            raise failed(f"error making {path} read-only", e, MOUNT) from e
        os.close(copy)
        os.close(target)


def finish_tmpfs(root_fd: int, destinations: tuple[str, ...]) -> None:
    """Make read-only each tmpfs that had to stay writable until all was made in it. Raises LaunchError."""
    for destination in destinations:
        try:
            target = m.open_in_root(root_fd, destination)
            m.mount_setattr(target, set_=m.MOUNT_ATTR_RDONLY)
            os.close(target)
        except OSError as e:
            raise failed(f"error making {destination} read-only", e, MOUNT) from e


def _open_existing(root_fd: int, path: str, trees: dict[str, int]) -> int:
    """An O_PATH descriptor; -1 if `path` does not exist."""
    try:
        for place, fd in trees.items():
            if path.startswith(place + "/"):
                return m.open_in_root(fd, path[len(place) + 1 :])
        return m.open_in_root(root_fd, path)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    except OSError as e:
        raise failed(f"error opening {path} in the container", e, MOUNT) from e


def open_null() -> int:
    """The host's null device, checked; the caller's. Raises LaunchError."""
    fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    if not is_null(fd):
        os.close(fd)
        raise LaunchError(OTHER, "the host's /dev/null is not the null device")
    return fd


def open_own_null(root_fd: int) -> int:
    """A null device that is not the host's file: the container's /dev/null, or a node on a new tmpfs.

    Through the host's node, as a standard stream, the container's root could change its mode and owner. Raises
    LaunchError.
    """
    looked = _open_if_null(root_fd, os.O_PATH)  # another kind of file might block the open
    if looked >= 0:
        os.close(looked)
        if (fd := _open_if_null(root_fd, os.O_RDWR | os.O_NOCTTY)) >= 0:
            return fd
    try:
        folder = m.new_mount("tmpfs", "tmpfs", [("nr_inodes", "2"), ("mode", "755")])
        os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3), dir_fd=folder)
        fd = os.open("null", os.O_RDWR | os.O_CLOEXEC, dir_fd=folder)
        os.close(folder)
    except OSError as e:
        raise failed("error making a null device", e) from e
    return fd


def _open_if_null(root_fd: int, flags: int) -> int:
    """The container's /dev/null; -1 if it is missing, a dangling link or not the null device."""
    try:
        fd = m.open_in_root(root_fd, "/dev/null", flags)
    except OSError:
        return -1
    if is_null(fd):
        return fd
    os.close(fd)
    return -1


def is_null(fd: int) -> bool:
    info = os.fstat(fd)
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == os.makedev(1, 3)


def write_sysctls(values: tuple[Sysctl, ...]) -> None:
    """Write kernel parameters through a new, detached procfs: no mount of the container can cover its files."""
    if not values:
        return
    proc = m.new_mount("proc", "proc", [])
    for path, value in values:
        resolve = m.RESOLVE_BENEATH | m.RESOLVE_NO_SYMLINKS | m.RESOLVE_NO_XDEV
        try:
            fd = m.openat2(proc, "sys/" + path, os.O_WRONLY, resolve)
            os.write(fd, value.encode())
            os.close(fd)
        except OSError as e:
            raise failed(f"error writing {value!r} to /proc/sys/{path}", e) from e
    os.close(proc)


def pivot(root_fd: int, *, readonly: bool, propagation: int) -> None:
    """Make `root_fd` the root and drop the old one. Raises LaunchError."""
    try:
        if readonly:
            m.mount_setattr(root_fd, set_=m.MOUNT_ATTR_RDONLY)
        os.fchdir(root_fd)
        m.pivot_root(".", ".")  # the old root is now mounted over the new one
        m.umount(".", m.MNT_DETACH)
        os.chdir("/")
        if propagation:
            m.mount(None, "/", None, propagation)
    except OSError as e:
        raise failed("error changing the root", e, MOUNT) from e


def ensure(root_fd: int, path: str, *, is_folder: bool, mode: int = 0o755) -> int:
    """Open `path` below the root (O_PATH), made with all above it where it is missing; the caller's descriptor.

    A link, dangling or not, is followed as a process inside would follow it. Raises OSError; ENOTDIR where a folder was
    to be put on a file or the reverse.
    """
    flags = os.O_PATH | os.O_DIRECTORY if is_folder else os.O_PATH
    try:
        fd = m.open_in_root(root_fd, path, flags)
    except FileNotFoundError:
        fd = m.open_in_root(root_fd, _make(root_fd, path, is_folder=is_folder, mode=mode), flags)
    if not is_folder and stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return fd


def _make(root_fd: int, path: str, *, is_folder: bool, mode: int) -> str:
    """Make the missing parts of `path`; returns the resolved path, without links."""
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            if done:
                done.pop()
            continue
        parent = m.open_in_root(root_fd, "/" + "/".join(done), os.O_PATH | os.O_DIRECTORY)
        try:
            info = os.stat(part, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(info.st_mode):
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(part, dir_fd=parent)
                if target.startswith("/"):
                    done = []
                todo += [name for name in reversed(target.split("/")) if name not in ("", ".")]
                continue
        except FileNotFoundError:
            if todo or is_folder:
                os.mkdir(part, mode, dir_fd=parent)
            else:
                os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent))
        finally:
            os.close(parent)
        done.append(part)
    return "/" + "/".join(done)
