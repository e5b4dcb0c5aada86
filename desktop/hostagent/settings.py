"""What the user may choose of the agent's services, in the agent's types: `desktop/settings` has names, checks and
defaults."""

from __future__ import annotations

from pathlib import Path

from desktop.platform.base import Proxies
from desktop.platform.proxies import with_scheme
from desktop.settings.counting import counting, group_in
from desktop.settings.table import SETTINGS, below_root

# For a port without an address of its own, by the words of the setting.
PUBLISH_ADDRESSES = {"loopback": ("127.0.0.1", "::1"), "all": ("0.0.0.0", "::")}  # the user's choice


def publish_addresses(config_file: Path) -> tuple[str, ...]:
    """The addresses that a published port gets for which none was named. Raises ValueError for an invalid setting."""
    return PUBLISH_ADDRESSES[str(counting(config_file, "ports.publish"))]


def has_host_network(config_file: Path) -> bool:
    """Whether listeners of containers with `--network host` appear on this machine. Raises ValueError for an invalid
    setting."""
    return counting(config_file, "ports.host_network") is True


def chosen_proxies(config_file: Path) -> Proxies | None:
    """The user's own; None: this machine's count. Raises ValueError for an invalid setting."""
    if "proxies" not in group_in(config_file, ""):
        return None
    names = [name.removeprefix("proxies.") for name in SETTINGS if name.startswith("proxies.")]
    if unknown := group_in(config_file, "proxies").keys() - set(names):
        raise ValueError(f"proxies in {config_file} has no {', '.join(sorted(unknown))}: {', '.join(names)}")
    http, https, no_proxy = (str(counting(config_file, f"proxies.{name}") or "") for name in names)
    return Proxies(with_scheme(http), with_scheme(https), no_proxy)


def certificates_folder(config_file: Path, default: Path) -> Path:
    """The folder with authorities (*.crt, *.pem). Raises ValueError for an invalid setting."""
    folder = counting(config_file, "certificates")
    return default if folder is None else Path(below_root(str(folder)))


class SharedFolders:
    """The folders that containers in the VM may use."""

    def __init__(self, config_file: Path) -> None:
        self._file = config_file
        self._seen: tuple[int, int] | None = None  # time and size of the file that was read last
        self._folders: tuple[str, ...] = ()

    def read(self) -> tuple[str, ...]:
        """Absolute paths. Looks at the file each time, reads it when it has changed. Raises ValueError for an invalid
        setting."""
        try:
            info = self._file.stat()
            seen = (info.st_mtime_ns, info.st_size)
        except FileNotFoundError:
            seen = (0, 0)
        if seen != self._seen:
            self._folders = shared_folders(self._file)
            self._seen = seen
        return self._folders


def shared_folders(config_file: Path) -> tuple[str, ...]:
    """The absolute paths of the shared folders. Raises ValueError for an invalid setting."""
    folders = counting(config_file, "folders.shared")
    assert isinstance(folders, list)
    return tuple(map(below_root, folders))
