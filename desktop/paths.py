"""Every path and socket of the host side, spelled here and nowhere else.

One *home* folder holds what must last (settings, the VM's disk and keys, logs); one short *run* folder holds sockets
and pids. Two homes are two independent installations: `COVE_HOME` picks one, so two VMs can run side by side.
Pure computation: nothing is made or looked at on disk. Imported by every start of `cove`, so it imports little.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# sun_path holds 104 bytes on macOS and 108 on Linux, the NUL included; the longest name we put in a run folder is
# "cove-engine.sock" behind a slash.
_RUN_DIR_LIMIT = 104 - 1 - len("/cove-engine.sock")
_NATIVE_SOCKET = "/run/cove/cove.sock"


class HostPaths(NamedTuple):
    """Where one installation keeps its files. `run` is short enough for a socket's name on every platform."""

    home: Path
    run: Path
    pipes: bool = False  # Windows: sockets are named pipes, which live in no folder

    def _socket(self, name: str) -> Path:
        if self.pipes:
            return Path(rf"\\.\pipe\{self.run.name}-{name}")
        return self.run / f"{name}.sock"

    @property
    def host_socket(self) -> Path:
        """The host agent's own API."""
        return self._socket("host")

    @property
    def engine_socket(self) -> Path:
        """The Engine API of the VM, as the host agent passes it through."""
        return self._socket("cove-engine")

    def window_socket(self, target: str) -> Path:
        """Where the window for the engine at `target` listens for later starts."""
        return self._socket(f"win-{_short_hash(target)}")

    @property
    def native_socket(self) -> Path:
        """The Engine API of an engine that runs on this Linux machine itself."""
        return Path(_NATIVE_SOCKET)

    @property
    def agent_lock(self) -> Path:
        """Locked by the one host agent of this home for as long as it lives."""
        return self.home / "host.lock"

    @property
    def agent_log(self) -> Path:
        return self.home / "logs" / "host.log"

    @property
    def config_file(self) -> Path:
        """Settings that the user may edit: the chosen context and the VM's size."""
        return self.home / "config.json"

    @property
    def config_lock(self) -> Path:
        """Held by whoever changes the settings; a file of its own, as the other one is replaced at each change."""
        return self.home / "config.lock"

    @property
    def certificates(self) -> Path:
        """Certificate authorities that the user has added for the engine in the VM, unless the settings name another
        folder."""
        return self.home / "certificates"

    @property
    def accelerator_file(self) -> Path:
        """What the accelerator probe found, valid for one boot of this machine."""
        return self.home / "accelerator.json"

    @property
    def vm(self) -> Path:
        """What belongs to the VM and outlives each of its runs."""
        return self.home / "vm"

    @property
    def data_disk(self) -> Path:
        return self.vm / "data.qcow2"

    @property
    def disk_mark(self) -> Path:
        """Says that there was a data disk, and whether it was ever mounted."""
        return self.vm / "data.json"

    @property
    def template(self) -> Path:
        """The state of a VM that has booted, from which others start."""
        return self.vm / "template"

    @property
    def session(self) -> Path:
        """The state of the VM as it was stopped."""
        return self.vm / "session"

    @property
    def client_key(self) -> Path:
        """The private key that opens the VM's SSH; its public half lies beside it with `.pub`."""
        return self.vm / "id_ed25519"

    @property
    def host_key(self) -> Path:
        """The VM's own SSH key, handed to it at each start; the tunnel accepts no other."""
        return self.vm / "host_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The public half of that key as `ssh` wants it, for `cove vm ssh`."""
        return self.vm / "known_hosts"

    @property
    def verified_file(self) -> Path:
        """Which image files had the right digest when they were last read whole."""
        return self.vm / "verified.json"

    @property
    def qemu_file(self) -> Path:
        """The version of the QEMU that is installed."""
        return self.vm / "qemu.json"

    @property
    def console_log(self) -> Path:
        return self.home / "logs" / "console.log"

    def earlier_console_log(self, number: int) -> Path:
        """The console's log of an earlier boot; 1 is the one before the last."""
        return self.console_log.with_suffix(f".{number}.log")

    @property
    def qemu_log(self) -> Path:
        """What QEMU itself says, as opposed to the guest's console."""
        return self.home / "logs" / "qemu.log"

    @property
    def vm_record(self) -> Path:
        """How a new host agent finds a QEMU that outlived the old one."""
        return self.run / "vm.json"

    @property
    def qemu_pid(self) -> Path:
        return self.run / "qemu.pid"


def host_paths(environ: Mapping[str, str], platform: str) -> HostPaths:
    """The paths for this user. `environ` and `platform` are `os.environ` and `sys.platform`, or a test's own values.

    Linux: $COVE_HOME, else $XDG_DATA_HOME/cove, else ~/.local/share/cove. macOS: ~/Library/Application Support/Cove.
    Windows: %LOCALAPPDATA%\\Cove. Sockets lie in `run` inside it, or in a short folder named after it where that path
    is too long for a socket.
    """
    home = _home(environ, platform)
    run = home / "run"
    if platform == "win32":
        return HostPaths(home, home / f"cove-{_short_hash(str(home))}", pipes=True)
    if len(str(run).encode()) > _RUN_DIR_LIMIT:
        base = environ.get("XDG_RUNTIME_DIR") or "/tmp"
        run = Path(base) / f"cove-{_short_hash(str(home))}"
    return HostPaths(home, run)


def _home(environ: Mapping[str, str], platform: str) -> Path:
    if chosen := environ.get("COVE_HOME"):
        return Path(chosen).absolute()
    user = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    if platform == "win32":
        local = environ.get("LOCALAPPDATA")
        return (Path(local) if local else user / "AppData" / "Local") / "Cove"
    if platform == "darwin":
        return user / "Library" / "Application Support" / "Cove"
    data = environ.get("XDG_DATA_HOME")
    return (Path(data) if data else user / ".local" / "share") / "cove"


def _short_hash(text: str) -> str:
    """Eight hex digits that name `text`: two homes get two run folders, two engines two windows."""
    from zlib import crc32  # only a distinct name is wanted, and hashlib costs the CLI 2 ms

    return f"{crc32(text.encode()):08x}"
