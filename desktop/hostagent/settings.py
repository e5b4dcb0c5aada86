"""What the user may choose of the agent's services, from the settings file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from desktop.platform.base import Proxies
from desktop.platform.proxies import with_scheme
from desktop.settings.table import below_root

# For a port without an address of its own, by the word in config.json: "ports": {"publish": "loopback"}.
PUBLISH_ADDRESSES = {"loopback": ("127.0.0.1", "::1"), "all": ("0.0.0.0", "::")}  # the user's choice
DEFAULT_PUBLISH = "loopback"


def publish_addresses(config_file: Path) -> tuple[str, ...]:
    """The addresses that a published port gets for which none was named. Raises ValueError for an invalid setting."""
    word = _object(config_file, "ports").get("publish", DEFAULT_PUBLISH)
    if word not in PUBLISH_ADDRESSES:
        raise ValueError(f"ports.publish in {config_file} must be one of {', '.join(PUBLISH_ADDRESSES)}")
    return PUBLISH_ADDRESSES[word]


def has_host_network(config_file: Path) -> bool:
    """Whether listeners of containers with `--network host` appear on this machine: "ports": {"host_network": true},
    the default. Raises ValueError for an invalid setting."""
    chosen = _object(config_file, "ports").get("host_network", True)
    if not isinstance(chosen, bool):
        raise ValueError(f"ports.host_network in {config_file} must be true or false")
    return chosen


def chosen_proxies(config_file: Path) -> Proxies | None:
    """The user's own: "proxies": {"http": URL, "https": URL, "no_proxy": HOSTS}, each of which may be missing; None:
    this machine's count. Raises ValueError for an invalid setting."""
    if "proxies" not in _config(config_file):
        return None
    chosen = _object(config_file, "proxies")
    names = ("http", "https", "no_proxy")
    if unknown := chosen.keys() - set(names):
        raise ValueError(f"proxies in {config_file} has no {', '.join(sorted(unknown))}: {', '.join(names)}")
    for name, value in chosen.items():
        if not isinstance(value, str):
            raise ValueError(f"proxies.{name} in {config_file} must be a string, not {value!r}")
    http, https, no_proxy = (str(chosen.get(name, "")) for name in names)
    return Proxies(with_scheme(http), with_scheme(https), no_proxy)


def certificates_folder(config_file: Path, default: Path) -> Path:
    """ "certificates": FOLDER with authorities (*.crt, *.pem). Raises ValueError for an invalid setting."""
    folder = _config(config_file).get("certificates", str(default))
    if not isinstance(folder, str):
        raise ValueError(f"certificates in {config_file} must be a folder's name, not {folder!r}")
    return Path(folder).expanduser()


class SharedFolders:
    """The folders that containers in the VM may use: "folders": {"shared": ["/home/me"]}; by default the home."""

    def __init__(self, config_file: Path) -> None:
        self._file = config_file
        self._seen: tuple[int, int] | None = None  # time and size of the file that was read last
        self._folders: tuple[str, ...] = (str(Path.home()),)

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
    chosen = _object(config_file, "folders").get("shared")
    if chosen is None:
        return (str(Path.home()),)
    if not isinstance(chosen, list) or not all(isinstance(path, str) for path in chosen):
        raise ValueError(f"folders.shared in {config_file} must be a list of paths")
    try:
        return tuple(below_root(path) for path in chosen)
    except ValueError as e:
        raise ValueError(f"folders.shared in {config_file}: {e}") from e


def _object(config_file: Path, name: str) -> dict[str, Any]:
    chosen = _config(config_file).get(name, {})
    if not isinstance(chosen, dict):
        raise ValueError(f"{name} in {config_file} must be an object, not {chosen!r}")
    return chosen


def _config(config_file: Path) -> dict[str, Any]:
    try:
        config = json.loads(config_file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as e:
        raise ValueError(f"the settings can't be read: {config_file}: {e}") from e
    if not isinstance(config, dict):
        raise ValueError(f"the settings can't be read: {config_file} is no object")
    return config
