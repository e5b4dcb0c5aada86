"""Linux hosts: KVM."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable, Mapping
from pathlib import Path

from desktop.platform import files, holders
from desktop.platform.base import LoginEntry, Proxies
from desktop.platform.login import Autostart
from desktop.platform.posix import Posix
from desktop.platform.proxies import from_environment

# Where an administrator puts them on Debian, Fedora, openSUSE and Arch, and those like them.
_ADDED_AUTHORITIES = (
    "/usr/local/share/ca-certificates",
    "/etc/pki/ca-trust/source/anchors",
    "/etc/pki/trust/anchors",
    "/etc/ca-certificates/trust-source/anchors",
)


class Linux(Posix):
    """The platform interface for Linux."""

    name = "linux"
    accelerators: tuple[str, ...] = ("kvm",)
    qemu_hint = (
        "Install it: apt install qemu-system-x86 qemu-utils (Debian, Ubuntu) or dnf install qemu-system-x86; "
        "on ARM qemu-system-arm, or qemu-system-aarch64"
    )

    def __init__(self) -> None:
        self._hangups: _HangupWatch | None = None

    def maps_files(self, folder: Path) -> bool:
        return files.can_map(folder)

    def clone_file(self, source: Path, target: Path) -> None:
        files.clone(source, target)

    def qemu_folders(self, environ: Mapping[str, str]) -> tuple[Path, ...]:
        return (Path("/usr/libexec"), Path("/usr/local/bin"))

    def accelerator_obstacle(self, accelerator: str) -> str | None:
        try:
            os.close(os.open("/dev/kvm", os.O_RDWR))
        except FileNotFoundError:
            return "this machine has no /dev/kvm"
        except PermissionError:
            return "/dev/kvm may not be opened by this user (group kvm)"
        except OSError as e:
            return f"/dev/kvm does not open: {e.strerror}"
        return None

    def boot_id(self) -> str:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def memory_mb(self) -> tuple[int, int]:
        lines = Path("/proc/meminfo").read_text().splitlines()
        values = {key: int(rest.split()[0]) // 1024 for key, _, rest in (line.partition(":") for line in lines)}
        return values["MemTotal"], values.get("MemAvailable", values["MemFree"])

    def is_alive(self, pid: int) -> bool:
        try:
            # The state follows the command's name, which may itself hold spaces and brackets: proc(5).
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def port_holder(self, protocol: str, number: int) -> str | None:
        return holders.port_holder(protocol, number)

    def proxies(self, environ: Mapping[str, str]) -> Proxies:
        return from_environment(environ) or Proxies()

    def authorities(self) -> tuple[Path, ...]:
        return tuple(map(Path, _ADDED_AUTHORITIES))

    def login_entry(self, environ: Mapping[str, str]) -> LoginEntry:
        return Autostart(environ)

    def user_of(self, path: Path) -> int | None:
        return holders.file_user(path)

    def watch_hangup(self, writer: asyncio.StreamWriter, on_hangup: Callable[[], None]) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        if self._hangups is None or self._hangups.loop is not loop:
            self._hangups = _HangupWatch(loop)
        descriptor: int = writer.get_extra_info("socket").fileno()
        return self._hangups.add(descriptor, on_hangup)


class _HangupWatch:
    """One epoll for all sockets that are watched for nothing but EPOLLHUP: for a Unix socket it means that the
    peer closed both directions (unix_poll in the kernel). The epoll is closed when no socket is left."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll: select.epoll | None = None  # type: ignore[name-defined,unused-ignore]  # Linux only
        self._callbacks: dict[int, Callable[[], None]] = {}

    def add(self, descriptor: int, on_hangup: Callable[[], None]) -> Callable[[], None]:
        if self._epoll is None:
            self._epoll = select.epoll()  # type: ignore[attr-defined,unused-ignore]
            self.loop.add_reader(self._epoll.fileno(), self._on_ready)
        # The kernel removes a closed socket from the epoll by itself, and its number may be in use again.
        self._remove(descriptor)
        self._callbacks[descriptor] = on_hangup
        self._epoll.register(descriptor, 0)

        def stop() -> None:
            if self._callbacks.get(descriptor) is on_hangup:
                self._remove(descriptor)
                if not self._callbacks and self._epoll is not None:
                    self.loop.remove_reader(self._epoll.fileno())
                    self._epoll.close()
                    self._epoll = None

        return stop

    def _remove(self, descriptor: int) -> None:
        if self._callbacks.pop(descriptor, None) is not None and self._epoll is not None:
            try:
                self._epoll.unregister(descriptor)
            except (FileNotFoundError, OSError):
                return  # it was closed before: nothing is registered

    def _on_ready(self) -> None:
        assert self._epoll is not None
        for descriptor, _ in self._epoll.poll(0):
            if (callback := self._callbacks.get(descriptor)) is not None:
                self._epoll.unregister(descriptor)  # level-triggered: poll would return it again and again
                callback()
