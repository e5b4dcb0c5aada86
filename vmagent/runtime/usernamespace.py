"""The part of a start that needs the host's root, for containers in a user namespace and for idmapped mounts.

Runs in the parent, before clone3. Only the host's root may idmap a file system, make a device node, and traverse every
folder of the host. The child inherits the results as descriptors. This module is loaded only for plans that need it.

An overlay in a user namespace is mounted over idmapped mounts of its folders (mount_setattr, Linux 5.12; below an
overlay, 5.19). The layers are neither copied nor changed to another owner, and files that the container's root writes
belong to uid 0 on disk. So the same layers and the same upper folder work with any mapping, or without one.
"""

from __future__ import annotations

import errno
import os
import stat

from vmagent.linux import capabilities
from vmagent.linux import mounts as m
from vmagent.linux import process as linux
from vmagent.linux.idmaps import outside
from vmagent.runtime.failure import MOUNT, OTHER, failed
from vmagent.runtime.plantypes import BindMount
from vmagent.runtime.rootfs import doing
from vmagent.runtime.spawn import close_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmagent.runtime.plantypes import Device, Overlay, Rootfs, UserNamespace


class Prepared:
    """Descriptors for the child, closed by `close` in the parent. `root_fd` and `user_ns_fd` are -1 if unused.

    `sources`: detached mounts by the position of their entry in the plan's mounts; `devices`: by path.
    """

    __slots__ = ("devices", "root_fd", "sources", "user_ns_fd")

    def __init__(self) -> None:
        self.user_ns_fd = -1
        self.root_fd = -1
        self.sources: dict[int, int] = {}
        self.devices: dict[str, int] = {}

    def close(self) -> None:
        close_all(fd for fd in (self.user_ns_fd, self.root_fd) if fd >= 0)
        close_all(self.sources.values())
        close_all(self.devices.values())


def prepare(plan: Rootfs, user: UserNamespace | None) -> Prepared:
    """Open or make what the container's first process cannot. Raises LaunchError.

    An overlay needs the maps of `user` even if the namespace is joined, not new.
    """
    prepared = Prepared()
    try:
        if user is not None:
            prepared.user_ns_fd = _open_user_namespace(user)
            prepared.root_fd = _open_root(plan, prepared.user_ns_fd, user)
            prepared.devices = _make_devices(plan.devices, user)
        for position, mount in enumerate(plan.mounts):
            if isinstance(mount, BindMount) and (user is not None or mount.idmap is not None):
                prepared.sources[position] = _open_source(mount, prepared.user_ns_fd)
    except BaseException:
        prepared.close()
        raise
    return prepared


def _open_root(plan: Rootfs, user_ns_fd: int, user: UserNamespace) -> int:
    """The root file system as a detached mount. Raises LaunchError."""
    overlay, path = plan.overlay, plan.path
    try:
        if overlay is not None:
            root = outside(0, user.uids), outside(0, user.gids)
            return mount_idmapped_overlay(overlay, user_ns_fd, root)
        return m.open_tree(m.AT_FDCWD, path, m.OPEN_TREE_CLONE | m.AT_RECURSIVE)
    except OSError as e:
        raise failed(f"error mounting the root file system at {path}", e, MOUNT) from e


def mount_idmapped_overlay(overlay: Overlay, user_ns_fd: int, root: tuple[int, int]) -> int:
    """A detached overlay whose files on disk are seen with the ids of a user namespace; the caller's descriptor.

    The upper and work folders of `overlay` are in one folder and never missing. `root`: the host's uid and gid of the
    namespace's root. Raises OSError; EINVAL where a file system can't be idmapped. The caller has one thread.
    """
    parent, upper = os.path.split(overlay.upper)
    other, work = os.path.split(overlay.work)
    if parent != other:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), overlay.work)  # two mounts, which overlayfs refuses
    folders: list[int] = []
    try:
        for path in (*overlay.lowers, parent):
            folders.append(open_idmapped(path, user_ns_fd))
        return _of_child(
            linux.CLONE_NEWNS,
            lambda: _assemble(folders, upper, work, root, is_volatile=overlay.is_volatile),
            lambda _, pidfd, made: linux.pidfd_getfd(pidfd, made),
        )
    finally:
        close_all(folders)


def open_idmapped(path: str, user_ns_fd: int) -> int:
    """A detached mount of the folder or file `path` with the mapping of a user namespace. Raises OSError."""
    fd = m.open_tree(m.AT_FDCWD, path, m.OPEN_TREE_CLONE)
    try:
        m.mount_idmapped(fd, user_ns_fd)
    except OSError as e:
        os.close(fd)
        raise OSError(e.errno, f"{path} cannot be idmapped: {os.strerror(e.errno or 0)}", path) from e
    return fd


def _assemble(folders: list[int], upper: str, work: str, root: tuple[int, int], *, is_volatile: bool) -> int:
    """Run in a mount namespace of its own, which ends with this process: attach the folders, since an overlay accepts
    detached mounts only from Linux 6.15 on, and mount the overlay over them."""
    m.mount(None, "/", None, m.MS_REC | m.MS_SLAVE)
    place = m.new_mount("tmpfs", "tmpfs", [("mode", "755")])
    target = os.open("/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # is always there
    m.move_mount(place, target)
    os.fchdir(place)
    names = [str(number) for number in range(len(folders))]  # short: mount(2) takes one page of options
    for name, fd in zip(names, folders, strict=True):
        os.mkdir(name, 0o755)
        folder = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        m.move_mount(fd, folder)
    os.mkdir("root", 0o755)
    own = names.pop()
    # overlayfs copies up and makes whiteouts and work/work with the ids and capabilities of the mounting process.
    # The host's root is not mapped there (EOVERFLOW), so take the ids of the container's root, with our capabilities.
    _, permitted, inheritable = capabilities.capget()
    linux.set_fs_ids(*root)
    capabilities.capset(permitted, permitted, inheritable)
    options = f"index=off,lowerdir={':'.join(names)},upperdir={own}/{upper},workdir={own}/{work}"
    if is_volatile:
        options = f"volatile,{options}"
    m.mount("overlay", "root", "overlay", 0, options)
    return m.open_tree(m.AT_FDCWD, "root", m.OPEN_TREE_CLONE)


def _of_child(flags: int, make: Callable[[], int], take: Callable[[int, int, int], int]) -> int:
    """Run `make` in a child in new namespaces (`flags`), and return what `take` returns. Raises OSError.

    `take` runs here while the child still exists. Its arguments are the child's pid, its pidfd, and the result of
    `make`, a number of at least 0.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    hold_reader, hold_writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid, pidfd = linux.clone3(flags)
        if pid == 0:
            code = -errno.EIO
            try:
                os.close(hold_writer)
                code = make()
            except OSError as e:
                code = -(e.errno or errno.EIO)
            finally:
                os.write(writer, b"%d" % code)
                os.read(hold_reader, 1)  # until the parent has finished `take` or has ended
                os._exit(0)
        try:
            os.close(writer)
            writer = -1
            made = int(os.read(reader, 16) or b"-5")
            if made < 0:
                raise OSError(-made, os.strerror(-made))
            return take(pid, pidfd, made)
        finally:
            os.close(hold_writer)
            hold_writer = -1
            os.waitpid(pid, 0)
            os.close(pidfd)
    finally:
        close_all(fd for fd in (reader, writer, hold_reader, hold_writer) if fd >= 0)


def _open_user_namespace(user: UserNamespace) -> int:
    path = user.path
    try:
        if path:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return make_user_namespace(user.uids, user.gids)
    except OSError as e:
        raise failed(f"error opening the user namespace {path}" if path else "error making a user namespace", e) from e


def make_user_namespace(uid_map: Sequence[Sequence[int]], gid_map: Sequence[Sequence[int]]) -> int:
    """A new user namespace with these [inside, outside, count] maps; the caller's descriptor. Raises OSError."""

    def take(pid: int) -> int:
        for name, entries in (("uid_map", uid_map), ("gid_map", gid_map)):
            fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, "".join(f"{a} {b} {c}\n" for a, b, c in entries).encode())
            finally:
                os.close(fd)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)

    return _of_child(linux.CLONE_NEWUSER, lambda: 0, lambda pid, *_: take(pid))


def make_network_namespace(user_ns_fd: int) -> int:
    """A new network namespace that belongs to a user namespace; the caller's descriptor. Raises OSError."""

    def make() -> int:
        linux.setns(user_ns_fd, linux.CLONE_NEWUSER)
        linux.unshare(linux.CLONE_NEWNET)
        return 0

    return _of_child(0, make, lambda pid, *_: os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))


def _open_source(mount: BindMount, user_ns_fd: int) -> int:
    try:
        fd = m.open_tree(m.AT_FDCWD, mount.label, m.OPEN_TREE_CLONE | (m.AT_RECURSIVE if mount.recursive else 0))
        idmap = mount.idmap
        try:
            if user_ns_fd >= 0:
                # Mounts that are `shared` inside must not be peers of the host's mounts: through those, its root could
                # mount on the host (mount_namespaces(7): a less privileged namespace gets slaves).
                m.mount_setattr(fd, propagation=m.MS_SLAVE, recursive=True)
            if idmap is None:
                return fd
            own_fd = make_user_namespace(idmap.uids, idmap.gids) if idmap.uids else os.dup(user_ns_fd)
            try:
                m.mount_idmapped(fd, own_fd, recursive=idmap.recursive)
            finally:
                os.close(own_fd)
        except BaseException:
            os.close(fd)
            raise
        return fd
    except OSError as e:
        raise failed(doing(mount), e, MOUNT) from e


def _make_devices(devices: tuple[Device, ...], user: UserNamespace) -> dict[str, int]:
    """A detached bind mount of each device node, by path. mknod(2) is refused inside a user namespace.

    The nodes are made on a tmpfs by the host's root. If the maps of a joined namespace are not known, the nodes belong
    to the overflow id.
    """
    result: dict[str, int] = {}
    folder = m.new_mount("tmpfs", "tmpfs", [("mode", "755")])
    before = os.umask(0)
    try:
        for number, device in enumerate(devices):
            if stat.S_ISFIFO(device.mode):
                continue
            name = str(number)
            os.mknod(name, device.mode, device.device, dir_fd=folder)
            uid, gid = outside(device.uid, user.uids), outside(device.gid, user.gids)
            os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
            result[device.path] = _detach(folder, name, device)
    except OSError as e:
        close_all(result.values())
        raise failed("error making device nodes", e, OTHER) from e
    finally:
        os.umask(before)
        os.close(folder)
    return result


def _detach(folder_fd: int, name: str, device: Device) -> int:
    """A detached bind mount of the new node. Before Linux 6.15, open_tree cannot clone from a detached mount (EINVAL):
    then it is the host's own node, with the host's owner and mode."""
    try:
        return m.open_tree(folder_fd, name, m.OPEN_TREE_CLONE)
    except OSError as e:
        if e.errno != errno.EINVAL:
            raise
    info = os.stat(device.path)
    if stat.S_IFMT(info.st_mode) != stat.S_IFMT(device.mode) or info.st_rdev != device.device:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), device.path)
    return m.open_tree(m.AT_FDCWD, device.path, m.OPEN_TREE_CLONE)
