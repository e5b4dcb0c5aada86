"""macOS hosts: Hypervisor.framework."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from desktop.platform.base import LoginEntry, Proxies
from desktop.platform.login import LaunchAgent
from desktop.platform.posix import Posix
from desktop.platform.proxies import from_environment, from_scutil


class Darwin(Posix):
    """The platform interface for macOS."""

    name = "darwin"
    accelerators: tuple[str, ...] = ("hvf",)
    qemu_hint = "Install it: brew install qemu"

    def qemu_folders(self, environ: Mapping[str, str]) -> tuple[Path, ...]:
        # An application started from the Finder has a PATH without Homebrew's folder.
        return (Path("/opt/homebrew/bin"), Path("/usr/local/bin"), Path("/opt/local/bin"))

    def accelerator_obstacle(self, accelerator: str) -> str | None:
        return None if _sysctl("kern.hv_support") == "1" else "this Mac's processor has no hypervisor support"

    def boot_id(self) -> str:
        return _sysctl("kern.bootsessionuuid")

    def memory_mb(self) -> tuple[int, int]:
        total = int(_sysctl("hw.memsize")) >> 20
        page = int(_sysctl("hw.pagesize"))
        pages = int(_sysctl("vm.page_free_count")) + int(_sysctl("vm.page_purgeable_count"))
        # macOS can free its file cache at any time but does not report its size. Assume at least half of the memory.
        return total, max(pages * page >> 20, total // 2)

    def proxies(self, environ: Mapping[str, str]) -> Proxies:
        return from_environment(environ) or from_scutil(_output("/usr/sbin/scutil", "--proxy"))

    def login_entry(self, environ: Mapping[str, str]) -> LoginEntry:
        return LaunchAgent(environ)

    def authorities(self) -> tuple[Path, ...]:
        return ()  # they are in the keychain


def _sysctl(name: str) -> str:
    return _output("/usr/sbin/sysctl", "-n", name).strip()


def _output(*command: str) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=5).stdout
